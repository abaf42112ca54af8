"""``ancestra look``: what it refuses, what it trains here, and what it shows of a file."""

import hashlib

import pytest
import torch
import yaml

from tests.cli.conftest import Ancestra
from tests.models.diffusion.recipes import card
from tests.models.diffusion.tiny import save_tiny
from tests.models.looks.photographs import write_look


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    """A folder with the card of a tiny base."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("cards")
    base = save_tiny("StableDiffusionPipeline", tmp_path_factory.mktemp("base"))
    (folder / "tiny.yaml").write_text(
        card("StableDiffusionPipeline", base, looks=True).model_dump_json(exclude_none=True)
    )
    return folder


def test_check_says_what_a_look_is_made_of(ancestra: Ancestra, cards, tmp_path):
    file = write_look(tmp_path)
    said = ancestra("look", "check", file, "--cards", cards)
    assert said.code == 0, said.err
    assert said.out == f"{file}: good. Look ember of show ancestra on tiny/model, 4 photographs\n"
    (row,) = ancestra("look", "check", file, "--cards", cards, "--json").json
    assert row["photographs"] == 4
    assert row["data"].startswith("sha256:")


def test_a_photograph_without_a_row_is_bad_input_and_trains_nothing(ancestra: Ancestra, cards, tmp_path):
    file = write_look(tmp_path)
    (tmp_path / "photographs" / "stray.png").write_bytes(b"x")
    for command in ("check", "train"):
        said = ancestra("look", command, file, "--cards", cards)
        assert said.code == 2
        assert "stray.png: has no row in" in said.err
    assert not (tmp_path / "ember.safetensors").exists()


def test_training_here_writes_the_look_and_prints_its_entry(ancestra: Ancestra, cards, tmp_path):
    file = write_look(tmp_path)
    said = ancestra("look", "train", file, "--cards", cards, "--metrics-port", 0)
    assert said.code == 0, said.err
    entry = yaml.safe_load(said.out)["looks"]["ember"]
    look = tmp_path / "ember.safetensors"
    assert entry["source"] == str(look)
    assert entry["digest"] == f"sha256:{hashlib.sha256(look.read_bytes()).hexdigest()}"
    assert "ember: step 6 of 6" in said.err
    assert "style     of the way to the photographs: colour" in said.err
    assert "metrics at http://127.0.0.1:" in said.err
    again = ancestra("look", "train", file, "--cards", cards)
    assert yaml.safe_load(again.out)["looks"]["ember"] == entry
    assert "step" not in again.err, "what is trained is not trained again"

    shown = ancestra("look", "show", look)
    assert shown.code == 0
    assert "made of   4 photographs, sha256:" in shown.out
    assert "base      tiny/model (unet), sha256:" in shown.out
    assert ancestra("look", "show", look, "--json").json["facts"]["licences"] == ["CC0-1.0"]


def test_show_says_what_is_no_look(ancestra: Ancestra, tmp_path):
    said = ancestra("look", "show", tmp_path / "gone.safetensors")
    assert (said.code, said.err.endswith("gone.safetensors: no such file\n")) == (2, True)
    (tmp_path / "odd.safetensors").write_bytes(b"odd")
    said = ancestra("look", "show", tmp_path / "odd.safetensors")
    assert said.code == 2
    assert "cannot be read as safetensors" in said.err


def test_a_ray_to_join_wants_a_store(ancestra: Ancestra, cards, tmp_path):
    said = ancestra("look", "train", write_look(tmp_path), "--cards", cards, "--address", "127.0.0.1:1")
    assert said.code == 2
    assert "give its --store too" in said.err
