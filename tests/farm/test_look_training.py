"""A look as a job of the farm: killed in the middle, it comes to the same file; then hosts make pictures with it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from ancestra_farm.batch.look import checked_look
from ancestra_farm.cli.main import app
from ancestra_farm.ledger.materials import material
from ancestra_farm.ledger.points import KILL_AT, KILL_ONCE
from ancestra_farm.ledger.read import candidates
from ancestra_farm.ledger.store import Store
from ancestra_farm.models.looks.dataset import load_dataset
from ancestra_farm.models.looks.shelf import FolderShelf
from ancestra_farm.models.looks.training import Lesson, train, training_card
from tests.farm.processes import ROOT
from tests.models.diffusion.recipes import card, loaded
from tests.models.diffusion.tiny import save_tiny
from tests.models.looks.photographs import write_look
from tests.models.looks.test_dataset import TODAY

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def ancestra(place, *words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "ancestra_farm.cli.main", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "XDG_STATE_HOME": str(place), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def here(*words):
    """A command that starts no Ray, in this process."""
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="ancestra")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a tiny base, its card, and a look file with its photographs."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("look")
    model = card("StableDiffusionPipeline", save_tiny("StableDiffusionPipeline", folder / "base"), looks=True)
    (folder / "cards").mkdir()
    (folder / "cards" / "tiny.yaml").write_text(model.model_dump_json(exclude_none=True))
    write_look(folder)
    return folder


@pytest.fixture(scope="module")
def lesson(place):
    model = card("StableDiffusionPipeline", place / "base", looks=True)
    located = checked_look(place / "ember.yaml", {model.id: model})
    dataset = load_dataset(located, model.sizes.default, TODAY)
    return Lesson(located.look, model, dataset.photos, dataset.data, dataset.ledger, dataset.licences)


@pytest.fixture(scope="module")
def trained(place):
    """The entry of the look, trained on a farm whose trainer was killed."""
    (place / "killed").mkdir()
    kill = {KILL_AT: "look.after_step:5", KILL_ONCE: str(place / "killed")}
    words = ("look", "train", place / "ember.yaml", "--store", place / "store", "--cards", place / "cards")
    ran = ancestra(place, *words, **kill)
    assert ran.returncode == 0, ran.stderr
    assert [one.name for one in (place / "killed").iterdir()] == ["look.after_step:5"]
    assert "the trainer died; another one goes on from its last checkpoint" in ran.stderr
    return yaml.safe_load(ran.stdout)["looks"]["ember"]


def test_a_trainer_that_is_killed_is_followed_by_one_that_comes_to_the_same_file(place, lesson, trained):
    here = train(lesson, loaded(training_card(lesson.card)), FolderShelf(place / "shelf"))
    assert trained["digest"] == here.digest
    assert Path(trained["source"].removeprefix("file://")).read_bytes() == here.data
    store = Store.open(str(place / "store"))
    assert material(store, here.digest).read_bytes() == here.data
    assert [path for path in store.list("looks") if "/samples/" in path], "samples lie beside it"


def test_hosts_make_pictures_with_it_and_a_revoked_photograph_marks_them(place, lesson, trained):
    still = {"role": "text_to_image", "model": "tiny/model", "candidates": 2, "size": [64, 32], "look": "ember"}
    batch = {
        "schema": "ancestra/v1",
        "batch": "tiny",
        "show": "ancestra",
        "handles": 0,
        "looks": {"ember": trained},
        "stages": {"still": still},
        "shots": [
            {"shot": "anc_010", "frames": 1, "prompt": {"text": "the sea"}},
            {"shot": "anc_020", "frames": 1, "prompt": {"text": "the sea"}, "stages": {"still": {"look_weight": 0.5}}},
        ],
        "deliver": {"mp4": False},
    }
    file = place / "tiny.yaml"
    file.write_text(yaml.safe_dump(batch, sort_keys=False))
    ran = ancestra(place, "run", file, "--store", place / "store", "--cards", place / "cards", "--hosts", 1)
    rows = candidates(Store.open(str(place / "store"))).to_pylist()
    assert len(rows) == 4, ran.stdout + ran.stderr
    assert {row["look"] for row in rows} == {trained["digest"]}
    assert all(row["generate_s"] for row in rows), [row["message"] for row in rows]

    photograph = lesson.photos[0].digest
    said = here("look", "revoke", photograph, "--store", place / "store", "--as", "ada", "--json")
    assert said.exit_code == 0, said.stderr
    told = json.loads(said.stdout)
    assert told["revoked"]["who"] == "ada"
    assert told["looks"] == {trained["digest"]: "ember"}
    assert [(row["shot"], row["look"], row["candidates"]) for row in told["made"]] == [
        ("anc_010", "ember", 2),
        ("anc_020", "ember", 2),
    ]
    nothing = here("look", "descendants", "sha256:" + "0" * 64, "--store", place / "store")
    assert nothing.stdout == "nothing in this store was made with it\n"
    again = here("look", "train", place / "ember.yaml", "--store", place / "store", "--cards", place / "cards")
    assert again.exit_code == 2
    assert "was revoked on" in again.stderr
