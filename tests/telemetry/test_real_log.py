"""Metrics folded from logs that the real scheduler wrote, against the tables made from the same logs."""

from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ancestra_farm.ledger.read import candidates
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.telemetry.metrics import Metrics
from tests.cli.small_farm import SmallFarm, batch_file, finished_store, submission

PREFIX = "ancestra_candidates_"


def gauges(store: Store) -> Counter[tuple[str, str]]:
    """Candidates by (stage, gauge), those of earlier revisions and rounds left out."""
    metrics = Metrics()
    for commit in read_commits(store):
        metrics.fold_commit(commit.number, commit.events)
    found: Counter[tuple[str, str]] = Counter()
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            if sample.name.startswith(PREFIX) and family.type == "gauge":
                found[sample.labels["stage"], sample.name.removeprefix(PREFIX)] += int(sample.value)
    return +found


def outcomes(store: Store) -> Counter[tuple[str, str]]:
    """The same from the table of candidates."""
    rows = candidates(store).select(["stage", "outcome"]).to_pylist()
    return Counter((row["stage"], row["outcome"]) for row in rows)


DRAFTS = "size: [128, 128]\n    draft: {promote: 0.5, size: [64, 64]}"


@pytest.mark.parametrize("still", ["select: auto", "keep: 3", DRAFTS, "full_sample: 1"])
def test_the_gauges_agree_with_the_table(tmp_path: Path, still: str) -> None:
    store = finished_store(tmp_path, still)
    assert gauges(store) == outcomes(store)


def test_a_revision_that_changes_nothing_of_a_stage_reuses_it(tmp_path: Path) -> None:
    store = finished_store(tmp_path)
    before = gauges(store)
    path = batch_file(tmp_path)
    path.write_text(path.read_text().replace("frames: 24", "frames: 25"))
    SmallFarm(store).work(submission(path))
    after = gauges(store)
    assert after["still", "survivor"] == before["still", "survivor"]
    assert after["still", "reused"] == before["still", "rejected"]
    assert after["still", "superseded"] == 48
