"""The checkpoint that ships, through the same generator as any diffusers pipeline."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import ancestra_farm  # noqa: E402
from ancestra_farm.filters.motion_match import correlation, flow_through  # noqa: E402
from ancestra_farm.models.build import build_generator  # noqa: E402
from ancestra_farm.models.catalog import load_catalog  # noqa: E402
from ancestra_farm.models.embedded import export, judges, measure, renders  # noqa: E402
from ancestra_farm.models.embedded.words import Facts  # noqa: E402
from ancestra_farm.models.guides.colours import flow_of  # noqa: E402
from ancestra_farm.models.guides.frames import moving_guide  # noqa: E402
from tests.models.guides.files import from_folder, motion_path, said  # noqa: E402
from tests.models.recipes import recipe, steps  # noqa: E402

FOLDER = Path(ancestra_farm.__file__).parent / "models" / "embedded"
CARD = load_catalog()["embedded/wan"]
PROMPTS = {
    "sea": "the ocean at dawn",
    "tissue": "vessels and tissue, day",
    "cells": "living cells, midday light",
    "stars": "stars and dust at night",
    "petals": "petals of light, day",
}

# importing torch, diffusers and transformers warns of what they will drop
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def generator():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    made = build_generator(CARD)
    made.setup()
    yield made
    made.close()
    torch.set_num_threads(before)


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def asked(prompt, seed, card=CARD, **wanted):
    defaults = {name: parameter.default for name, parameter in card.parameters.items()} | dict(card.full)
    given = recipe(seed=seed, prompt=prompt, size=card.sizes.default, **defaults, **wanted)
    parameters = {name: value for name, value in given.parameters.items() if name in card.parameters}
    return replace(given, model=card.id, parameters=parameters, rate=card.rate or Fraction(1))


def test_stills_show_what_was_asked(generator):
    prompts = [(subject, prompt, seed) for subject, prompt in PROMPTS.items() for seed in range(4)]
    recipes = [asked(prompt, seed) for _, prompt, seed in prompts]
    stills = np.stack([made.frames[0] for made in generator.generate(recipes, {}, lambda: False)])
    assert stills.shape == (20, 64, 96, 3)
    said = judges.load(FOLDER / "judges.safetensors").subjects(stills)
    right = [a == subject for a, (subject, _, _) in zip(said, prompts, strict=True)]
    # Measured over hundreds: see MODEL_CARD.md.
    assert sum(right) >= 17, list(zip(said, prompts, strict=True))


def test_a_clip_begins_with_its_still_and_moves(one_thread):
    card = load_catalog()["embedded/wan-i2v"]
    facts = Facts(subject="tissue", light="day", motion="drift_left")
    still = renders.still(facts, 3_900_001)
    wanted = asked("tissue and vessels by day, drifting left", 5, card, role="image_to_video", frames=17)
    wanted = replace(wanted, context_frames=1, parents=("0" * 32,))
    generator = build_generator(card)
    generator.setup()
    (made,) = generator.generate([wanted], {"0" * 32: still[None]}, lambda: False)
    generator.close()
    assert made.frames.shape == (17, 64, 96, 3)
    assert measure.ssim(still, made.frames[0]) >= 0.8
    assert steps(made.frames).min() > 0.2
    assert judges.load(FOLDER / "judges.safetensors").subjects(made.frames[-1:]) == ["tissue"]


def test_a_clip_goes_the_way_of_a_motion_path(one_thread, tmp_path):
    card = load_catalog()["embedded/wan-guided"]
    ways = {"left.json": (-0.3, 0.0), "down.json": (0.0, 0.4)}
    for name, (across, down) in ways.items():
        motion_path(tmp_path / name, {"points": [(0, 0.5, 0.5), (2, 0.5 + across, 0.5 + down)]})
    generator = build_generator(card, from_folder(tmp_path))
    generator.setup()
    plain = asked("vessels and tissue by day", 5, card, role="text_to_video", frames=17)
    for name in ways:
        wanted = replace(plain, guides=(said("motion_path", name, "flow").text,))
        (made,) = generator.generate([wanted], {}, lambda: False)
        _, shown = moving_guide(wanted, from_folder(tmp_path))
        # Measured over many: see MODEL_CARD.md.
        assert correlation(flow_through(made.frames), flow_of(shown[1:])) > 0.4, name
    generator.close()


def test_the_checkpoint_is_what_its_cards_say_and_may_ship():
    folder = FOLDER / "weights"
    found = {name: f"sha256:{digest}" for name, digest in export.digests_of(folder).items()}
    for card in load_catalog().values():
        if card.family == "embedded":
            assert found == dict(card.digests), card.id
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= export.MOST_BYTES
