"""What the log of a store says, for the tests of the farm."""

from collections import Counter
from typing import Any

from ancestra_farm.ledger.errors import StoreMissing
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tables import Projection
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.plan.events import AttemptEnded, Event

ENDS = {"survivor", "rejected", "failed", "quarantined", "lost", "skipped", "promoted", "not_promoted"}


def events_of(url: str) -> list[Event]:
    """Every event, in order; none if there is no store yet."""
    try:
        return [event for commit in read_commits(Store.open(url)) for event in commit.events]
    except StoreMissing:
        return []


def attempts_of(url: str, cause: str | None = None) -> list[AttemptEnded]:
    """Every attempt, or those that ended for ``cause``."""
    return [e for e in events_of(url) if isinstance(e, AttemptEnded) and cause in {None, e.cause}]


def rows_of(url: str) -> list[dict[str, Any]]:
    """The candidates table, made anew from the log."""
    tables = Projection()
    for event in events_of(url):
        tables.apply(event)
    assert tables.oddities == []
    return [row for part in tables.parts() if part[0] == "candidates" for row in tables.table(*part).to_pylist()]


def survivors_of(url: str) -> dict[str, list[str]]:
    """Ids of survivors by shot and stage, sorted."""
    found: dict[str, list[str]] = {}
    for row in rows_of(url):
        if row["outcome"] == "survivor":
            found.setdefault(f"{row['shot']}/{row['stage']}", []).append(row["candidate_id"])
    return {key: sorted(ids) for key, ids in found.items()}


def judged_more_than_once(url: str) -> list[tuple[str, int]]:
    """Candidates that have more than one verdict, with how many: work done again."""
    counts = Counter((e.branch, e.position, e.rung) for e in attempts_of(url, "judged"))
    return [(str(key), n) for key, n in counts.items() if n > 1]
