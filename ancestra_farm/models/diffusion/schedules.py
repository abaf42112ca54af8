"""The scheduler of each rung: the one that is stored with the weights, or another that the card names.

Every call gets a fresh one: schedulers remember steps, and some write into their own settings. A scheduler that could
not step through this model (a model of flows, another of noise) is an error when the model is loaded.
"""

import copy
import inspect
from typing import Any

from ancestra_farm.batch.base import Scalar
from ancestra_farm.batch.card import ModelCard
from ancestra_farm.models.diffusion.kinds import Pipeline
from ancestra_farm.plan.recipe import Rung


class ScheduleRefused(Exception):
    """A scheduler that the card names does not fit the model that was loaded."""


class Schedules:
    """The schedulers of one loaded pipeline. Raises `ScheduleRefused` where the card names one that does not fit."""

    def __init__(self, pipeline: Pipeline, card: ModelCard) -> None:
        stored = pipeline.scheduler
        # The whole of it: diffusers marks in it which settings are mere defaults of the stored class.
        config = dict(stored.config)
        full = _adapted(type(stored), config, card.scheduler)
        draft = _adapted(type(stored), config, card.draft_scheduler or card.scheduler)
        for name, value in card.scheduler_settings.items():
            _set(name, value, full, draft)
        self._full = full[0].from_config(config, **full[1])
        self._draft = draft[0].from_config(config, **draft[1])

    def fresh(self, rung: Rung) -> Any:  # noqa: ANN401 - a scheduler of diffusers
        """A scheduler that has made no step yet."""
        # A copy of one that never steps: making one from its settings takes six times as long, milliseconds a call.
        return copy.deepcopy(self._draft if rung == "draft" else self._full)


def _set(name: str, value: Scalar, *rungs: tuple[Any, dict[str, Any]]) -> None:
    """A setting that differs from the stored one, for the rungs whose scheduler has it."""
    takers = [changed for scheduler, changed in rungs if name in inspect.signature(scheduler.__init__).parameters]
    if not takers:
        raise ScheduleRefused(f"scheduler_settings: {rungs[0][0].__name__} has no setting {name}")
    for changed in takers:
        changed[name] = value


def _adapted(stored: Any, config: dict[str, Any], name: str | None) -> tuple[Any, dict[str, Any]]:  # noqa: ANN401
    """The class called ``name`` (None: the stored one), and the settings in which it differs from the stored ones."""
    if name is None or name == stored.__name__:
        return stored, {}
    import diffusers  # noqa: PLC0415 - ten seconds, on hosts only

    wanted = getattr(diffusers, name, None)
    if wanted is None:
        raise ScheduleRefused(f"diffusers has no scheduler {name}")
    flows = stored.__name__.startswith("FlowMatch") or bool(config.get("use_flow_sigmas"))
    if wanted.__name__.startswith("FlowMatch"):
        if not flows:
            raise ScheduleRefused(f"{name} steps along flows, and this model was trained on noise ({stored.__name__})")
        return wanted, {"shift": config.get("shift", config.get("flow_shift", 1.0))}
    if not flows:
        return wanted, {}
    if "use_flow_sigmas" not in inspect.signature(wanted.__init__).parameters:
        raise ScheduleRefused(f"{name} cannot step along flows, as this model ({stored.__name__}) was trained to")
    shift = config.get("flow_shift", config.get("shift", 1.0))
    return wanted, {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": shift}
