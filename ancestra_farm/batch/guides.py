"""What is known of each kind of guide: which files it may be, how many a model takes, and as what it is given them.

A guide is one file. A path of motion or of a camera is no picture: the farm renders it as one of the kinds that the
model takes. Data and pure decisions; whether a file is what its suffix says is looked at elsewhere.
"""

from collections.abc import Collection
from pathlib import PurePosixPath

PICTURES: tuple[str, ...] = (".png", ".jpg", ".jpeg", ".exr")
CLIPS: tuple[str, ...] = (".mkv", ".mp4", ".mov")
USD: tuple[str, ...] = (".usd", ".usda", ".usdc")

#: The suffixes that a guide's file may have, by kind.
SUFFIXES: dict[str, tuple[str, ...]] = {
    "first_frame": PICTURES,
    "last_frame": PICTURES,
    "reference": PICTURES,
    "mask": (*PICTURES, *CLIPS),
    "plate": (*PICTURES, *CLIPS),
    "depth": (*PICTURES, *CLIPS),
    "edges": (*PICTURES, *CLIPS),
    "previz": (*PICTURES, *CLIPS),
    "flow": CLIPS,
    "motion_path": (".json",),
    "camera": (".json", *USD),
}

#: What the farm renders from a path, the first that a model takes. A camera also knows how far away things are.
RENDERED_AS: dict[str, tuple[str, ...]] = {
    "motion_path": ("flow", "previz", "motion_path"),
    "camera": ("flow", "previz", "depth", "camera"),
}

#: Ends of a clip that a role has already, from the stage that it starts from: a guide of this kind would be ignored.
HAS_ITS_OWN: dict[str, frozenset[str]] = {
    "image_to_video": frozenset({"first_frame"}),
    "extend": frozenset({"first_frame"}),
    "first_last_frame": frozenset({"first_frame", "last_frame"}),
}

#: Kinds that steer every frame: a still one stands for all of them.
CONTROLS = frozenset({"depth", "edges", "previz", "flow", "motion_path", "camera"})
#: The score that says how well a clip follows its guide; only clips with a guide that moves have it.
MATCH_SCORE = "motion_match"
#: Kinds of which a model takes several at once.
SEVERAL = frozenset({"reference"})


def taken_as(kind: str, taken: Collection[str]) -> str | None:
    """As which kind a model that takes the kinds ``taken`` is given a guide of ``kind``; None: it takes none such."""
    ways = RENDERED_AS.get(kind, (kind,))
    return next((way for way in ways if way in taken), None)


def taken_in(role: str, taken: Collection[str]) -> tuple[str, ...]:
    """Of the kinds ``taken`` that a model takes, those that it has a use for in a role."""
    return tuple(kind for kind in taken if kind not in HAS_ITS_OWN.get(role, ()))


def takers_of(kind: str) -> tuple[str, ...]:
    """The kinds of which a model must take one to be given a guide of ``kind``."""
    return RENDERED_AS.get(kind, (kind,))


def name_of(source: str) -> str:
    """The last part of a path or URL: its suffix says the format."""
    return PurePosixPath(source).name


def suffix_of(name: str) -> str:
    """The suffix of a file name in lower case, with its dot."""
    return PurePosixPath(name).suffix.lower()


def is_moving(name: str) -> bool:
    """Whether a guide's file lasts: a clip or a path, no picture."""
    return suffix_of(name) not in PICTURES
