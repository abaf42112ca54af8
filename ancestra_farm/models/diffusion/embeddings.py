"""Text embeddings, computed once for each wording and kept: encoding is a seventh of the time of a fast model.

They are kept by prompt, negative prompt, and those parameters that the encoder was seen to read: so drafts and full
candidates of one wording share them, and a parameter that matters is never forgotten. Looks change no text encoder
(`looks.Looks` refuses those that would).
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ancestra_farm.batch.base import Scalar
from ancestra_farm.models.diffusion.kinds import Pipeline, PipelineKind, Tensor
from ancestra_farm.plan.recipe import Recipe

#: Wordings whose embeddings stay on the device: two dozen shots of a dozen wordings.
KEPT = 256
#: What they may take together. Those of the largest text encoders are 4 to 8 MiB each.
KEPT_BYTES = 512 * 1024 * 1024

Words = dict[str, Tensor]


class _Watched(Mapping[str, Scalar]):
    """A recipe's parameters, and which of them were asked for; None stands for one that was not there."""

    def __init__(self, parameters: Mapping[str, Scalar]) -> None:
        self._parameters = parameters
        self.read: dict[str, Scalar | None] = {}

    def __getitem__(self, name: str) -> Scalar:
        self.read[name] = self._parameters.get(name)
        return self._parameters[name]

    def __contains__(self, name: object) -> bool:
        self.read[str(name)] = self._parameters.get(str(name))
        return name in self._parameters

    def __iter__(self) -> Iterator[str]:
        self.read.update(self._parameters)
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)


class Embeddings:
    """The embeddings of one loaded pipeline. ``computed`` counts how often a text encoder ran. One thread at a time."""

    def __init__(self, pipeline: Pipeline, kind: PipelineKind, kept: int = KEPT, kept_bytes: int = KEPT_BYTES) -> None:
        self._pipeline = pipeline
        self._kind = kind
        self._most = kept
        self._most_bytes = kept_bytes
        self._kept: OrderedDict[tuple[object, ...], tuple[Words, int]] = OrderedDict()
        #: The sets of parameters that encoding has read so far; different ones where it asks in branches.
        self._read: list[tuple[str, ...]] = []
        self._bytes = 0
        self.computed = 0

    def of(self, recipe: Recipe) -> Words:
        """The embeddings of a recipe whose parameters are named as the pipeline's arguments."""
        import torch  # noqa: PLC0415 - loaded with the pipeline

        for names in self._read:
            key = _key(recipe, {name: recipe.parameters.get(name) for name in names})
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
        watched = _Watched(recipe.parameters)
        with torch.no_grad():
            words = self._kind.encode(self._pipeline, replace(recipe, parameters=watched))
        self.computed += 1
        self._keep(_key(recipe, watched.read), words)
        names = tuple(sorted(watched.read))
        if names not in self._read:
            self._read.append(names)
        return words

    def _keep(self, key: tuple[object, ...], words: Words) -> None:
        size = sum(map(_size, words.values()))
        self._kept[key] = (words, size)
        self._bytes += size
        while len(self._kept) > self._most or (self._bytes > self._most_bytes and len(self._kept) > 1):
            _, (_, freed) = self._kept.popitem(last=False)
            self._bytes -= freed


def _key(recipe: Recipe, read: Mapping[str, Scalar | None]) -> tuple[object, ...]:
    return (recipe.prompt, recipe.negative, tuple(sorted(read.items())))


def _size(value: Any) -> int:  # noqa: ANN401 - a tensor, a list of them, or None
    if isinstance(value, list):
        return sum(map(_size, value))
    return 0 if value is None else int(value.numel() * value.element_size())
