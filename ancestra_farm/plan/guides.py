"""The guides of one segment as its recipes say them: what steers it, as what, by which digest, from which moment on.

A guide that lasts belongs to the whole shot; each segment, and each key, gets its part. What begins or ends a shot
steers its first or last segment only.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

from ancestra_farm.batch.guides import is_moving, name_of, suffix_of, taken_as
from ancestra_farm.batch.schema import Guide
from ancestra_farm.plan.refusal import PlanRefused


@dataclass(frozen=True, slots=True)
class RecipeGuide:
    """One guide in a recipe.

    ``way``: the kind that the model is given; it differs from ``kind`` where the farm renders it from a path.
    ``digest``: of the file, ``sha256:…``. ``name``: of the file; its suffix says the format. ``start_s``: of one that
    lasts, the moment of the segment's first frame in it, in seconds (negative: it has not begun); 0 for pictures.
    """

    kind: str
    way: str
    role: str
    digest: str
    name: str
    start_s: Fraction = Fraction(0)

    @classmethod
    def read(cls, text: str) -> Self:
        """The guide that an entry of `Recipe.guides` stands for."""
        found: dict[str, Any] = json.loads(text)
        start_s = Fraction(found.get("start_s", 0))
        return cls(found["kind"], found["as"], found["role"], found["digest"], found["name"], start_s)

    @property
    def text(self) -> str:
        """Compact JSON with keys as, digest, kind, name, role, and start_s where it is not 0."""
        said = {"as": self.way, "digest": self.digest, "kind": self.kind, "name": self.name, "role": self.role}
        if self.start_s:
            said["start_s"] = str(self.start_s)
        return json.dumps(said, sort_keys=True, separators=(",", ":"))


def identity_of(text: str) -> str:
    """What of an entry of `Recipe.guides` makes a candidate what it is: all but how its file is called."""
    found: dict[str, Any] = json.loads(text)
    found["name"] = suffix_of(found["name"])
    return json.dumps(found, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class ShotGuides:
    """The guides of a shot that a stage's model takes. ``handles_s``: how long a handle is, in seconds.

    A shot can be planned before its guides have digests; its candidates cannot be told apart without.
    """

    guides: tuple[Guide, ...]
    taken: tuple[str, ...]
    handles_s: Fraction

    @classmethod
    def of(cls, guides: Iterable[Guide], taken: tuple[str, ...], handles_s: Fraction) -> Self:
        """Those of ``guides`` that a model taking these kinds is given."""
        return cls(tuple(guide for guide in guides if taken_as(guide.kind, taken) is not None), taken, handles_s)

    def at(self, start_s: Fraction, *, first: bool, last: bool) -> tuple[str, ...]:
        """Entries of `Recipe.guides` for a segment that begins ``start_s`` after the shot does, with its handles.

        Raises PlanRefused for a guide without a digest.
        """
        return tuple(self._of(guide, start_s).text for guide in self.guides if _steers(guide, first=first, last=last))

    def _of(self, guide: Guide, start_s: Fraction) -> RecipeGuide:
        way, name = taken_as(guide.kind, self.taken), name_of(guide.source)
        assert way is not None
        if guide.digest is None:
            raise PlanRefused(f"the guide {guide.source} has no digest; `ancestra run` fills it in")
        begins_s = self.handles_s if guide.covers == "cut" else Fraction(0)
        return RecipeGuide(
            guide.kind, way, guide.role, guide.digest, name, start_s - begins_s if is_moving(name) else Fraction(0)
        )


def _steers(guide: Guide, *, first: bool, last: bool) -> bool:
    if guide.kind == "first_frame":
        return first
    return last if guide.kind == "last_frame" else True
