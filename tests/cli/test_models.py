import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from ancestra_farm.cli.models import ModelRow
from tests.cli.conftest import Ancestra

CARD = """\
id: mine/model
family: diffusers
pipeline: StableDiffusionPipeline
roles: [text_to_image]
licence: MIT
source: {source}
digests: {{unet/model.safetensors: {digest}}}
sizes: {{multiple_of: 8, min: 64, max: 512, default: [256, 144]}}
"""


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of cards with one whose weights lie in a folder beside it."""
    monkeypatch.setenv("ANCESTRA_CACHE", str(tmp_path / "cache"))
    model = tmp_path / "model"
    (model / "unet").mkdir(parents=True)
    (model / "model_index.json").write_text(
        json.dumps({"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]})
    )
    (model / "unet" / "model.safetensors").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "mine.yaml").write_text(CARD.format(source=model, digest=digest))
    return tmp_path / "cards"


def test_models_are_listed_by_role_in_the_order_of_the_film(ancestra: Ancestra) -> None:
    said = ancestra("models")
    assert said.code == 0
    lines = said.out.splitlines()
    roles = [line.split()[0] for line in lines[1:]]
    assert roles == sorted(roles, key=roles.index)
    assert roles[0] == "text_to_image"
    assert roles[-1] == "upscale"
    assert any(line.split()[:2] == ["text_to_video", "wan/2.2-t2v-a14b"] for line in lines)
    assert "fits" not in lines[0]


def test_rows_are_json_with_stable_keys_and_terms(ancestra: Ancestra) -> None:
    rows = ancestra("models", "--json").json
    assert set(rows[0]) == {field.name for field in dataclasses.fields(ModelRow)}
    terms = {row["model"]: row["terms"] for row in rows}
    assert "European Union" in terms["hunyuan/video"]
    assert terms["wan/2.2-t2v-a14b"] == ""
    known = {row["model"]: (row["seconds_from"], row["terms_from"]) for row in rows}
    assert known["hunyuan/video"] == ("published", "licence")
    assert known["qwen/image"] == ("guess", None)
    assert known["procedural/stills"] == ("measured", None)


def test_a_role_and_a_gpu_narrow_the_choice_and_what_does_not_fit_comes_last(ancestra: Ancestra) -> None:
    rows = ancestra("models", "--role", "image_to_video", "--vram", 24, "--json").json
    assert {row["role"] for row in rows} == {"image_to_video"}
    assert [row["fits"] for row in rows] == sorted((row["fits"] for row in rows), reverse=True)
    fits = {row["model"]: row["fits"] for row in rows}
    assert fits["wan/2.2-ti2v-5b-i2v"]
    assert not fits["wan/2.2-i2v-a14b"]
    assert "fits" in ancestra("models", "--vram", 24).out.splitlines()[0]


def test_models_of_one_licence_are_listed_and_an_unknown_licence_is_said(ancestra: Ancestra) -> None:
    rows = ancestra("models", "--licence", "apache-2.0", "--json").json
    assert {row["licence"] for row in rows} == {"Apache-2.0"}
    said = ancestra("models", "--licence", "GPL-9")
    assert said.code == 2
    assert "they have Apache-2.0" in said.err


def test_an_unknown_role_and_an_unknown_model_are_bad_input(ancestra: Ancestra) -> None:
    said = ancestra("models", "--role", "text_to_smell")
    assert said.code == 2
    assert "there are text_to_image" in said.err
    said = ancestra("models", "wan/2.2-t2v-a14")
    assert said.code == 2
    assert "did you mean wan/2.2-t2v-a14b" in said.err
    assert ancestra("models", "one", "two").code == 2
    assert ancestra("models", "fetch").code == 2


def test_a_card_is_shown_whole(ancestra: Ancestra) -> None:
    said = ancestra("models", "hunyuan/video")
    assert said.code == 0
    for words in (
        "hunyuan/video: HunyuanVideo",
        "Tencent-Hunyuan-Community: does not apply",
        "(read in the licence itself)",
        "1904 (published: one GPU of 80 GB",
        "1280×720, and multiples of 16",
        "4k+1 from 5 to 129, at 24 a second",
        "60 GiB on a GPU",
        "hunyuanvideo-community/HunyuanVideo at e8c2aaa6",
        "steps           50 (4 to 100) denoising steps",
        "draft       steps 10",
        "config-only",
    ):
        assert words in said.out
    assert ancestra("models", "hunyuan/video", "--json").json["revision"].startswith("e8c2aaa6")


def test_weights_in_a_folder_are_checked_byte_by_byte(ancestra: Ancestra, cards: Path) -> None:
    said = ancestra("models", "fetch", "mine/model", "--cards", cards)
    assert (said.code, said.err) == (0, "")
    assert "whole and checked in" in said.out
    assert "here" in ancestra("models", "mine/model", "--cards", cards).out
    weights = cards.parent / "model" / "unet" / "model.safetensors"
    weights.write_bytes(b"weightz")
    said = ancestra("models", "fetch", "mine/model", "--cards", cards)
    assert said.code == 2
    assert "was changed or damaged" in said.err
    weights.unlink()
    said = ancestra("models", "fetch", "mine/model", "--cards", cards, "--json")
    assert said.code == 1
    assert "is not there" in said.err


def test_a_model_that_is_drawn_needs_no_weights(ancestra: Ancestra) -> None:
    said = ancestra("models", "fetch", "procedural/stills")
    assert said.code == 2
    assert "needs no weights" in said.err


def test_a_card_that_pins_no_revision_says_so(ancestra: Ancestra, cards: Path) -> None:
    card = cards / "mine.yaml"
    card.write_text(card.read_text().replace(str(cards.parent / "model"), "owner/name"))
    rows = {row["model"]: row for row in ancestra("models", "--cards", cards, "--json").json}
    assert rows["mine/model"]["weights"] == "not pinned"
    said = ancestra("models", "fetch", "mine/model", "--cards", cards)
    assert said.code == 2
    assert "full commit hash" in said.err
