"""Who may do what: people, their roles on the farm and on shows, and the tokens that stand for them.

A token says who somebody is, and what they may do everywhere. What else they may do on one show stands in that show's
settings under their name (`ShowSettings.people`); both add up. Somebody whose token says ``member`` may do nothing but
what shows let them, and sees nothing of others.

The store keeps, for each token, a small file ``people/<id>.json`` with a name, a role, the SHA-256 of the token, never
the token itself, and until when it counts, where it does not count for good. A token is 256 random bits, so a plain
digest is as good as a slow one (NIST SP 800-63B §5.1.1.2 asks for slow hashes of secrets that people think up). Whoever
can write the store's folder can write these files, and the log too: such a person is an operator in fact, and nothing
here pretends otherwise.

Who took a token away stands in ``people_gone/<id>.json`` from before its record goes. The log has a row for each that
comes and goes (`scheduler.holders`): whoever changes the store writes it where nobody is at work (`api.audit`), else
the controller does, which looks every few seconds.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal, get_args

from ancestra_farm.batch.show_settings import ShowRole
from ancestra_farm.ledger.errors import NotThere
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.moments import clock
from ancestra_farm.scheduler.holders import Holder

Role = Literal["member", "viewer", "artist", "supervisor", "wrangler", "operator"]
#: What a role may be entitled to: to ask, to give an order of a kind, to submit, to change settings, to stop the farm,
#: to act for others.
Right = Literal[
    "ask",
    "pick",
    "unpick",
    "restore",
    "close",
    "more",
    "retry",
    "pause",
    "unpause",
    "cancel",
    "priority",
    "drain",
    "block",
    "forgive",
    "submit",
    "show_settings",
    "farm_settings",
    "stop",
    "act_for_others",
]

_MEMBER: frozenset[Right] = frozenset()
_VIEWER: frozenset[Right] = frozenset({"ask"})
_ARTIST: frozenset[Right] = _VIEWER.union({"pick", "unpick", "restore"})
_SUPERVISOR: frozenset[Right] = _ARTIST.union({"close", "more", "retry"})
_MACHINES: frozenset[Right] = frozenset({"drain", "block", "forgive"})
_WRANGLER: frozenset[Right] = _SUPERVISOR.union(
    _MACHINES, {"pause", "unpause", "cancel", "priority", "submit", "show_settings", "farm_settings", "stop"}
)
_OPERATOR: frozenset[Right] = _WRANGLER.union({"act_for_others"})
#: The one table of rights that a token gives, everywhere.
RIGHTS: dict[Role, frozenset[Right]] = {
    "member": _MEMBER,
    "viewer": _VIEWER,
    "artist": _ARTIST,
    "supervisor": _SUPERVISOR,
    "wrangler": _WRANGLER,
    "operator": _OPERATOR,
}

_SUBMITTER: frozenset[Right] = _VIEWER.union({"submit", "more", "retry", "pause", "unpause", "cancel"})
#: The one table of rights that a show gives, on itself. What other shows feel (classes, nodes, a stop) is in none.
RIGHTS_ON_SHOW: dict[ShowRole, frozenset[Right]] = {
    "viewer": _VIEWER,
    "submitter": _SUBMITTER,
    "reviewer": _ARTIST,
    "supervisor": _SUBMITTER | _ARTIST | frozenset[Right]({"close", "show_settings"}),
}

FOLDER = "people"
#: Who took which token away.
GONE = "people_gone"
#: What every token begins with, so that one that has leaked into a file is found by a scanner of secrets.
PREFIX = "ancestra_"
MOST_NAME = 120


class NotAllowed(Exception):
    """A person may not do what they asked for, or nobody knows who it is. The message says who may."""


class UnknownPerson(NotAllowed):
    """Nobody knows whose token this is, where it was shown."""


class TokenEnded(NotAllowed):
    """Somebody's token does not count any more. The message says since when, and who makes a new one."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a token. ``token_id``: the first 16 hex digits of the token's digest, which is no secret.

    ``at``: when it was issued, seconds since the Unix epoch, ``by`` whom. ``until``: when it stops to count, likewise;
    None: never.
    """

    name: str
    role: Role
    token_id: str = ""
    at: float = 0.0
    by: str = ""
    until: float | None = None

    def counts(self, now: float) -> bool:
        """Whether the token still counts. ``now``: seconds since the Unix epoch."""
        return self.until is None or now < self.until

    def need_now(self, now: float) -> None:
        """Raise `TokenEnded` unless the token still counts."""
        if self.until is not None and not self.counts(now):
            raise TokenEnded(
                f"the token of {self.name} ended at {clock(self.until)}; an operator makes a new one "
                f"(ancestra token issue)"
            )

    def may(self, right: Right) -> bool:
        """Whether the role is entitled to this."""
        return right in RIGHTS[self.role]

    def need(self, right: Right) -> None:
        """Raise `NotAllowed`, with who may, unless the role is entitled to this."""
        if not self.may(right):
            raise NotAllowed(
                f"{self.name} is {a_role(self.role)} and may not {_DOES.get(right, right)}; "
                f"{a_role(lowest(right))} may: ask an operator (ancestra token issue)"
            )


@dataclass(frozen=True, slots=True)
class Reach:
    """What a person may do where. ``on``: their role on each show that gives them one."""

    person: Person
    on: Mapping[str, ShowRole] = field(default_factory=dict)

    def may(self, right: Right, show: str) -> bool:
        """Whether they may do this on a show, by their token or by the show's settings."""
        role = self.on.get(show)
        return self.person.may(right) or (role is not None and right in RIGHTS_ON_SHOW[role])

    def shows(self, right: Right) -> frozenset[str] | None:
        """The shows on which they may do this; None: on all, whatever they are called."""
        if self.person.may(right):
            return None
        return frozenset(show for show in self.on if self.may(right, show))

    def need(self, right: Right, show: str) -> None:
        """Raise `NotAllowed`, with who may, unless they may do this on a show.

        Whoever may not even ask about the show is told no more than that it is none of theirs.
        """
        if self.may(right, show):
            return
        if not self.may("ask", show):
            raise NotAllowed(f"{self.person.name} has no role on {show}: {_ASK_OF_SHOW}")
        role = self.on.get(show)
        if role is None:
            self.person.need(right)
        above = [one for one in get_args(ShowRole) if right in RIGHTS_ON_SHOW[one]]
        who = f"{a_role(above[0])} of {show}" if above else a_role(lowest(right))
        raise NotAllowed(
            f"{self.person.name} is {a_role(str(role))} of {show} and may not {_DOES.get(right, right)}; {who} may: "
            f"{_ASK_OF_SHOW if above else 'ask an operator (ancestra token issue)'}"
        )


