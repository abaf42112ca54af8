import sys
from subprocess import run

import pytest

from ancestra_farm.batch.problems import BatchRefused
from ancestra_farm.models.build import build_generator
from ancestra_farm.models.catalog import CatalogRefused, load_catalog
from ancestra_farm.models.diffusion.weights import WeightsRefused

CARD = """\
id: mine/model
family: diffusers
roles: [text_to_image]
licence: MIT
sizes: {multiple_of: 8, min: 64, max: 512, default: [256, 144]}
"""


def test_the_catalogue_has_the_procedural_cards():
    cards = load_catalog()
    assert cards["procedural/stills"].roles == ("text_to_image", "image_to_image")
    clips = cards["procedural/clips"]
    assert clips.rate == 16
    assert [length for length in range(1, 100) if clips.frames.accepts(length)] == list(range(5, 82, 4))
    for card in (card for card in cards.values() if card.family == "procedural"):
        assert card.sizes.default == (256, 144)
        assert not card.sizes.accepts(250, 144)


def test_a_user_adds_cards_from_a_folder(tmp_path):
    (tmp_path / "mine.yaml").write_text(CARD)
    assert load_catalog(tmp_path)["mine/model"].licence == "MIT"


def test_a_bad_user_card_is_refused_with_its_line(tmp_path):
    (tmp_path / "bad.yaml").write_text(CARD + "gpu: 1\n")
    with pytest.raises(BatchRefused) as refused:
        load_catalog(tmp_path)
    (problem,) = refused.value.problems
    assert problem.line == 6
    assert "bad.yaml:6" in str(problem)
    assert "gpu" in str(problem)


def test_a_user_card_cannot_replace_another(tmp_path):
    (tmp_path / "again.yaml").write_text(CARD.replace("mine/model", "procedural/stills"))
    with pytest.raises(CatalogRefused, match=r"procedural/stills is already taken by procedural-stills\.yaml"):
        load_catalog(tmp_path)


def test_a_missing_folder_of_cards_is_said(tmp_path):
    with pytest.raises(CatalogRefused, match="no such folder"):
        load_catalog(tmp_path / "nowhere")


def test_a_generator_is_built_without_loading_and_refuses_a_card_without_weights(tmp_path):
    (tmp_path / "mine.yaml").write_text(CARD)
    generator = build_generator(load_catalog(tmp_path)["mine/model"])
    with pytest.raises(WeightsRefused, match=r"mine/model cannot run: its card names no source"):
        generator.setup()


def test_the_catalogue_needs_no_numpy_and_no_opencv():
    code = (
        "import sys, ancestra_farm.models.catalog as catalog; catalog.load_catalog()\n"
        "print(sorted({'numpy', 'cv2', 'torch'} & set(sys.modules)))"
    )
    assert run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
