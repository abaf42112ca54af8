"""Ground truth for the filters: clean pictures and clips of every subject and light, and faults planted in them.

Thresholds are fitted on the numbers of one range (`FIT`) and gated on another (`GATE`); no seed is in both.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from ancestra_farm.filters.cascade import Cascade
from ancestra_farm.filters.registry import all_filters
from ancestra_farm.filters.sampling import wilson
from ancestra_farm.filters.settings import DEFAULT_ORDER, DEFAULTS
from ancestra_farm.models.procedural import clips, faults, scenes
from ancestra_farm.plan.recipe import digest_of

#: Every subject, in lights and at energies from the brightest to the darkest and from the softest to the busiest.
WORDINGS = (
    "the ocean seen from a helicopter at dawn",
    "the ocean at night under the moon, calm",
    "a raging storm at sea, low over the waves",
    "a misty sea, soft and pale",
    "the sea at noon, glittering, from high above",
    "ember dusk over a glassy bay",
    "the descent through layers of tissue into the womb",
    "the womb in darkness, deep crimson, still",
    "vessels and capillaries close, amber light",
    "a pale placenta in milk-white mist",
    "light breaking like petals",
    "a white flower opening in full daylight",
    "rose petals at dusk, soft, quiet",
    "violet petals unfolding at night",
    "cells dividing under a microscope",
    "a dark cell membrane, indigo",
    "bright plankton in daylight",
    "stars over a void, night",
    "a nebula of gold dust in space",
    "a blue galaxy, far, silent",
)

FIT, GATE = "fit", "gate"

#: The severity from which a person sees the fault, by kind, judged by eye on pictures at, above and below it (see
#: benchmarks/README.md). Below it a fault may pass; from it on 99 % are caught.
VISIBLE = {
    "nan": 0.0,
    "black": 0.0,
    "clipped": 0.05,
    "noise": 0.15,
    "banding": 0.0,
    "blur": 0.5,
    "frozen": 0.0,
    "duplicate": 0.0,
    "flicker": 0.0,
    "cut": 0.0,
}
#: In pictures lower than 144 rows the blur of severity 0.5 is hardly over a pixel; there it is seen from here.
VISIBLE_BLUR_WHEN_SMALL = 0.6
PICTURE_FAULTS = ("nan", "black", "clipped", "noise", "banding", "blur")
CLIP_FAULTS = ("frozen", "duplicate", "flicker", "cut")
#: Whose word counts as having caught a kind, where it is not the filter of the same name.
CAUGHT_BY = {"duplicate": "frozen"}


@dataclass(frozen=True, slots=True)
class Base:
    """A clean candidate. ``kept``: frames at its head that no fault may touch."""

    frames: np.ndarray
    wording: str
    kept: tuple[int, int]


def seed_at(purpose, number):
    return int.from_bytes(digest_of("filters", purpose, number)[:8], "little") >> 1


def clean_still(purpose, number, size):
    """uint8 [1, H, W, 3] of ``size`` (width, height)."""
    wording = WORDINGS[number % len(WORDINGS)]
    return Base(scenes.still(wording, seed_at(purpose, number), size)[None], wording, (0, 0))


def clean_clip(purpose, number, size, frames):
    """uint8 [T, H, W, 3]; in turns made from words, from a still, and from the tail of another clip."""
    wording, seed = WORDINGS[number % len(WORDINGS)], seed_at(purpose, number)
    way = number // len(WORDINGS) % 3
    if way == 0:
        made, kept = scenes.take(wording, seed, size, frames, 16.0), 0
    else:
        context = 1 if way == 1 else 3
        parent = np.stack(list(scenes.take(wording, seed, size, context, 16.0)))
        made, kept = clips.continued(wording, seed, parent, frames, context, 16.0, 1.0), context
    return Base(np.stack(list(made)), wording, (kept, 0))


def visible(kind, size):
    """The least severity at which the kind is visible in a picture of ``size`` (width, height)."""
    return VISIBLE_BLUR_WHEN_SMALL if kind == "blur" and size[1] < 144 else VISIBLE[kind]


def severity_at(purpose, kind, number, low):
    """A severity in [low, 1], drawn evenly."""
    return low + (1 - low) * int.from_bytes(digest_of("severity", purpose, kind, number)[:4], "little") / 2**32


def spoilt(base, kind, severity, seed):
    """The clean candidate with a fault planted as the models plant it."""
    return faults.plant(base.frames, kind, severity, faults.fault_rng(seed), base.kept)


def near_duplicate(frames, rng):
    """The same still again as a person would call it: reframed by up to 2 %, brighter by up to 3 %, through JPEG."""
    height, width = frames.shape[1:3]
    zoom, gain = 1 + 0.02 * rng.uniform(), 1 + 0.03 * rng.uniform()
    x, y = (width * (1 - 1 / zoom) * rng.uniform(), height * (1 - 1 / zoom) * rng.uniform())
    matrix = np.array([[1 / zoom, 0, x], [0, 1 / zoom, y]])
    moved = cv2.warpAffine(frames[0], matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    bright = np.clip(np.rint(moved * gain), 0, 255).astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", bright, [cv2.IMWRITE_JPEG_QUALITY, 85])[1], cv2.IMREAD_COLOR)[None]


@dataclass(slots=True)
class Tally:
    """``hits`` of ``trials``; ``others``: what was not a hit, as (number, severity or reasons)."""

    hits: int = 0
    trials: int = 0
    others: list = field(default_factory=list)

    def add(self, hit, what):
        self.trials += 1
        self.hits += hit
        if not hit:
            self.others.append(what)

    @property
    def share(self):
        return self.hits / self.trials

    @property
    def interval(self):
        return wilson(self.hits, self.trials)


def gate(purpose, numbers, base_of, size, kinds):
    """How many faults of each kind are caught by its filter from the visible severity on, and how many clean pass all.

    ``base_of(number)`` gives the clean candidate. Returns Tally by kind; that of "clean" counts those that pass.
    """
    filters = all_filters()
    cascade = Cascade(DEFAULT_ORDER, {}, 0.0)
    tallies = {kind: Tally() for kind in ("clean", *kinds)}
    for number in numbers:
        base = base_of(number)
        judgement = cascade.judge(str(number), base.frames)
        tallies["clean"].add(judgement.passed, (number, judgement.message))
        for kind in kinds:
            severity = severity_at(purpose, kind, number, visible(kind, size))
            name = CAUGHT_BY.get(kind, kind)
            verdict = filters[name].judge(spoilt(base, kind, severity, seed_at(purpose, number)), DEFAULTS[name])
            tallies[kind].add(not verdict.passed, (number, round(severity, 3)))
    return tallies
