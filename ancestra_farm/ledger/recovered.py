"""Facts that the tables still tell and the log no more: submissions, attempts, picks and stitches of lost commits.

A table is a projection of the log, refreshed every few seconds, so whatever it says beyond the readable log can only
come from a commit that was lost. What a row does not hold (the seconds of single filters, failed attempts before a
verdict) stays lost. The newest revision of each batch stands beside the tables, where it was kept how they stood.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ancestra_farm.ledger.errors import LogDamaged, NotThere, StoreError
from ancestra_farm.ledger.packs import last_number, link_of
from ancestra_farm.ledger.read import parts_of
from ancestra_farm.ledger.snapshot import FOLDER, KEPT_TABLES, decode_snapshot
from ancestra_farm.ledger.store import DAMAGED, Store
from ancestra_farm.ledger.tables import decode_part
from ancestra_farm.ledger.tail import Mark
from ancestra_farm.plan.codec import decode_event
from ancestra_farm.plan.events import (
    AttemptEnded,
    BatchSubmitted,
    CandidateGivenUp,
    Event,
    OrderGiven,
    StitchEnded,
    StitchPlanned,
)

_GIVEN_UP = frozenset({"failed", "quarantined", "lost"})
_COLUMNS = [
    "batch",
    "candidate_id",
    "branch",
    "position",
    "rung",
    "outcome",
    "passed",
    "reasons",
    "scores",
    "judged_in_full",
    "phash",
    "media",
    "thumbnail",
    "generate_s",
    "judge_s",
    "device_s",
    "host",
    "message",
    "finished_at",
]


@dataclass(slots=True)
class Told:
    """What the readable log says, as far as tables say it too. Times are microseconds."""

    submitted: set[tuple[str, str, int]] = field(default_factory=set)
    judged: set[tuple[str, str]] = field(default_factory=set)
    given_up: set[tuple[str, str, int, str]] = field(default_factory=set)
    device_s: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    orders: set[tuple[str, str, str, str, int]] = field(default_factory=set)
    planned: set[tuple[str, str, str]] = field(default_factory=set)
    published: set[tuple[str, str, str]] = field(default_factory=set)

    def hear(self, events: Iterable[Event]) -> None:
        """Note what these events say."""
        for event in events:
            match event:
                case BatchSubmitted():
                    self.submitted.add((event.batch, event.digest, _us(event.at)))
                case AttemptEnded():
                    self.device_s[event.batch, event.candidate_id] += event.device_s
                    if event.cause == "judged":
                        self.judged.add((event.batch, event.candidate_id))
                case CandidateGivenUp():
                    self.given_up.add((event.batch, event.branch, event.position, event.rung))
                case OrderGiven():
                    key = (event.batch, event.order, event.candidate_id, event.who, _us(event.at))
                    self.orders.add(key)
                case StitchPlanned():
                    self.planned.add((event.batch, event.stitch_id, event.version))
                case StitchEnded() if event.ok:
                    self.published.add((event.batch, event.stitch_id, event.version))
                case _:
                    pass


def recovered(store: Store, told: Told) -> list[Event]:
    """The facts beyond ``told``, in the order of their times. Parts that cannot be read are passed over."""
    files: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in _rows(store, "deliveries"):
        files[row["batch"], row["stitch_id"], row["version"]].append(row)
    found: list[Event] = list(_submissions(store, told))
    for row in _rows(store, "candidates", _COLUMNS):
        found += _attempt(row, told)
    for row in _rows(store, "picks"):
        found += _pick(row, told)
    for row in _rows(store, "stitches"):
        found += _stitch(row, told, files)
    return sorted(found, key=lambda event: event.at)


def _submissions(store: Store, told: Told) -> Iterator[BatchSubmitted]:
    """From what was kept beside the tables; a repair that was killed may have set it aside already."""
    aside = [
        path for path in store.list(f"{DAMAGED}/{FOLDER}") if path.rpartition("/")[2].startswith(f"{KEPT_TABLES}.")
    ]
    seen: set[tuple[str, str, int]] = set()
    for path in [f"{FOLDER}/{KEPT_TABLES}.parquet", *aside]:
        try:
            kept = decode_snapshot(path, store.read(path), store.id)
            if not _lies_on(store, kept.mark):
                continue
            bodies = [rows["submitted"] for rows in kept.sections["tables"].plain["batches"].values()]
            events = [decode_event("BatchSubmitted", body) for body in bodies]
        except (StoreError, ValueError, TypeError, KeyError):
            continue  # damaged too, not there, or of a version that kept it otherwise
        for event in events:
            assert isinstance(event, BatchSubmitted)
            key = (event.batch, event.digest, _us(event.at))
            if key not in told.submitted | seen:
                seen.add(key)
                yield event


def _lies_on(store: Store, mark: Mark) -> bool:
    """Whether something was kept as of this very log: not where an older copy of the log was put back since."""
    if mark.number > last_number(store):
        return False
    try:
        return link_of(store, mark.number) == mark.digest
    except (LogDamaged, NotThere):
        return True  # that commit is damaged itself, and nothing speaks against it


def _rows(store: Store, table: str, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    for path, batch, _ in parts_of(store, table):
        if not batch:
            continue
        try:
            rows = decode_part(store.read(path))[0]
            rows = rows if columns is None else rows.select(columns)
            moments = [n for n, kind in enumerate(rows.schema.types) if pa.types.is_timestamp(kind)]
            for n in moments:
                rows = rows.set_column(n, rows.schema.names[n], rows.column(n).cast(pa.int64()))
            yield from rows.to_pylist()
        except (pa.ArrowException, OSError, ValueError, KeyError, StoreError):
            continue  # damaged too, or of a version that had other columns


def _attempt(row: dict[str, Any], told: Told) -> Iterator[Event]:
    key = (row["batch"], row["candidate_id"])
    place: dict[str, Any] = {name: row[name] for name in ("batch", "branch", "position", "rung")}
    at = (row["finished_at"] or 0) / 1e6
    if row["passed"] is not None and key not in told.judged:
        yield AttemptEnded(
            **place,
            candidate_id=row["candidate_id"],
            cause="judged",
            passed=row["passed"],
            at=at,
            reasons=() if row["passed"] else tuple(row["reasons"]),
            scores=dict(row["scores"]),
            judged_in_full=row["judged_in_full"],
            phash=row["phash"],
            media=row["media"],
            thumbnail=row["thumbnail"],
            generate_s=row["generate_s"] or 0.0,
            judge_s=row["judge_s"] or 0.0,
            device_s=max(0.0, row["device_s"] - told.device_s.get(key, 0.0)),
            host=row["host"] or "",
            message=row["message"],
        )
    if row["outcome"] in _GIVEN_UP and (*key[:1], row["branch"], row["position"], row["rung"]) not in told.given_up:
        yield CandidateGivenUp(**place, outcome=row["outcome"], reason=", ".join(row["reasons"]), at=at)


def _pick(row: dict[str, Any], told: Told) -> Iterator[Event]:
    facts: dict[str, Any] = {name: row[name] for name in ("batch", "who", "shot", "stage", "candidate_id")}
    for order, at, note in (("pick", row["at"], row["note"]), ("unpick", row["withdrawn_at"], "")):
        if at is not None and (row["batch"], order, row["candidate_id"], row["who"], at) not in told.orders:
            yield OrderGiven(order=order, at=at / 1e6, note=note, **facts)  # type: ignore[arg-type]


def _stitch(
    row: dict[str, Any], told: Told, files: dict[tuple[str, str, str], list[dict[str, Any]]]
) -> Iterator[Event]:
    key = (row["batch"], row["stitch_id"], row["version"])
    if key not in told.planned:
        facts: dict[str, Any] = {name: row[name] for name in ("batch", "shot", "generation", "stitch_id", "version")}
        yield StitchPlanned(**facts, chain=tuple(row["chain"]), picked=row["picked"], at=row["planned_at"] / 1e6)
    if row["state"] == "done" and key not in told.published:
        of_it = files.get(key, [])
        yield StitchEnded(
            batch=row["batch"],
            shot=row["shot"],
            stitch_id=row["stitch_id"],
            version=row["version"],
            ok=True,
            frames=row["frames"] or 0,
            at=row["finished_at"] / 1e6,
            files={one["kind"]: one["path"] for one in of_it},
            sha256={one["kind"]: one["sha256"] for one in of_it if one["sha256"]},
            seams=tuple(dict(seam) for seam in row["seams"]),
            message=row["message"],
            seconds=row["seconds"] or 0.0,
        )


def _us(at: float) -> int:
    return round(at * 1e6)
