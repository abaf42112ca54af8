"""Several candidates as one call: the arguments of each, put together."""

from typing import Any

#: What every candidate of a call must have alike, since the pipeline takes one value for all of them.
_SHARED = (bool, int, float, str, tuple, type(None))


class NotTogether(Exception):
    """These candidates cannot share a call."""


def merged(each: list[dict[str, Any]]) -> dict[str, Any]:
    """The arguments of several candidates as those of one call, in the order of the candidates.

    Tensors have a batch dimension first and are joined along it, lists have an entry for each candidate and are put one
    after another; all else (sizes, frame counts, strengths) is one value for the whole call. Raises `NotTogether` where
    that value differs, or where tensors have different shapes.
    """
    if len(each) == 1:
        return dict(each[0])
    names = each[0].keys()
    if any(one.keys() != names for one in each):
        raise NotTogether(f"arguments differ: {sorted(set().union(*each) - set.intersection(*map(set, each)))}")
    return {name: _joined(name, [one[name] for one in each]) for name in names}


def shape_of(arguments: dict[str, Any]) -> tuple[object, ...]:
    """What must be alike for candidates to share a call: which arguments there are, tensor shapes, and shared values."""
    return tuple((name, _shape(value)) for name, value in sorted(arguments.items()))


def _shape(value: Any) -> object:  # noqa: ANN401 - whatever a pipeline takes
    if isinstance(value, _SHARED):
        return value
    if isinstance(value, list):
        # Entries of a list are each candidate's own: embeddings of any length, pictures of one size.
        return (len(value), *(getattr(one, "size", None) for one in value if hasattr(one, "mode")))
    return tuple(value.shape)


def _joined(name: str, values: list[Any]) -> Any:  # noqa: ANN401 - as above
    first = values[0]
    if isinstance(first, _SHARED):
        if any(value != first for value in values):
            raise NotTogether(f"{name} differs: {values}")
        return first
    if isinstance(first, list):
        return [entry for value in values for entry in value]
    if any(value.shape != first.shape for value in values):
        raise NotTogether(f"{name} has different shapes: {[tuple(value.shape) for value in values]}")
    import torch  # noqa: PLC0415 - whoever has tensors has it loaded; checks read this module without

    return torch.cat(values)
