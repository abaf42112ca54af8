"""A look trained as a job of the farm: killed in the middle, it comes to the file that a training here comes to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from ancestra_farm.batch.look import checked_look
from ancestra_farm.ledger.materials import material
from ancestra_farm.ledger.points import KILL_AT, KILL_ONCE
from ancestra_farm.ledger.store import Store
from ancestra_farm.models.looks.dataset import load_dataset
from ancestra_farm.models.looks.shelf import FolderShelf
from ancestra_farm.models.looks.training import Lesson, train, training_card
from tests.farm.processes import ROOT
from tests.models.diffusion.recipes import card, loaded
from tests.models.diffusion.tiny import save_tiny
from tests.models.looks.photographs import write_look
from tests.models.looks.test_dataset import TODAY

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


def test_a_trainer_that_is_killed_is_followed_by_one_that_comes_to_the_same_file(tmp_path):
    torch.set_num_threads(1)
    model = card("StableDiffusionPipeline", save_tiny("StableDiffusionPipeline", tmp_path / "base"), looks=True)
    cards = tmp_path / "cards"
    cards.mkdir()
    (cards / "tiny.yaml").write_text(model.model_dump_json(exclude_none=True))
    file = write_look(tmp_path)
    once = tmp_path / "killed"
    once.mkdir()
    store = tmp_path / "store"
    ran = subprocess.run(
        [sys.executable, "-m", "ancestra_farm.cli.main", "look", "train", file, "--store", store, "--cards", cards],
        cwd=ROOT,
        env={**os.environ, KILL_AT: "look.after_step:5", KILL_ONCE: str(once), "XDG_STATE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert [one.name for one in once.iterdir()] == ["look.after_step:5"]
    assert "the trainer died; another one goes on from its last checkpoint" in ran.stderr

    entry = yaml.safe_load(ran.stdout)["looks"]["ember"]
    located = checked_look(file, {model.id: model})
    dataset = load_dataset(located, model.sizes.default, TODAY)
    lesson = Lesson(located.look, model, dataset.photos, dataset.data, dataset.ledger, dataset.licences)
    here = train(lesson, loaded(training_card(model)), FolderShelf(tmp_path / "shelf"))
    assert entry["digest"] == here.digest
    assert Path(entry["source"].removeprefix("file://")).read_bytes() == here.data
    opened = Store.open(str(store))
    assert material(opened, here.digest).read_bytes() == here.data
    assert [path for path in opened.list("looks") if "/samples/" in path], "samples lie beside it"
    assert json.loads(here.facts.model_dump_json())["assets"] == sorted(photo.digest for photo in dataset.photos)
