"""Looks on a warm pipeline: adapters are put beside the base weights and switched, never merged into them.

So a swap moves a few megabytes or nothing, and no look leaves the base as it was, bit for bit. The last few stay on
the device. A look that would change nothing, or not all of what it says, is an error: nobody finds out later that a
thousand pictures were made without it.
"""

import hashlib
import math
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch

from ancestra_farm.models.build import Materials
from ancestra_farm.models.diffusion.kinds import Pipeline
from ancestra_farm.models.diffusion.memory import is_out_of_memory
from ancestra_farm.models.looks.adapter import DENOISERS, LookRefused, is_base_of, read_facts, read_keys

#: Looks that stay on the device. A show has one; an evening's pool works for a few shows.
KEPT = 4
#: Endings of the names of an adapter's matrices in the format of peft.
_MATRICES = (".lora_A.weight", ".lora_B.weight", ".lora_B.bias")
#: Of the length of what a denoiser predicts: a look that changes no more of it is not seen. On the embedded model it
#: then moves three values of a picture in a thousand, by one level each.
NO_CHANGE = 1e-4


class Looks:
    """The looks of one loaded pipeline. ``materials``: where adapters are, by digest.

    ``base``: the digest of the pipeline's own weights (`looks.adapter.base_digest` of its card); empty: not known, then
    looks are compared with the weights themselves. ``kept``: how many adapters stay loaded. Not for several threads at
    once.
    """

    def __init__(self, pipeline: Pipeline, materials: Materials, base: str = "", kept: int = KEPT) -> None:
        self._pipeline = pipeline
        self._materials = materials
        self._base = base
        self._kept = kept
        self._names: OrderedDict[str, str] = OrderedDict()
        self._current: tuple[str, float] | None = None
        #: Looks at their weights that were compared with the base: those that change it; what is said of the others.
        self._effective: set[tuple[str, float]] = set()
        self._idle: dict[tuple[str, float], str] = {}

    @property
    def loaded(self) -> tuple[str, ...]:
        """Digests of the looks that are on the device, the one used last at the end."""
        return tuple(self._names)

    def use(self, look: str | None, weight: float) -> None:
        """From now on the pipeline has this look (``sha256:…``) at this weight; None or weight 0: none at all.

        Raises LookRefused for a look that is not for this model or would change nothing, and what `materials` raises;
        the pipeline has no look then.
        """
        wanted = None if look is None or weight == 0 else (look, float(weight))
        if wanted == self._current:
            return
        self._drop_current()
        if wanted is None:
            return
        if wanted in self._idle:
            raise LookRefused(self._idle[wanted])
        digest, scale = wanted
        if digest not in self._names:
            self._load(digest)
        self._names.move_to_end(digest)
        self._pipeline.enable_lora()
        self._pipeline.set_adapters([self._names[digest]], [scale])
        self._current = wanted

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Around a call of the pipeline: the first with a look at its weight shows whether that changes anything.

        What each denoiser predicts first is compared with what it predicts without the look, at the cost of one
        prediction more. Raises LookRefused where nothing changes; the pipeline has no look then.
        """
        wanted = self._current
        if wanted is None or wanted in self._effective:
            yield
            return
        changes: dict[str, float] = {}
        with ExitStack() as hooks:
            for name, part in self._denoisers().items():
                hook = part.register_forward_hook(partial(self._compare, name, changes), with_kwargs=True)
                hooks.callback(hook.remove)
            yield
        if any(not change <= NO_CHANGE for change in changes.values()):  # what is no number is no reason to refuse
            self._effective.add(wanted)
        elif changes.keys() == self._denoisers().keys():  # else the one that it is for may not have worked yet
            self._drop_current()
            self._idle[wanted] = f"the look {wanted[0]} at weight {wanted[1]:g} changes nothing that {self._what} makes"
            raise LookRefused(self._idle[wanted])

    def _compare(
        self,
        name: str,
        changes: dict[str, float],
        denoiser: torch.nn.Module,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        predicted: object,
    ) -> None:
        """A hook of a denoiser's `forward`: how far its first prediction is from the base's."""
        if name in changes:
            return
        changes[name] = 0.0  # also of the call below nobody asks again
        self._pipeline.disable_lora()
        try:
            plain = denoiser(*args, **kwargs)
        finally:
            self._pipeline.enable_lora()
        changes[name] = _apart(list(_tensors(predicted)), list(_tensors(plain)))

    def _drop_current(self) -> None:
        if self._current is not None:
            self._pipeline.disable_lora()
            self._current = None

    def _load(self, digest: str) -> None:
        if not hasattr(self._pipeline, "load_lora_weights"):
            raise LookRefused(f"{type(self._pipeline).__name__} takes no looks")
        path = self._materials(digest)
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != f"sha256:{found}":
            raise LookRefused(f"the look {digest} is another file where it should be: sha256:{found}")
        self._check_base(digest, path)
        self._check_keys(digest, read_keys(path))
        while len(self._names) >= self._kept:
            _, oldest = self._names.popitem(last=False)
            self._pipeline.delete_adapters([oldest])
        name = f"look_{digest.removeprefix('sha256:')[:32]}"
        try:
            self._put(str(path), name)
            self._check_change(digest, name)
        except Exception as error:
            self._remove(name)
            if isinstance(error, LookRefused) or is_out_of_memory(error):
                raise
            raise LookRefused(f"the look {digest} cannot be put on {self._what}: {error}") from error
        finally:
            self._disable()
        self._names[digest] = name

    def _put(self, path: str, name: str) -> None:
        """Load the adapter onto every denoiser; safetensors only, whatever the file is called."""
        options: list[dict[str, bool]] = [{}]
        if getattr(self._pipeline, "transformer_2", None) is not None:  # one expert for much noise, one for little
            options.append({"load_into_transformer_2": True})
        with warnings.catch_warnings():
            # Keys without a place are our own error, with a sentence; see `_check_keys` and `_check_change`.
            warnings.simplefilter("ignore")
            for option in options:
                self._pipeline.load_lora_weights(
                    path, adapter_name=name, use_safetensors=True, local_files_only=True, **option
                )

    def _remove(self, name: str) -> None:
        for component in self._pipeline.get_list_adapters().values():
            if name in component:
                self._pipeline.delete_adapters([name])
                return

    def _disable(self) -> None:
        """Off until `use` switches one on: what was just loaded is active by itself."""
        if any(self._pipeline.get_list_adapters().values()):
            self._pipeline.disable_lora()

    @property
    def _what(self) -> str:
        return type(self._pipeline).__name__

    def _denoisers(self) -> dict[str, torch.nn.Module]:
        parts = {name: getattr(self._pipeline, name, None) for name in DENOISERS}
        return {name: part for name, part in parts.items() if part is not None}

    def _check_base(self, digest: str, path: Any) -> None:  # noqa: ANN401 - a Path
        facts = read_facts(path)
        if facts is None or facts.base == self._base:
            return
        denoiser = self._denoisers().get(facts.component)
        if denoiser is None or not is_base_of(facts, denoiser):
            raise LookRefused(
                f"the look {facts.look} ({digest}) was trained on {facts.model}, and this is another base; train it on "
                "this one, or take that one"
            )

    def _check_keys(self, digest: str, keys: list[str]) -> None:
        """Every matrix in the format of peft has its layer here. Other formats are converted first, by diffusers."""
        if any(key.startswith(("text_encoder", "lora_te")) for key in keys):
            raise LookRefused(
                f"the look {digest} changes the text encoder too; embeddings are kept by their words, so only looks of "
                "the denoiser are taken"
            )
        layers = {name: set(dict(part.named_modules())) for name, part in self._denoisers().items()}
        lost = []
        for key in keys:
            component, _, rest = key.partition(".")
            ending = next((one for one in _MATRICES if rest.endswith(one)), None)
            known = ending is not None and component in {"unet", "transformer"}
            if known and rest.removesuffix(ending or "") not in layers.get(component, set()):
                lost.append(key)
        if lost:
            raise LookRefused(
                f"{len(lost)} of the {len(keys)} matrices of the look {digest} have no place in {self._what}, such as "
                f"{lost[0]}; it is for another model"
            )

    def _check_change(self, digest: str, name: str) -> None:
        """At least one layer is changed, and none but the denoiser's."""
        others = [part for part, names in self._pipeline.get_list_adapters().items() if name in names]
        if any(part not in DENOISERS for part in others):
            raise LookRefused(f"the look {digest} changes {', '.join(others)}; only looks of the denoiser are taken")
        changed = 0
        for denoiser in self._denoisers().values():
            for module in denoiser.modules():
                matrices = getattr(module, "lora_B", {})
                if name in matrices and bool(matrices[name].weight.any()):
                    changed += 1
        if changed == 0:
            raise LookRefused(
                f"the look {digest} changes no weight of {self._what}: nothing in it is meant for this model, or it is "
                "all zeros"
            )


def _tensors(value: object) -> Iterator[torch.Tensor]:
    """The tensors in tuples, lists and outputs of diffusers."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _tensors(each)


def _apart(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """The length of the difference, over that of ``one``."""
    lengths = [(float((a - b).float().norm()), float(a.float().norm())) for a, b in zip(one, other, strict=True)]
    return math.hypot(*(far for far, _ in lengths)) / max(math.hypot(*(whole for _, whole in lengths)), 1e-12)
