"""Repairing a store whose log is damaged: what is bad is set aside, what can be saved is saved, the rest is named.

A repair never rewrites a sound commit. Under the number of each lost one it puts a commit of its own, which says which
digest the lost one had, so that the chain goes on. The first of these also holds what came after, told again: the facts
of all later commits, and those that only the tables still tell, with the decisions that follow from them now (who
decides is handed in; the ledger does not know the scheduler). The later commits keep their places, and their events
that were told again are set aside.

Order of work, so that a kill at any point leaves a log that is either damaged as before or repaired: take the epoch, by
a commit that ends every writer; then the other lost numbers, from the last; the first one last. Whatever is replaced
lies in ``damaged/`` before. Repairing again does what was left undone.
"""

import hashlib
import itertools
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ancestra_farm.ledger.commit import Commit, commit_path, encode_commit, first_link
from ancestra_farm.ledger.errors import StoreInUse
from ancestra_farm.ledger.liveness import who_would_be_ended
from ancestra_farm.ledger.points import reached
from ancestra_farm.ledger.recovered import Told, recovered
from ancestra_farm.ledger.snapshot import FOLDER as SNAPSHOTS
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.survey import Survey, commits_of, survey
from ancestra_farm.ledger.tables import rebuild
from ancestra_farm.plan.events import BatchSubmitted, EpochTaken, Event, Repaired, SubmissionRepeated
from ancestra_farm.plan.farm_events import (
    HostNoted,
    HostTimed,
    NodeNoticed,
    NodeOrdered,
    NodesPaid,
    NoticeDelivered,
    StopOrdered,
    TokenNoted,
)

#: Kinds that nothing rests on, or that hold by themselves: they count where they stand.
_STAY = (
    EpochTaken,
    HostTimed,
    HostNoted,
    NodeNoticed,
    NodeOrdered,
    NodesPaid,
    NoticeDelivered,
    Repaired,
    StopOrdered,
    SubmissionRepeated,
    TokenNoted,
)


class Retold(Protocol):
    """A history told again: the events that follow, and the facts that found no place with the reasons."""

    events: list[Event]
    lost: list[tuple[Event, str]]


#: (events before the loss, events after it, Unix seconds) → what the farm makes of them now.
Retell = Callable[[Iterable[Event], Iterable[Event], float], Retold]


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair did, or would do.

    ``damage``: a sentence for each bad file; ``moved``: where these are now; ``kept``: commits before the first loss;
    ``later``: commits after it. ``told``: events told again by kind, ``found``: of the facts among them, those that
    only the tables still told; ``lost``: facts without a place, as sentences. ``restored``: commits found elsewhere.
    """

    damage: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    restored: tuple[int, ...] = ()
    kept: int = 0
    later: int = 0
    told: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the commit in place of the first lost one says."""

    first: int
    events: tuple[Event, ...]
    aside: dict[int, tuple[int, ...]]
    found: Counter[str]
    lost: tuple[str, ...]
    epoch: int


def repair(store: Store, retell: Retell, who: str, *, dry_run: bool = False, now: float | None = None) -> Repair:
    """Repair a store's log. Nothing is written where nothing is wrong, or with ``dry_run``.

    Raises StoreInUse while a controller is alive, and StoreError where the store cannot be written.
    """
    alive = who_would_be_ended(store)
    if alive is not None:
        raise StoreInUse(f"{store.url}: {alive} is at work there; nothing was changed. Stop it first (`ancestra stop`)")
    now = time.time() if now is None else now
    seen = survey(store)
    damage = tuple(lost.what for _, lost in sorted(seen.lost.items()))
    damage += tuple(what for path, (_, what) in sorted(seen.bad_packs.items()) if what not in damage)
    damage = tuple(dict.fromkeys(damage))
    if seen.sound:
        return Repair(kept=len(seen.heads), epoch=seen.epoch)
    restored = tuple(sorted(number for number in seen.lost if number in seen.heads))
    epoch = 0
    if not dry_run:
        epoch = _fence(store, seen, who, now)
        seen = survey(store)
    plan = _plan(store, seen, retell, now)
    moved = () if dry_run else tuple(_carry_out(store, seen, plan, who, now))
    if not dry_run:
        rebuild(store)
    first = plan.first if plan is not None else seen.last + 1
    return Repair(
        damage=damage,
        moved=moved,
        restored=restored,
        kept=sum(number < first for number in seen.heads),
        later=sum(number > first for number in seen.heads) - (not dry_run),
        told=dict(Counter(type(event).__name__ for event in plan.events)) if plan is not None else {},
        found=dict(plan.found) if plan is not None else {},
        lost=plan.lost if plan is not None else (),
        epoch=epoch,
    )


