"""What the embedded model can be told: facts of a picture, the words for them, and captions both ways.

The vocabulary is small and closed. Every fact has several words, plain and poetic; a caption names some of the facts
of a picture and leaves others open. Words that are in no list are unknown to the model and change next to nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeVar, cast

import numpy as np

Subject = Literal["sea", "tissue", "cells", "stars", "petals"]
Light = Literal["dawn", "day", "dusk", "night", "storm", "mist"]
Height = Literal["near", "far"]
Tint = Literal["crimson", "rose", "amber", "violet", "indigo", "teal", "emerald", "pearl"]
Motion = Literal["drift_left", "drift_right", "rise", "sink", "push_in", "pull_back", "spiral", "open", "hold"]

K = TypeVar("K", bound=str)

#: Tokens of the text encoder, end of text included; what is longer is cut. The model was trained with this padding.
TOKENS = 24

_SUBJECT_WORDS: Mapping[Subject, str] = {
    "sea": "ocean sea water waves swells swell tide surf horizon",
    "tissue": "tissue vessels veins womb flesh blood vessel vein skin",
    "cells": "cells membranes cell membrane embryo nucleus plankton microscope",
    "stars": "stars dust nebula galaxy cosmos starfield constellations",
    "petals": "petals flower bloom blossom petal lotus rays",
}
_LIGHT_WORDS: Mapping[Light, str] = {
    "dawn": "dawn sunrise daybreak morning first-light",
    "day": "day noon daylight midday sunlit",
    "dusk": "dusk sunset evening twilight ember",
    "night": "night moonlit midnight dark nocturnal",
    "storm": "storm stormy tempest thunder",
    "mist": "mist haze fog pale veiled misty",
}
_HEIGHT_WORDS: Mapping[Height, str] = {
    "near": "close near intimate macro low skimming",
    "far": "far high distant vast aerial wide helicopter above",
}
_TINT_WORDS: Mapping[Tint, str] = {
    "crimson": "crimson red scarlet ruby",
    "rose": "rose pink coral peach",
    "amber": "amber gold golden honey copper",
    "violet": "violet purple lavender",
    "indigo": "indigo blue cobalt azure",
    "teal": "teal turquoise cyan",
    "emerald": "emerald green jade",
    "pearl": "pearl silver white ivory",
}
_MOTION_WORDS: Mapping[Motion, str] = {
    "drift_left": "left leftward",
    "drift_right": "right rightward",
    "rise": "rising climbing ascending lifting",
    "sink": "sinking falling descending diving",
    "push_in": "forward approaching inward flying",
    "pull_back": "receding retreating backward back",
    "spiral": "spiral spiralling turning swirling descent",
    "open": "opening unfolding blooming breaking bursting",
    "hold": "motionless still resting unmoving",
}
#: Words that a drift may be put in before its direction.
_DRIFTS = ("drifting", "gliding", "floating", "panning")
_FILLERS = (
    "the a of over in at with and seen from through by under into on like slow slowly gently light living deep endless "
    "silent soft calm clip picture moving camera"
)

SUBJECTS: tuple[Subject, ...] = tuple(_SUBJECT_WORDS)
LIGHTS: tuple[Light, ...] = tuple(_LIGHT_WORDS)
HEIGHTS: tuple[Height, ...] = tuple(_HEIGHT_WORDS)
TINTS: tuple[Tint, ...] = tuple(_TINT_WORDS)
MOTIONS: tuple[Motion, ...] = tuple(_MOTION_WORDS)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is in a picture. None where a caption leaves it open; a render has every fact but perhaps a tint."""

    subject: Subject | None = None
    light: Light | None = None
    height: Height | None = None
    tint: Tint | None = None
    motion: Motion | None = None


def lights_of(subject: Subject) -> tuple[Light, ...]:
    """The lights a subject is shown in: only the sea has storms."""
    return LIGHTS if subject == "sea" else tuple(light for light in LIGHTS if light != "storm")


def motions_of(subject: Subject) -> tuple[Motion, ...]:
    """The ways a subject is moved past: only petals open."""
    return MOTIONS if subject == "petals" else tuple(motion for motion in MOTIONS if motion != "open")


def some_facts(rng: np.random.Generator, tinted: float = 0.35) -> Facts:
    """The facts of one render, all of them drawn; a tint with the probability ``tinted``."""
    subject = _one(rng, SUBJECTS)
    return Facts(
        subject=subject,
        light=_one(rng, lights_of(subject)),
        height=_one(rng, HEIGHTS),
        tint=_one(rng, TINTS) if rng.uniform() < tinted else None,
        motion=_one(rng, motions_of(subject)),
    )


