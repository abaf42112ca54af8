"""How a host judges: the cascade that a ticket asks for, and the motion that a recipe's guide asks of its clips."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from ancestra_farm.farm.lease import Judge
from ancestra_farm.filters.cascade import Cascade
from ancestra_farm.filters.protocol import Flow
from ancestra_farm.filters.settings import DEFAULT_ORDER
from ancestra_farm.plan.recipe import Recipe
from ancestra_farm.scheduler.world import Ticket

#: A batch switches a filter off with ``false``; in a ticket that is this setting.
ENABLED = "enabled"
#: Flows of the guides of so many segments are kept; a small one is a few megabytes.
_KEPT = 16

_Key = tuple[tuple[str, ...], tuple[int, int], int, Fraction]


def cascade_of(ticket: Ticket) -> Judge:
    """The judge of a ticket. Raises FilterRefused for filters or settings that do not exist."""
    off = {name for name, settings in ticket.settings.items() if settings.get(ENABLED) is False}
    # A filter that was never measured has no place in the measured order; it runs after the others, never not at all.
    unmeasured = [name for name in DEFAULT_ORDER if name not in ticket.filters]
    order = tuple(name for name in (*ticket.filters, *unmeasured) if name not in off)
    settings = {
        name: {key: value for key, value in given.items() if key != ENABLED} for name, given in ticket.settings.items()
    }
    return Cascade(order, settings, ticket.full_sample).judge


def unguided(_recipe: Recipe) -> Flow | None:
    """Of hosts that read no guides."""
    return None


class GuideFlows:
    """How the guide of a recipe moves, worked out once for all candidates of a segment. For one thread at a time."""

    def __init__(self, materials: Callable[[str], Path]) -> None:
        self._materials = materials
        self._kept: OrderedDict[_Key, Flow | None] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, recipe: Recipe) -> Flow | None:
        """The flow that clips of this recipe are to follow; None where no guide of it moves.

        Raises what reading a guide raises.
        """
        if recipe.frames < 2 or not recipe.guides:
            return None
        key = (recipe.guides, recipe.size, recipe.frames, recipe.rate)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._flow(recipe)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def _flow(self, recipe: Recipe) -> Flow | None:
        from ancestra_farm.filters.motion_match import flow_through, shrunk  # noqa: PLC0415 - where guides are used
        from ancestra_farm.models.guides.colours import flow_of  # noqa: PLC0415
        from ancestra_farm.models.guides.frames import moving_guide  # noqa: PLC0415

        found = moving_guide(recipe, self._materials)
        if found is None:
            return None
        way, frames = found
        # Frame k of drawn flow shows the way to it, so the first one shows nothing that is in the clip.
        return shrunk(flow_of(frames[1:])) if way == "flow" else flow_through(frames)
