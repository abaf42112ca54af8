"""What holds for the whole house: which room may know which, and that the README shows what is there."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

from ancestra_farm.batch.schema import Batch
from ancestra_farm.ledger.columns import markdown

ROOT = Path(__file__).parent.parent
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_imports_point_one_way():
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_no_room_is_called_by_what_it_is_not():
    vague = {"utils", "util", "helpers", "common", "manager", "misc"}
    names = {path.stem for path in (ROOT / "ancestra_farm").rglob("*.py")}
    assert not names & vague


def test_the_readme_lists_the_columns_of_the_tables():
    assert markdown().strip() in README


def test_the_readme_names_only_commands_that_there_are():
    run = subprocess.run(
        [sys.executable, "-m", "ancestra_farm.cli.main", "--help"], capture_output=True, text=True, check=True
    )
    there = set(re.findall(r"^  ([a-z]+) ", run.stdout, re.MULTILINE))
    named = set(re.findall(r"^ancestra ([a-z]+)", README, re.MULTILINE))
    assert named
    assert named <= there


def test_the_batch_file_in_the_readme_is_one():
    block = next(text for text in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if "schema: ancestra/v1" in text)
    Batch.model_validate(yaml.safe_load(block))


def test_every_fault_in_the_architecture_is_shown_by_a_test_that_is_there():
    named = re.findall(r"`(\w+/\w+\.py)::(\w+)`", ARCHITECTURE)
    assert len(named) > 40
    for file, name in named:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{file} has no {name}"


def test_tests_that_start_ray_are_of_one_group(tmp_path):
    file = tmp_path / "test_ray.py"
    file.write_text("import pytest\npytestmark = pytest.mark.ray\ndef test_it(): pass\n")
    words = ["-m", "pytest", "-n", "1", "--dist", "loadgroup", "-v", "-p", "no:cacheprovider", "-p", "tests.conftest"]
    words += ["-c", "/dev/null", "-W", "ignore"]
    run = subprocess.run([sys.executable, *words, file], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "::test_it@ray" in run.stdout


def test_tests_that_may_not_meet_are_run_by_one_worker(tmp_path):
    # Some versions of pytest and xdist do not understand each other's groups, and say nothing.
    file = tmp_path / "test_group.py"
    file.write_text(
        "import pytest\npytestmark = pytest.mark.xdist_group('one')\n"
        "@pytest.mark.parametrize('n', range(8))\ndef test_it(worker_id, n):\n    print('by', worker_id)\n"
    )
    words = ["-m", "pytest", "-n", "2", "--dist", "loadgroup", "-rP", "-p", "no:cacheprovider", "-c", "/dev/null"]
    run = subprocess.run([sys.executable, *words, file], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert len(re.findall(r"^by gw", run.stdout, re.MULTILINE)) == 8
    assert len(set(re.findall(r"^by (gw\d)", run.stdout, re.MULTILINE))) == 1
