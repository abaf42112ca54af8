"""A card of the optical family against the code that runs it: what would fail on a host, or be ignored there."""

from collections.abc import Iterator
from typing import Final

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.problems import did_you_mean, listed

#: The role of each method, and the parameters that it reads.
METHODS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "flow": ("interpolate", ()),
    "rife": ("interpolate", ()),
    "enlarge": ("upscale", ("sharpen",)),
}


def card_faults(card: ModelCard) -> list[str]:
    """What a card asks for that its method does not do, as sentences; none: it can be run."""
    if card.pipeline not in METHODS:
        near = did_you_mean(card.pipeline or "", METHODS, "methods")
        return [f"an optical model's pipeline is {listed(METHODS)}, not {card.pipeline!r}; {near}"]
    return list(_faults(card, card.pipeline))


def _faults(card: ModelCard, method: str) -> Iterator[str]:
    role, read = METHODS[method]
    for other in card.roles:
        if other != role:
            yield f"{method} has no role {other}; it has {role}"
    for name, parameter in card.parameters.items():
        if name not in read or parameter.argument not in {None, name}:
            yield f"parameter {name}: {method} reads {listed(read, 'and') if read else 'none'}"
    if card.guides or card.looks:
        yield f"{method} takes neither guides nor looks"
    heard = {"device"} if method == "rife" else set()
    for setting in sorted(card.runtime.model_dump(exclude_defaults=True).keys() - heard):
        yield f"runtime.{setting}: {method} does not heed it"