_ASK_OF_SHOW = "ask a supervisor of the show (people, in its settings) or an operator"


def a_role(role: str) -> str:
    """``a wrangler``, ``an operator``."""
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role}"


_DOES: dict[Right, str] = {
    "ask": "ask about the farm as a whole",
    "close": "close a stage",
    "more": "ask for more candidates",
    "priority": "change priorities",
    "drain": "drain machines",
    "block": "block machines",
    "forgive": "forgive machines",
    "submit": "submit batches",
    "show_settings": "change the settings of a show",
    "farm_settings": "change the settings of the farm",
    "stop": "stop the farm",
    "act_for_others": "act for others (--as)",
}


def lowest(right: Right) -> Role:
    """The role with the fewest rights that has this one."""
    return next(role for role in get_args(Role) if right in RIGHTS[role])


def checked_name(name: str) -> str:
    """A person's name without blanks around it. Raises ValueError where it is none."""
    name = name.strip()
    if not name or len(name) > MOST_NAME or not name.isprintable():
        raise ValueError(f"a name is 1 to {MOST_NAME} printable characters")
    return name


def noted(note: str, by: str) -> str:
    """The note of an order with who gave it, where that is not the person it is given for."""
    if not by:
        return note
    return f"{note} (given by {by})" if note else f"given by {by}"


def named(who: str, by: str) -> str:
    """Whose something is, with who gave it for them; ``by``: empty where they did themselves."""
    return f"{who} (by {by})" if by else who


def record_path(digest: str) -> str:
    """Where the store keeps whose token it is. ``digest``: of the token, hex."""
    return f"{FOLDER}/{digest[:16]}.json"


def issue(store: Store, name: str, role: Role, by: str, now: float | None = None, *, until: float | None = None) -> str:
    """Make a token for a person: the token, which exists nowhere else from here on. ``until``: when it stops to count.

    Raises ValueError for a name that is none, StoreError where the store cannot be written.
    """
    name = checked_name(name)
    token = PREFIX + secrets.token_urlsafe(32)
    digest = digest_of(token)
    record = {"name": name, "role": role, "sha256": digest, "at": time.time() if now is None else now, "by": by}
    record |= {} if until is None else {"until": until}
    store.replace(record_path(digest), json.dumps(record, ensure_ascii=False).encode() + b"\n")
    return token


def revoke(store: Store, name: str, by: str, now: float | None = None) -> int:
    """Take all tokens of a person away; how many there were."""
    theirs = [person for person, _ in everybody(store).values() if person.name == name]
    for person in theirs:
        said = {"name": name, "at": time.time() if now is None else now, "by": by}
        store.replace(f"{GONE}/{person.token_id}.json", json.dumps(said, ensure_ascii=False).encode() + b"\n")
        store.delete(record_path(person.token_id))
    return len(theirs)


def gone(store: Store) -> dict[str, tuple[str, float]]:
    """Who took a token away and when, by the token's id. Files that say no such thing are passed over."""
    found = {}
    for path in store.list(GONE):
        try:
            said: Any = json.loads(store.read(path))
            found[path.removeprefix(f"{GONE}/").removesuffix(".json")] = (str(said["by"]), float(said["at"]))
        except (NotThere, ValueError, KeyError, TypeError):
            continue
    return found


def holders(people: Iterable[Person]) -> tuple[Holder, ...]:
    """The same as the log knows them."""
    return tuple(Holder(one.token_id, one.name, one.role, one.by, one.at, one.until) for one in people)


def everybody(store: Store) -> dict[str, tuple[Person, str]]:
    """Everybody with a token and the token's SHA-256, by path. Files that are no such record count as nobody's."""
    found = {}
    for path in store.list(FOLDER):
        one = read_person(store, path)
        if one is not None:
            found[path] = one
    return found


def owner(store: Store, token: str) -> Person | None:
    """Whose token this is by what the store says; None for nobody's. Raises StoreError."""
    digest = digest_of(token)
    return next((one for one, known in everybody(store).values() if known == digest), None)


def digest_of(token: str) -> str:
    """The SHA-256 of a token, hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def read_person(store: Store, path: str) -> tuple[Person, str] | None:
    """The person of one file and their token's SHA-256; None where it is no such record, or not there any more."""
    try:
        record: Any = json.loads(store.read(path))
        name, role, digest = checked_name(record["name"]), record["role"], str(record["sha256"])
        at, by = float(record["at"]), str(record["by"])
        until = None if record.get("until") is None else float(record["until"])
    except (NotThere, ValueError, KeyError, TypeError, AttributeError):
        return None
    if role not in RIGHTS or path != record_path(digest) or not (until is None or isfinite(until)):
        return None
    return Person(name, role, digest[:16], at, by, until), digest