def _fence(store: Store, seen: Survey, who: str, now: float) -> int:
    """Take the next number and an epoch above every one there was, known or lost; whoever wakes up stops there."""
    epoch = seen.epoch + len(seen.lost) + 1
    events = [EpochTaken(epoch=epoch, who=who, purpose="repair", at=now)]
    for number in itertools.count(seen.last + 1):
        head = seen.heads.get(number - 1)
        # Where the last commit is lost, whatever this names is what the one in its place will be given for a digest.
        previous = head.link if head is not None else _nobodys_digest()
        if number == 1:
            previous = first_link(store.id)
        data, _ = encode_commit(events, number=number, epoch=epoch, nonce=uuid.uuid4().hex, previous=previous, at=now)
        if store.create(commit_path(number), data):
            return epoch
        seen = survey(store)
    raise AssertionError("some number is free")


def _plan(store: Store, seen: Survey, retell: Retell, now: float) -> _Plan | None:
    """What is to stand in place of the first commit that is lost for good; None if there is none."""
    first = min((number for number in seen.lost if number not in seen.heads), default=None)
    if first is None:
        return None
    told = Told()
    reading = _Reading()
    before = [event for _, events in reading.of(commits_of(store, seen, 1, first - 1)) for event in events]
    epoch_before = reading.epoch
    later: list[Event] = []
    aside: dict[int, tuple[int, ...]] = {}
    for commit, events in reading.of(commits_of(store, seen, first + 1, seen.last)):
        later += [event for event in events if not isinstance(event, _STAY)]
        places = tuple(place for place, event in enumerate(commit.events) if not isinstance(event, _STAY))
        if places:
            aside[commit.number] = places
    told.hear(before)
    told.hear(later)
    extra = recovered(store, told)
    retold = retell(before, _merged(extra, later), now)
    nowhere = {id(event) for event, _ in retold.lost}
    epoch = _epoch_at(seen, first)
    begun = [EpochTaken(epoch, "unknown", "its commit was lost", now)] if epoch > epoch_before else []
    return _Plan(
        first=first,
        events=(*begun, *retold.events),
        aside=aside,
        found=Counter(type(event).__name__ for event in extra if id(event) not in nowhere),
        lost=(*_unsubmitted(retold, (*before, *extra, *later)), *_sentences(retold.lost)),
        epoch=epoch,
    )


def _unsubmitted(retold: Retold, told: Iterable[Event]) -> Iterator[str]:
    """A sentence for each batch of which there are facts and no submission: what to do about it."""
    submitted = {event.batch for event in told if isinstance(event, BatchSubmitted)}
    for batch in sorted({str(getattr(event, "batch", "")) for event, _ in retold.lost} - submitted - {""}):
        yield (
            f"the submission of batch {batch}, and with it all that was made of it: hand its file in again, and it is "
            "made anew"
        )


class _Reading:
    """Which events of believed commits count: not those of ended epochs, nor those that a repair set aside."""

    def __init__(self) -> None:
        self.epoch = 0
        self._aside: dict[int, set[int]] = {}

    def of(self, commits: Iterable[Commit]) -> Iterator[tuple[Commit, list[Event]]]:
        for commit in commits:
            if commit.epoch < self.epoch:
                continue
            self.epoch = commit.epoch
            aside = self._aside.get(commit.number, ())
            events = [event for place, event in enumerate(commit.events) if place not in aside]
            for event in events:
                if isinstance(event, Repaired):
                    for number, places in event.aside.items():
                        self._aside.setdefault(number, set()).update(places)
            yield commit, events


