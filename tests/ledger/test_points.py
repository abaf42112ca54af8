"""A named point ends exactly the process that the environment names, and exactly then."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ancestra_farm.ledger.points import KILL_AT, KILL_ONCE, POINTS, reached

ROOT = Path(__file__).parents[2]


def reach(point, times, **environment):
    """Run a process that reaches ``point``; (how often it got past it, its exit code)."""
    program = (
        "from ancestra_farm.ledger.points import reached\n"
        f"for _ in range({times}):\n    reached({point!r})\n    print('past', flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, check=False)
    return done.stdout.count(b"past"), done.returncode


def test_a_point_is_nothing_unless_it_is_named(monkeypatch):
    monkeypatch.delenv(KILL_AT, raising=False)
    for point in POINTS:
        reached(point)


def test_another_point_is_passed():
    assert reach("commit.after_create", 2, **{KILL_AT: "commit.before_create"}) == (2, 0)


@pytest.mark.parametrize(("wanted", "past"), [("commit.after_create", 0), ("commit.after_create:3", 2)])
def test_the_named_point_ends_the_process_at_that_time(wanted, past):
    assert reach("commit.after_create", 5, **{KILL_AT: wanted}) == (past, -signal.SIGKILL)


def test_only_one_process_dies_where_once_is_asked(tmp_path):
    environment = {KILL_AT: "media.before_link,publish.half_way:2", KILL_ONCE: str(tmp_path)}
    assert reach("publish.half_way", 3, **environment) == (1, -signal.SIGKILL)
    assert reach("publish.half_way", 3, **environment) == (3, 0)
    assert reach("media.before_link", 1, **environment) == (0, -signal.SIGKILL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["media.before_link", "publish.half_way:2"]


def test_every_point_in_the_code_is_listed():
    said = {
        name
        for path in (ROOT / "ancestra_farm").rglob("*.py")
        for name in re.findall(r'\breached\("([^"]+)"\)', path.read_text())
        if path.name != "points.py"
    }
    assert said <= set(POINTS)
