"""Collecting what nobody needs: media that nothing names, what was left half done, rejects kept for their time.

What is kept, always: every medium that an attempt in the log names, but for rejects that are old enough; of these,
whatever was picked or delivered and everything it was made from; thumbnails; material that any submission in the log
names, since what was made with it can be asked for again; and anything younger than a grace, since a host, or whoever
hands a batch in, may be about to name it: of an upload that was broken off, all parts while one of them is as young.
Rejects are named as collected in the log before the first of them goes, so a kill leaves orphans for the next time and
never a row that names what is gone. Deliveries and the log are never touched.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ancestra_farm.batch.materials import digests_in
from ancestra_farm.batch.show_settings import show_settings_of
from ancestra_farm.ledger.errors import NotThere, StoreInUse, Superseded
from ancestra_farm.ledger.liveness import who_would_be_ended
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.materials import FOLDER as MATERIALS
from ancestra_farm.ledger.materials import sha256_of
from ancestra_farm.ledger.packs import last_number
from ancestra_farm.ledger.points import reached
from ancestra_farm.ledger.store import Store, material_path
from ancestra_farm.ledger.tables import Projection, rebuild
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.ledger.uploads import FOLDER as UPLOADS
from ancestra_farm.ledger.uploads import aged
from ancestra_farm.plan.events import AttemptEnded, BatchSubmitted, Event, MediaCollected
from ancestra_farm.plan.farm_events import SettingsGiven

#: Nothing younger than this is collected: longer than any ticket may take, and than clocks are apart.
GRACE_S = 24 * 3600.0
DAY_S = 24 * 3600.0
#: After so many deletions it is looked whether somebody else has begun to write.
_LOOK_EVERY = 100
#: Outcomes of candidates that something may rest on.
_CHOSEN = frozenset({"survivor", "promoted", "released"})
_NOBODY = ("", "")


@dataclass(frozen=True, slots=True)
class Pile:
    """Files of one kind. ``bytes``: their size together."""

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Swept:
    """What was collected, or would be.

    ``orphans``: media and material that nothing names; ``leftovers``: files in the making, parts of uploads.

    ``rejects``: media of old rejects, and so many ``candidates``. ``young``: files spared for their age alone.
    """

    orphans: Pile
    leftovers: Pile
    rejects: Pile
    candidates: int
    young: Pile


@dataclass(slots=True)
class _Found:
    """Paths to collect, each with its size."""

    orphans: dict[str, int] = field(default_factory=dict)
    leftovers: dict[str, int] = field(default_factory=dict)
    rejects: dict[str, int] = field(default_factory=dict)
    young: dict[str, int] = field(default_factory=dict)
    #: candidates whose media are to go, by batch
    candidates: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    #: the last commit that was looked at
    through: int = 0

    def __bool__(self) -> bool:
        return bool(self.orphans or self.leftovers or self.rejects)


def gc(
    store: Store,
    who: str,
    *,
    rejects_older_than_s: float | None = None,
    grace_s: float = GRACE_S,
    dry_run: bool = False,
    now: float | None = None,
) -> Swept:
    """Collect; with ``dry_run`` only say what would be.

    ``rejects_older_than_s``: None leaves rejects to the settings of their show, and alone where these say nothing.

    Raises StoreInUse while a controller is alive (not with ``dry_run``), Superseded where one begins meanwhile (what
    was deleted by then was nobody's), LogDamaged: nothing is collected from a store whose log cannot be read.
    """
    now = time.time() if now is None else now
    if not dry_run and (alive := who_would_be_ended(store)) is not None:
        raise StoreInUse(f"{store.url}: {alive} is at work there; nothing was collected. Stop it first, or --dry-run")
    found = _look(store, rejects_older_than_s, grace_s, now)
    if not dry_run and found:
        writer = Writer.begin(store, who, "gc")
        if writer.number > found.through + 1:  # somebody wrote since
            found = _look(store, rejects_older_than_s, grace_s, now)
        _collect(store, writer, found, who, now, now - grace_s)
    return Swept(
        orphans=_pile(found.orphans),
        leftovers=_pile(found.leftovers),
        rejects=_pile(found.rejects),
        candidates=sum(map(len, found.candidates.values())),
        young=_pile(found.young),
    )


def _pile(files: dict[str, int]) -> Pile:
    return Pile(len(files), sum(files.values()))


# ---- looking ---------------------------------------------------------------------------------------------------------


def _look(store: Store, rejects_older_than_s: float | None, grace_s: float, now: float) -> _Found:
    found, projection, named = _Found(), Projection(), _Named()
    retention = _Retention(now, rejects_older_than_s)
    for commit in read_commits(store):
        projection.fold(commit)
        named.hear(commit.events)
        retention.hear(commit.events)
        found.through = commit.number
    current = _current(projection)
    expired = _expired(projection, retention)
    for path in (*store.list("media"), *store.list(MATERIALS)):
        if path in current and not expired.issuperset(current[path]):
            continue
        if path not in current and path in named:
            continue  # of an attempt that no row tells of any more; it costs little to be careful
        try:
            size, young = store.size(path), store.modified(path) >= now - grace_s
        except NotThere:
            continue
        if young:
            found.young[path] = size
        elif path in current:
            found.rejects[path] = size
            for batch, candidate_id in current[path]:
                found.candidates[batch].append(candidate_id)
        else:
            found.orphans[path] = size
    probes = [(path, store.size(path), store.modified(path)) for path in store.list("probe")]
    for path, size, modified in (*store.leftovers(), *probes, *aged(store)):
        (found.leftovers if modified < now - grace_s else found.young)[path] = size
    return found


class _Named:
    """Media that attempts in the log name, less those of candidates that were collected since; and material."""

    def __init__(self) -> None:
        self._by_candidate: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._lasting: set[str] = set()
        self._paths: set[str] = set()

    def hear(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, BatchSubmitted):
                self._lasting.update(material_path(sha256_of(digest)) for digest in digests_in(event.document))
            elif isinstance(event, AttemptEnded):
                if event.media is not None:
                    self._by_candidate[event.batch, event.candidate_id].add(event.media)
                if event.thumbnail is not None:
                    self._lasting.add(event.thumbnail.partition("#")[0])
            elif isinstance(event, MediaCollected):
                for candidate_id in event.candidate_ids:
                    self._by_candidate.pop((event.batch, candidate_id), None)

    def __contains__(self, path: str) -> bool:
        if not self._paths:
            self._paths.update(self._lasting, *self._by_candidate.values())
        return path in self._paths


class _Retention:
    """How long rejects are kept. ``all_s``: of every show, None: as the newest settings of each show say."""

    def __init__(self, now: float, all_s: float | None) -> None:
        self._now = now
        self._all_s = all_s
        self._shows: dict[str, str] = {}
        self._days: dict[str, float | None] = {}

    def hear(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, BatchSubmitted):
                self._shows[event.batch] = json.loads(event.document)["show"]
            elif isinstance(event, SettingsGiven) and event.kind == "show":
                self._days[event.name] = show_settings_of(event.document).retention.rejects_days

    @property
    def keeps_all(self) -> bool:
        """Whether no reject is to go."""
        return self._all_s is None and all(days is None for days in self._days.values())

    def has_passed(self, batch: str, finished_at: float) -> bool:
        """Whether a reject of a batch has been kept for its time."""
        keep_s = self._all_s
        if keep_s is None:
            days = self._days.get(self._shows.get(batch, ""))
            if days is None:
                return False
            keep_s = days * DAY_S
        return finished_at < self._now - keep_s


def _current(projection: Projection) -> dict[str, list[tuple[str, str]]]:
    """Whose media each path is, by the rows; a sheet of thumbnails is nobody's and stays."""
    current: dict[str, list[tuple[str, str]]] = {}
    for row in _rows(projection, "candidates", ["batch", "candidate_id", "media", "thumbnail"]):
        if row["media"] is not None:
            current.setdefault(row["media"], []).append((row["batch"], row["candidate_id"]))
        if row["thumbnail"] is not None:
            current.setdefault(row["thumbnail"].partition("#")[0], []).append(_NOBODY)
    return current


def _expired(projection: Projection, retention: _Retention) -> set[tuple[str, str]]:
    """Rejects that were kept for their time since their last attempt, and on whom nothing rests that was chosen."""
    rejects: set[tuple[str, str]] = set()
    if retention.keeps_all:
        return rejects
    parents: dict[str, list[str]] = {}
    chosen: set[str] = set()
    columns = ["batch", "candidate_id", "outcome", "media", "finished_at", "parents"]
    for row in _rows(projection, "candidates", columns):
        if row["parents"]:
            parents[row["candidate_id"]] = row["parents"]
        if row["outcome"] == "rejected":
            finished = row["finished_at"]
            kept_for = row["media"] is not None and finished is not None
            if kept_for and retention.has_passed(row["batch"], finished.timestamp()):
                rejects.add((row["batch"], row["candidate_id"]))
        elif row["outcome"] in _CHOSEN:
            chosen.add(row["candidate_id"])
    chosen.update(row["candidate_id"] for row in _rows(projection, "picks", ["candidate_id"]))
    for row in _rows(projection, "stitches", ["chain"]):
        chosen.update(row["chain"])
    lineage, waiting = set(chosen), list(chosen)
    while waiting:
        for parent in parents.get(waiting.pop(), ()):
            if parent not in lineage:
                lineage.add(parent)
                waiting.append(parent)
    return {reject for reject in rejects if reject[1] not in lineage}


def _rows(projection: Projection, table: str, columns: list[str]) -> Iterator[dict[str, Any]]:
    for part in projection.parts():
        if part[0] == table:
            yield from projection.table(*part).select(columns).to_pylist()


# ---- collecting ------------------------------------------------------------------------------------------------------


def _collect(store: Store, writer: Writer, found: _Found, who: str, now: float, before: float) -> None:
    """``before``: what was put again since stays, since somebody is about to name it."""
    for batch, candidate_ids in sorted(found.candidates.items()):
        writer.commit([MediaCollected(batch, tuple(sorted(set(candidate_ids))), who, now)])
    if found.candidates:
        rebuild(store)
    reached("gc.after_commit_before_deletes")
    for count, path in enumerate((*found.rejects, *found.orphans)):
        if count % _LOOK_EVERY == 0 and last_number(store) != writer.number:
            raise Superseded(writer.epoch, writer.epoch + 1, "somebody who began to write")
        if not _put_since(store, path, before):
            store.delete_collected(path)
    for path in found.leftovers:
        if path.startswith(("probe/", f"{UPLOADS}/")):
            store.delete(path)
        else:
            store.delete_leftover(path)


def _put_since(store: Store, path: str, before: float) -> bool:
    """Whether material has become young since it was looked at: it is put before any commit says so."""
    try:
        return path.startswith(f"{MATERIALS}/") and store.modified(path) >= before
    except NotThere:
        return False
