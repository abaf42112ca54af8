"""Runs filters on one candidate, in the order that was decided for its wave, and says what they found.

Decides when to stop: at the first rejection, unless the candidate belongs to the sample that is judged in full. It does
not decide the order (the scheduler does, from measured seconds and rejection rates) nor what becomes of a reject.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ancestra_farm.batch.base import Scalar
from ancestra_farm.filters.hashes import phash
from ancestra_farm.filters.pixels import Frames, checked, eight_bit
from ancestra_farm.filters.protocol import Flow, Judgement, Verdict
from ancestra_farm.filters.registry import all_filters
from ancestra_farm.filters.sampling import in_full


class FilterRefused(Exception):
    """The cascade was asked for a filter or a setting that does not exist or has the wrong type; says what there is."""


class FilterFailed(Exception):
    """A filter raised: an error of the farm, not a verdict. ``name``: the filter; the cause is chained."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(name, what)  # both strings, so that it travels between processes
        self.name = name
        self.what = what

    def __str__(self) -> str:
        return f"filter {self.name!r} failed: {self.what}"


@dataclass(frozen=True, slots=True)
class Cascade:
    """Filters in ``order`` with ``settings`` by filter name (defaults where unset), and the rate of the full sample.

    Raises FilterRefused for an unknown filter, one named twice, an unknown setting, a setting of the wrong type, or a
    ``full_sample`` outside [0, 1].
    """

    order: tuple[str, ...]
    settings: Mapping[str, Mapping[str, Scalar]]
    full_sample: float

    def __post_init__(self) -> None:
        filters = all_filters()
        if unknown := [name for name in (*self.order, *self.settings) if name not in filters]:
            raise FilterRefused(f"no filter named {', '.join(map(repr, unknown))}; there are {', '.join(filters)}")
        if len(set(self.order)) < len(self.order):
            raise FilterRefused(f"a filter stands twice in the order {', '.join(self.order)}")
        if not 0 <= self.full_sample <= 1:
            raise FilterRefused(f"the full sample is a fraction between 0 and 1, not {self.full_sample}")
        complete = {name: completed(name, self.settings.get(name, {}), filters[name].defaults) for name in filters}
        object.__setattr__(self, "settings", complete)

    def judge(self, recipe_id: str, frames: Frames, guide: Flow | None = None) -> Judgement:
        """Judge one candidate. ``frames``: uint8 or float32 [T, H, W, 3], sRGB, unchanged afterwards.

        ``guide``: how the guide moves that it is to follow, if it has one.

        ``in_full`` of the result says that the candidate belongs to the full sample. Frames that are not finite get the
        verdict of `nan` alone, also there and wherever `nan` stands in the order, or does not: no other filter can
        judge them. Float frames are judged as the 8-bit frames that are written. `quality` always runs on survivors.
        Raises BadFrames for what is not frames, FilterFailed when a filter raises.
        """
        checked(frames)
        sampled = in_full(recipe_id, self.full_sample)
        verdicts: list[Verdict] = []
        waiting = list(self.order)
        if frames.dtype != "uint8":
            verdicts.append(self._verdict("nan", frames))
            waiting = [name for name in waiting if name != "nan"] if verdicts[0].passed else []
            frames = eight_bit(frames)
        for name in waiting:
            if not sampled and verdicts and not verdicts[-1].passed:
                break
            verdicts.append(self._verdict(name, frames, guide))
        passed = all(verdict.passed for verdict in verdicts)
        if passed and "quality" not in waiting:
            verdicts.append(self._verdict("quality", frames))
        rejections = [verdict for verdict in verdicts if not verdict.passed]
        return Judgement(
            passed=passed,
            reasons=tuple(verdict.filter for verdict in rejections),
            scores={name: value for verdict in verdicts for name, value in verdict.scores.items()},
            filter_s={verdict.filter: verdict.seconds for verdict in verdicts},
            in_full=sampled,
            phash=phash(frames),
            message="; ".join(verdict.reason for verdict in rejections),
            verdicts=tuple(verdicts),
        )

    def _verdict(self, name: str, frames: Frames, guide: Flow | None = None) -> Verdict:
        try:
            return all_filters()[name].judge(frames, self.settings[name], guide)
        except Exception as cause:
            raise FilterFailed(name, f"{type(cause).__name__}: {cause}") from cause


def completed(name: str, given: Mapping[str, Scalar], defaults: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """``defaults`` with what was ``given``; a whole number serves where a float is meant. Raises FilterRefused."""
    settings = dict(defaults)
    for key, value in given.items():
        if key not in defaults:
            known = ", ".join(defaults) or "it has none"
            raise FilterRefused(f"filter {name!r} has no setting {key!r}; its settings: {known}")
        kind = type(defaults[key])
        if kind is float and type(value) is int:
            value = float(value)  # noqa: PLW2901 - 3 means 3.0
        if type(value) is not kind:
            raise FilterRefused(f"setting {key!r} of filter {name!r} is a {kind.__name__}, not {value!r}")
        settings[key] = value
    return settings
