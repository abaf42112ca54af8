"""The example look on the embedded model: the style goes over, the subject stays, and no look is no look."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ancestra_farm.batch.look import checked_look
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.models.diffusion.weights import is_here
from ancestra_farm.models.embedded import judges as judging
from ancestra_farm.models.embedded.footage import Footage
from ancestra_farm.models.embedded.renders import still
from ancestra_farm.models.embedded.words import SUBJECTS, caption_of, some_facts
from ancestra_farm.models.looks.dataset import load_dataset, picture
from ancestra_farm.models.looks.rendered import in_ember, photographs
from ancestra_farm.models.looks.samples import png, recipe_for
from ancestra_farm.models.looks.shelf import FolderShelf
from ancestra_farm.models.looks.style import moved, style_of
from ancestra_farm.models.looks.training import Lesson, train, training_card
from tests.models.diffusion.recipes import loaded, made

torch.set_num_threads(1)
JOB = Path(__file__).parents[3] / "jobs" / "looks" / "ember.yaml"
CARD = load_catalog().get("embedded/wan")
#: Pictures of each subject that are compared, and the first seed of renders that nothing was trained on.
OF_EACH, UNSEEN = 8, 91

needs_weights = pytest.mark.skipif(
    CARD is None or not is_here(CARD), reason="the embedded checkpoint is not in this checkout"
)


@dataclass(frozen=True)
class Figures:
    """What the look does. ``colour`` and ``spectrum``: parts of the way; the rest: share of right subjects."""

    colour: float
    spectrum: float
    with_look: float
    without: float
    of_style: float


def judge_of_subjects(each: int = 160, epochs: int = 12) -> judging.Judges:
    """A judge of structure that knows the subjects plain and in ember; half of what it learns from is each."""
    rng = np.random.default_rng(5)
    facts = [replace(some_facts(rng), subject=subject) for subject in SUBJECTS for _ in range(each)]
    facts = [replace(one, light="day" if one.light == "storm" and one.subject != "sea" else one.light) for one in facts]
    plain = [still(one, 50_000 + number) for number, one in enumerate(facts)]
    shown = [in_ember(one) if number % 2 else one for number, one in enumerate(plain)]
    return judging.trained(Footage(Path(), np.stack(shown)[:, None], tuple(facts)), None, epochs)


def right(judges: judging.Judges, pictures: Sequence[np.ndarray], wanted: Sequence[str]) -> float:
    """The share of pictures whose subject a judge of structure alone sees."""
    return float(
        np.mean([one == other for one, other in zip(judges.structures(np.stack(pictures)), wanted, strict=True)])
    )


def figures_of(place: Path) -> Figures:
    """Train the example look and measure it, against pictures of the style that it has not seen."""
    located = checked_look(JOB, {CARD.id: CARD})
    dataset = load_dataset(located, CARD.sizes.default, dt.datetime.now(dt.UTC).date())
    lesson = Lesson(located.look, CARD, dataset.photos, dataset.data, dataset.ledger, dataset.licences)
    done = train(lesson, loaded(training_card(CARD)), FolderShelf(place))
    file = place / "look.safetensors"
    file.write_bytes(done.data)

    rng = np.random.default_rng(3)
    wanted = [subject for subject in SUBJECTS for _ in range(OF_EACH)]
    prompts = [
        caption_of(replace(some_facts(rng), subject=one, light=None, motion=None, tint=None), rng) for one in wanted
    ]
    plain = [recipe_for(CARD, prompt, CARD.sizes.default, seed) for seed, prompt in enumerate(prompts)]
    generator = loaded(CARD, lambda _digest: file)
    before = [frames[0] for frames in made(generator, plain)]
    after = [frames[0] for frames in made(generator, [replace(one, look=done.digest) for one in plain])]
    nothing = [
        frames[0] for frames in made(generator, [replace(one, look=done.digest, look_weight=0.0) for one in plain])
    ]
    assert all(np.array_equal(one, other) for one, other in zip(before, nothing, strict=True))

    style = [picture_of(one) for _, one, _ in photographs(UNSEEN, OF_EACH)]
    way = moved(style_of(before), style_of(after), style_of(style))
    judges = judge_of_subjects()
    assert way.colour is not None
    assert way.spectrum is not None
    return Figures(
        way.colour,
        way.spectrum,
        right(judges, after, wanted),
        right(judges, before, wanted),
        right(judges, style, wanted),
    )


def picture_of(large: np.ndarray) -> np.ndarray:
    """A photograph at the size of training."""
    return picture(png(large), CARD.sizes.default)


@needs_weights
@pytest.mark.timeout(600)
def test_the_style_goes_at_least_half_the_way_and_the_subject_stays(tmp_path):
    figures = figures_of(tmp_path)
    assert figures.colour >= 0.5, figures
    assert figures.spectrum >= 0.5, figures
    assert figures.with_look >= 0.9 * min(figures.without, figures.of_style), figures


@needs_weights
def test_the_photographs_are_those_that_the_ledger_is_about():
    located = checked_look(JOB, {CARD.id: CARD})
    dataset = load_dataset(located, CARD.sizes.default, dt.date(2026, 6, 1))
    assert len(dataset.photos) == 20
    assert sum(photo.path.stat().st_size for photo in dataset.photos) < 300_000