def named(facts: Facts, rng: np.random.Generator, moving: float) -> Facts:
    """What a caption says of a render: subject and tint always, light and height often, motion as often as ``moving``.

    ``moving``: a probability in [0, 1].
    """
    return Facts(
        subject=facts.subject,
        light=facts.light if rng.uniform() < 0.8 else None,
        height=facts.height if rng.uniform() < 0.45 else None,
        tint=facts.tint,
        motion=facts.motion if rng.uniform() < moving else None,
    )


def caption_of(facts: Facts, rng: np.random.Generator) -> str:
    """A caption that says these facts and no others. Raises ValueError where the facts lack a subject."""
    if facts.subject is None:
        raise ValueError("a caption names its subject; these facts have none")
    parts = [_subject_phrase(facts.subject, rng)]
    light = _word(rng, _LIGHT_WORDS, facts.light)
    if light:
        form = rng.integers(4)
        if form == 0:
            parts[0] = f"{light} {parts[0]}"
        else:
            parts.append((f"at {light}", f"{light} light", f"in the {light}")[form - 1])
    tint = _word(rng, _TINT_WORDS, facts.tint)
    if tint:
        parts.append((tint, f"{tint} light", f"in {tint}")[rng.integers(3)])
    height = _word(rng, _HEIGHT_WORDS, facts.height)
    if height:
        parts.append((height, f"seen from {height}", f"{height} camera")[rng.integers(3)])
    if facts.motion is not None:
        parts.append(_motion_phrase(facts.motion, rng))
    head, tail = parts[0], parts[1:]
    order = rng.permutation(len(tail))
    return ", ".join([head, *(tail[int(at)] for at in order)])


def facts_of(caption: str) -> Facts:
    """The facts a caption names; the word said first counts, and for the subject the one said most."""
    words = words_of(caption)
    subjects = [_table("subject").get(word) for word in words]
    said = [subject for subject in subjects if subject is not None]
    subject = max(dict.fromkeys(said), key=said.count) if said else None
    return Facts(
        subject=cast("Subject | None", subject),
        light=cast("Light | None", _first("light", words)),
        height=cast("Height | None", _first("height", words)),
        tint=cast("Tint | None", _first("tint", words)),
        motion=cast("Motion | None", _first("motion", words)),
    )


def words_of(text: str) -> list[str]:
    """The words of a text as the tokenizer cuts them: lower case, hyphens kept inside a word."""
    return re.findall(r"[a-z]+(?:-[a-z]+)*", text.lower())


@cache
def vocabulary() -> tuple[str, ...]:
    """Every word the model knows, each once, in a fixed order."""
    listed = [word for kind in ("subject", "light", "height", "tint", "motion") for word in _table(kind)]
    return tuple(dict.fromkeys([*listed, *_DRIFTS, *_FILLERS.split()]))


def _subject_phrase(subject: Subject, rng: np.random.Generator) -> str:
    words = _SUBJECT_WORDS[subject].split()
    # The first words of a list are the ones people use: they come twice as often.
    weights = np.array([2.0 if at < 2 else 1.0 for at in range(len(words))])
    first, second = (words[int(at)] for at in rng.choice(len(words), 2, replace=False, p=weights / weights.sum()))
    forms: tuple[str, ...] = (
        first,
        f"the {first}",
        f"{first} and {second}",
        f"living {first}",
        f"{second} of {first}",
        f"a {first}",
    )
    if subject == "petals":
        forms += (f"light like {first}", f"{first} of light")
    return forms[rng.integers(len(forms))]


def _motion_phrase(motion: Motion, rng: np.random.Generator) -> str:
    word = _word(rng, _MOTION_WORDS, motion)
    if motion in ("drift_left", "drift_right"):
        word = f"{_one(rng, _DRIFTS)} {word}"
    return (word, f"slowly {word}", f"camera {word}", f"gently {word}")[rng.integers(4)]


def _word(rng: np.random.Generator, table: Mapping[K, str], fact: K | None) -> str:
    return _one(rng, tuple(table[fact].split())) if fact is not None else ""


def _one(rng: np.random.Generator, choices: tuple[K, ...]) -> K:
    return choices[int(rng.integers(len(choices)))]


@cache
def _table(kind: str) -> Mapping[str, str]:
    """From a word to the fact it says."""
    tables = {
        "subject": cast("Mapping[str, str]", _SUBJECT_WORDS),
        "light": cast("Mapping[str, str]", _LIGHT_WORDS),
        "height": cast("Mapping[str, str]", _HEIGHT_WORDS),
        "tint": cast("Mapping[str, str]", _TINT_WORDS),
        "motion": cast("Mapping[str, str]", _MOTION_WORDS),
    }
    return {word: fact for fact, text in tables[kind].items() for word in text.split()}


def _first(kind: str, words: list[str]) -> str | None:
    return next((_table(kind)[word] for word in words if word in _table(kind)), None)