def _merged(extra: Sequence[Event], later: Sequence[Event]) -> Iterator[Event]:
    """The later events in their order, each of the others before the first that is younger."""
    place = 0
    for event in later:
        while place < len(extra) and extra[place].at <= event.at:
            yield extra[place]
            place += 1
        yield event
    yield from extra[place:]


def _epoch_at(seen: Survey, number: int) -> int:
    """The epoch that a lost commit can have been written under, at most: that of the next one there is."""
    after = next((seen.heads[n].epoch for n in range(number + 1, seen.last + 1) if n in seen.heads), 1)
    before = max((head.epoch for n, head in seen.heads.items() if n < number), default=1)
    return max(before, after)


def _sentences(lost: Sequence[tuple[Event, str]]) -> tuple[str, ...]:
    """What found no place, by what it is of and why: how many, and the first of them by name."""
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for event, why in lost:
        where = "/".join(part for part in (getattr(event, "batch", ""), getattr(event, "branch", "")) if part)
        where = where or type(event).__name__
        shot = getattr(event, "shot", "")
        name = getattr(event, "candidate_id", "") or getattr(event, "version", "") or getattr(event, "digest", "")
        groups[type(event).__name__, f"{where}/{shot}".rstrip("/"), why].append(name)
    return tuple(
        f"{len(names):,} {kind} of {where}: {why}"
        + (f" ({', '.join(shown)}{', …' if len(names) > len(shown) else ''})" if (shown := _some(names)) else "")
        for (kind, where, why), names in groups.items()
    )


def _some(names: Sequence[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if name][:5]


# ---- carrying out ----------------------------------------------------------------------------------------------------


def _carry_out(store: Store, seen: Survey, plan: _Plan | None, who: str, now: float) -> Iterator[str]:
    """Write the repair, the decisive file last; where each bad file lies now."""
    bytes_of = {n: store.read(seen.sources[n]) for n in seen.lost if n in seen.heads}
    was: dict[str, str] = {}
    for path in sorted({lost.path for lost in seen.lost.values()} | set(seen.bad_packs)):
        if store.exists(path):
            was[path] = store.keep_damaged(path)
            yield was[path]
    for path in store.list(SNAPSHOTS) if plan is not None else ():
        # They know what the log will not say any more. Gone before it can be read again, or somebody starts from them.
        yield store.keep_damaged(path)
        store.delete(path)
    for number, data in bytes_of.items():
        store.replace(commit_path(number), data)
        reached("repair.between_files")
    gone = sorted((number for number in seen.lost if number not in seen.heads), reverse=True)
    links = {
        number: seen.heads[number + 1].previous if number + 1 in seen.heads else _nobodys_digest() for number in gone
    }
    packs = sorted((pack for pack, _ in seen.bad_packs.values()), key=lambda pack: -pack.first)
    for number in gone:
        while packs and packs[0].first > number:
            store.remove_damaged(packs.pop(0).path)
        lost = seen.lost[number]
        first = plan is not None and number == plan.first
        note = Repaired(
            was=was.get(lost.path, ""),
            what=lost.what,
            who=who,
            at=now,
            aside=plan.aside if plan is not None and first else {},
            recovered=sum(plan.found.values()) if plan is not None and first else 0,
        )
        previous = links[number - 1] if number - 1 in links else _link_before(store, seen, number)
        data, _ = encode_commit(
            [note, *(plan.events if plan is not None and first else ())],
            number=number,
            epoch=plan.epoch if plan is not None and first else _epoch_at(seen, number),
            nonce=uuid.uuid4().hex,
            previous=previous,
            at=now,
            link=links[number],
        )
        store.replace(commit_path(number), data)
        reached("repair.between_files")
    for pack in packs:
        store.remove_damaged(pack.path)


def _link_before(store: Store, seen: Survey, number: int) -> str:
    return first_link(store.id) if number == 1 else seen.heads[number - 1].link


def _nobodys_digest() -> str:
    """Looks like a digest; no file has it."""
    return hashlib.sha256(uuid.uuid4().bytes).hexdigest()
