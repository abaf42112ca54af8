"""From a prompt's words to a direction: what is shown, in which light, from how high, how it moves.

It decides what the words say and nothing else; what they leave open the seed decides, scene by scene. So the same seed
under two wordings keeps its composition and changes only what the words changed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, zip_longest
from typing import Literal, TypeVar

from ancestra_farm.plan.recipe import digest_of

Subject = Literal["ocean", "tissue", "petals", "cells", "stars"]
Light = Literal["dawn", "day", "dusk", "night", "storm", "mist"]
Move = Literal["push_in", "pull_back", "drift_left", "drift_right", "rise", "sink", "spiral", "open", "hold"]

K = TypeVar("K")

SUBJECTS: tuple[Subject, ...] = ("ocean", "tissue", "petals", "cells", "stars")

_SUBJECT_WORDS: Mapping[Subject, str] = {
    "ocean": "ocean sea seas water waters wave waves swell swells surf tide tides horizon helicopter sails gulf bay "
    "sail coast maritime atlantic pacific saltwater whitecaps deep-sea seascape billows brine aerial",
    "tissue": "tissue tissues vessel vessels vein veins artery arteries capillary capillaries womb uterus "
    "uterine flesh blood placenta umbilical body anatomy muscle heart pulse arterial lining inside skin "
    "descent descending belly",
    "petals": "petal petals flower flowers bloom blooming blossom blossoms lotus rose-window unfolding "
    "unfold refraction prism caustic caustics rays ray radiance corolla lily peony aperture breaking beam beams "
    "kaleidoscope light",
    "cells": "cell cells membrane membranes mitosis nucleus nuclei cytoplasm embryo zygote egg ovum plankton "
    "microscopic microscope amoeba tissue-culture bubbles foam organelle blastocyst spores",
    "stars": "star stars starfield dust nebula galaxy galaxies cosmos cosmic space milky constellation constellations "
    "universe interstellar stardust comet void firmament",
}
_LIGHT_WORDS: Mapping[Light, str] = {
    "dawn": "dawn sunrise daybreak morning first-light aurora waking awakening early",
    "day": "day noon midday daylight bright sunny azure clear",
    "dusk": "dusk sunset evening twilight golden-hour ember embers dying late gloaming",
    "night": "night moon moonlit moonlight midnight nocturnal dark darkness black",
    "storm": "storm stormy tempest gale squall thunder raging wild rough furious violent turbulent",
    "mist": "mist misty fog foggy haze hazy pale milk veiled veil soft dreamlike dreamy overcast grey gray silver",
}
#: Hue in degrees and how strongly a picture takes it on.
_TINT_WORDS: Mapping[str, tuple[float, float]] = {
    "crimson": (350, 0.9), "red": (358, 0.8), "scarlet": (4, 0.9), "ruby": (345, 0.8), "blood-red": (355, 1.0),
    "wine-dark": (330, 0.7), "wine": (335, 0.7), "rose": (340, 0.6), "pink": (335, 0.6), "magenta": (315, 0.8),
    "violet": (275, 0.8), "purple": (280, 0.8), "lavender": (265, 0.5), "indigo": (245, 0.8), "blue": (220, 0.7),
    "cobalt": (222, 0.9), "azure": (208, 0.6), "cyan": (187, 0.7), "teal": (178, 0.8), "turquoise": (174, 0.8),
    "emerald": (150, 0.8), "green": (135, 0.7), "jade": (155, 0.6), "gold": (43, 0.8), "golden": (43, 0.8),
    "amber": (35, 0.8), "honey": (38, 0.7), "orange": (24, 0.8), "copper": (20, 0.7), "fire": (16, 0.9),
    "flame": (14, 0.9), "ember": (12, 0.8), "embers": (12, 0.8), "ivory": (42, 0.2), "pearl": (30, 0.15),
    "silver": (215, 0.15), "white": (40, 0.1), "milk": (35, 0.15), "coral": (10, 0.6), "peach": (22, 0.5),
}  # fmt: skip
_HEIGHT_WORDS: Mapping[float, str] = {
    1.0: "high soaring above aerial satellite mile-high vast far distant wide",
    0.35: "helicopter overhead flying",
    -1.0: "low skimming close near intimate macro surface closeup close-up water-level detail",
}
_ENERGY_WORDS: Mapping[float, str] = {
    1.0: "storm stormy tempest gale raging wild rough furious violent turbulent surging boiling exploding bursting",
    0.65: "restless choppy windy breaking rolling racing heaving",
    0.1: "calm still glassy serene quiet gentle silent sleeping tranquil mirror smooth hushed",
}
_MOVE_WORDS: Mapping[Move, str] = {
    "push_in": "push push-in forward fly flying flight approach approaching toward towards advance into dolly "
    "helicopter",
    "pull_back": "pull-back pullback back backwards retreat retreating recede receding reveal",
    "drift_left": "left leftward leftwards",
    "drift_right": "drift drifting float floating right rightward pan glide gliding sideways",
    "rise": "rise rising ascend ascending climb climbing lift lifting upward upwards soar soaring",
    "sink": "sink sinking fall falling dive diving downward downwards",
    "spiral": "spiral spiralling spiraling spin spinning turn turning rotate rotating swirl swirling vortex descent "
    "descend descending descends",
    "open": "open opening opens unfold unfolding bloom blooming blossom expand expanding breaking break burst bursting",
    "hold": "hold static locked-off motionless",
}
#: How a scene moves where no word says so.
_HABIT: Mapping[Subject, Move] = {
    "ocean": "push_in", "tissue": "spiral", "petals": "open", "cells": "drift_right", "stars": "push_in",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Direction:
    """What a prompt says. None: it leaves that open.

    ``tint``: hue in degrees and strength in [0, 1]. ``height``: −1 at the surface to 1 far above. ``energy``: 0
    glassy to 1 furious. ``moves``: in the order of the words, never empty.
    """

    subject: Subject
    light: Light | None
    tint: tuple[float, float] | None
    height: float | None
    energy: float | None
    moves: tuple[Move, ...]


@lru_cache(maxsize=512)
def direction_of(prompt: str) -> Direction:
    """The direction in a prompt. A prompt that names no subject shows one that belongs to its wording."""
    words = _words(prompt)
    subject = _strongest(words)
    if subject is None:
        subject = SUBJECTS[digest_of("subject", prompt)[0] % len(SUBJECTS)]
    moves = _every(words, _MOVE_WORDS)
    if "drift_left" in moves:
        # "Drifting" alone goes right; "drifting left" goes left.
        moves = tuple(move for move in moves if move != "drift_right")
    return Direction(
        subject=subject,
        light=_first(words, _LIGHT_WORDS, prefer=("dawn", "day", "dusk", "night")),
        tint=next((_TINT_WORDS[word] for word in words if word in _TINT_WORDS), None),
        height=_first(words, _HEIGHT_WORDS),
        energy=_first(words, _ENERGY_WORDS),
        moves=moves or (_HABIT[subject],),
    )


def _words(prompt: str) -> list[str]:
    """The words and pairs of neighbouring words (``first-light``), in order, lower case."""
    single = re.findall(r"[a-z]+(?:-[a-z]+)*", prompt.lower())
    pairs = [f"{a}-{b}" for a, b in pairwise(single)]
    return [word for both in zip_longest(pairs, single) for word in both if word]


def _strongest(words: list[str]) -> Subject | None:
    """The subject that most words speak of; the first named wins a tie."""
    counts: dict[Subject, float] = {}
    for subject, text in _SUBJECT_WORDS.items():
        known = set(text.split())
        named = [at for at, word in enumerate(words) if word in known]
        counts[subject] = len(named) - min(named) / 1000 if named else 0.0
    best = max(counts, key=lambda subject: counts[subject])
    return best if counts[best] > 0 else None


def _every(words: list[str], table: Mapping[K, str]) -> tuple[K, ...]:
    known = {word: key for key, text in table.items() for word in text.split()}
    return tuple(dict.fromkeys(known[word] for word in words if word in known))


def _first(words: list[str], table: Mapping[K, str], prefer: tuple[K, ...] = ()) -> K | None:
    """The first that is named; one of ``prefer`` before any other (a storm at dusk is lit by the dusk)."""
    named = _every(words, table)
    return next((key for key in named if key in prefer), next(iter(named), None))
