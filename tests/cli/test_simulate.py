import json
import subprocess
import sys

import pytest

from tests.cli.small_farm import batch_file

PNG = b"\x89PNG\r\n\x1a\n"


def test_it_tells_how_a_batch_would_fare(ancestra, tmp_path):
    said = ancestra("simulate", batch_file(tmp_path), "--hosts", 3, "--price", 2)
    assert said.code == 0, said.err
    for word in ("released", "survivors", "busy", "starved", "makespan", "first ticket", "USD", "candidates a second"):
        assert word in said.out


def test_json_says_the_same_twice_but_for_the_wall_clock(ancestra, tmp_path):
    file = batch_file(tmp_path)
    arguments = ("simulate", file, "--hosts", 3, "--seed", 5, "--faults", "rough", "--copies", 2, "--json")
    one, other = ancestra(*arguments).json, ancestra(*arguments).json
    for report in (one, other):
        assert report.pop("wall_s") > 0
        assert report.pop("candidates_per_s") > 0
    assert one == other
    assert one["batches"] == 2
    assert one["ended"] is True
    assert {use["pool"] for use in one["use"]} >= {"all", "procedural/stills"}


def test_it_draws_what_happened(ancestra, tmp_path):
    picture = tmp_path / "story.png"
    said = ancestra(
        "simulate", batch_file(tmp_path), "--plot", picture, "--copies", 3, "--every", 10, "--mix", "dailies=1,shot=1"
    )
    assert said.code == 0, said.err
    assert str(picture) in said.out
    content = picture.read_bytes()
    assert content.startswith(PNG)
    assert len(content) > 20_000


def test_without_matplotlib_it_says_how_to_get_it(ancestra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    said = ancestra("simulate", batch_file(tmp_path), "--plot", tmp_path / "story.png")
    assert said.code == 2
    assert "pip install 'ancestra-farm[plot]'" in said.err


def test_faults_come_from_a_file_and_unknown_ones_are_named_with_their_line(ancestra, tmp_path):
    faults = tmp_path / "faults.yaml"
    faults.write_text("exception: 0.2\npersistent: 1.0\n")
    said = ancestra("simulate", batch_file(tmp_path), "--faults", faults, "--json")
    assert said.code == 0, said.err
    assert said.json["given_up"]["quarantined"] > 0
    faults.write_text(json.dumps({"exceptions": 0.2, "late_s": -1}))
    said = ancestra("simulate", batch_file(tmp_path), "--faults", faults)
    assert said.code == 2
    assert "faults.yaml:1: exceptions: there is no key 'exceptions' here (did you mean exception?)" in said.err
    assert "late_s: -1 is too small" in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--faults", "hurricane"), "hurricane is no file and none of none, calm, rough, storm"),
        (("--yield", "stil=0.1"), "no batch has a stage stil"),
        (("--yield", "still"), "'still' is not written as NAME=NUMBER"),
        (("--nodes", "a10"), "'a10' is not written as NAME:SHARE:FACTOR"),
        (("--mix", "urgent=1"), "urgent=1 is no part of a mix"),
        (("--check", "never"), "never is none of every, sampled, end"),
        (("--seconds", "procedural/stills=0"), "more than 0"),
        (("--trials", 2), "name no files"),
    ],
)
def test_what_cannot_be_simulated_is_said_in_words(ancestra, tmp_path, arguments, words):
    said = ancestra("simulate", batch_file(tmp_path), *arguments)
    assert said.code == 2
    assert words in said.err


def test_without_a_file_it_asks_for_one(ancestra):
    said = ancestra("simulate")
    assert said.code == 2
    assert "name a batch file" in said.err


def test_random_farms_are_told_by_their_seeds(ancestra):
    said = ancestra("simulate", "--trials", 3, "--seed", 40)
    assert said.code == 0, said.err
    assert "3 farms, seeds 40 to 42: no law was broken" in said.out


def test_a_broken_law_ends_it_with_the_seed_and_the_command(ancestra, monkeypatch):
    monkeypatch.setattr("ancestra_farm.simulate.crew.VirtualCrew.start", lambda self, order: None)
    said = ancestra("simulate", "--trials", 1, "--seed", 7)
    assert said.code == 1
    assert "nothing has moved" in said.err
    assert "ancestra simulate --trials 1 --seed 7" in said.err


def test_simulating_loads_neither_ray_nor_numpy(tmp_path):
    script = (
        "import sys\nfrom ancestra_farm.cli.main import main\n"
        f"sys.argv = ['ancestra', 'simulate', {str(batch_file(tmp_path))!r}, '--json']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *(n for n in ('ray', 'torch', 'numpy', 'matplotlib') if n in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "LOADED", done.stdout[-500:] + done.stderr
