"""The demonstration as a test: nodes come for three batches of two people, one is killed, one drained, and all go."""

import shutil
import subprocess
import sys
from itertools import pairwise

import pytest
import yaml

from ancestra_farm.batch.farm_settings import load_farm_settings
from tests.cluster_demo.__main__ import JOBS
from tests.cluster_demo.story import Story
from tests.farm.processes import ROOT

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

#: Candidates of each shot: as many as are wanted until the nodes are replaced, with some to spare, and no more.
CANDIDATES = {"backfill": 24, "shot": 24, "dailies": 110}


@pytest.fixture
def jobs(tmp_path):
    """What is shown, with fewer candidates; how many in all."""
    folder = shutil.copytree(ROOT / JOBS, tmp_path / "jobs")
    candidates = 0
    for name, each in CANDIDATES.items():
        file = folder / f"{name}.yaml"
        batch = yaml.safe_load(file.read_text())
        assert batch["stages"]["still"]["candidates"] > each
        batch["stages"]["still"]["candidates"] = each
        file.write_text(yaml.safe_dump(batch, sort_keys=False))
        candidates += each * len(batch["shots"])
    return folder, candidates


def test_three_batches_of_two_people_end_complete_though_a_node_is_killed_and_one_drained(tmp_path, jobs):
    folder, candidates = jobs
    words = [sys.executable, "-m", "tests.cluster_demo", "--out", str(tmp_path), "--jobs", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=880)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "good (" in done.stdout  # ancestra verify
    story = Story.kept(tmp_path / "story.json")
    kinds = load_farm_settings(ROOT / JOBS / "farm.yaml").node_types
    assert {mark.of for mark in story.marks if mark.what == "done"} == {"dailies", "shot", "backfill"}
    assert {mark.what for mark in story.marks} >= {"killed", "lost", "drained"}
    assert story.nodes_came >= 4
    assert sum(story.samples[-1].nodes.values()) == 0
    assert story.judged >= candidates
    for kind, node_s in story.bill.node_s.items():
        assert story.bill.cost[kind] == pytest.approx(node_s * kinds[kind].price_per_hour / 3600)
    looked_s = sum(sum(one.nodes.values()) * (other.at - one.at) for one, other in pairwise(story.samples))
    assert story.bill.paid_s == pytest.approx(looked_s, rel=0.1)
    assert (tmp_path / "cluster.png").stat().st_size > 20_000
