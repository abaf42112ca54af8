"""How large the pictures of a stage are: as it says, as the batch says, or as follows from what it starts from.

An interpolation keeps the size of its clips, and an upscale makes them larger: the batch's size, which is that of the
models before them, is not theirs.
"""

from collections.abc import Mapping

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.schema import Stage

#: Roles whose size follows from their source's.
FOLLOWING_ROLES: frozenset[str] = frozenset({"interpolate", "upscale"})
#: How many times larger an upscale is where neither its stage nor its model's card says.
USUAL_SCALE = 2


def size_of(
    name: str,
    specs: Mapping[str, Stage],
    cards: Mapping[str, ModelCard],
    batch_size: tuple[int, int] | None,
    trail: tuple[str, ...] = (),
) -> tuple[int, int] | None:
    """(width, height) in pixels of a stage's pictures; None where sources or models are missing or go in a circle.

    ``specs``: the stages as one shot wants them. An interpolation has its source's size. An upscale has the one that it
    states, else its source's times its card's ``scale`` (`USUAL_SCALE` where a card leaves it open). Everything else
    has the one that it states, else the batch's, else its model's default. ``trail``: the stages that led here.
    """
    spec = specs.get(name)
    card = None if spec is None else cards.get(spec.model)
    if spec is None or card is None or name in trail:
        return None
    states_it = spec.role == "upscale" and spec.size is not None
    if spec.role not in FOLLOWING_ROLES or spec.source is None or states_it:
        return spec.size or batch_size or card.sizes.default
    given = size_of(spec.source, specs, cards, batch_size, (*trail, name))
    times = 1 if spec.role == "interpolate" else card.scale or USUAL_SCALE
    return None if given is None else (given[0] * times, given[1] * times)
