"""Training a look: LoRA matrices on a frozen base, by peft, step by step until the file is written.

Every step's photographs, noise and times follow from the seed and the step's number, and every few steps all that
changes is kept; so a training that was killed goes on as if it had not been, and comes to the same file. Where things
are kept is the caller's (`Shelf`): a folder here, a store on the farm. Rights are not its matter: whoever calls has
loaded the photographs through `dataset`.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from ancestra_farm.batch.card import ModelCard, Runtime
from ancestra_farm.batch.look import LookFile
from ancestra_farm.models.diffusion.calls import merged
from ancestra_farm.models.diffusion.generator import DiffusersGenerator
from ancestra_farm.models.diffusion.kinds import all_kinds
from ancestra_farm.models.looks.adapter import LookFacts, LookRefused, adapter_bytes, base_digest, norms_of
from ancestra_farm.models.looks.checkpoint import Checkpoint, Memory
from ancestra_farm.models.looks.dataset import Photo, picture
from ancestra_farm.models.looks.denoisers import ATTENTION, Denoiser, denoiser_of
from ancestra_farm.models.looks.samples import Picture, drawn, png, recipe_for
from ancestra_farm.models.looks.style import Moved, moved, style_of
from ancestra_farm.models.protocol import Aborted
from ancestra_farm.plan.recipe import digest_of, seed_from

#: Name of the adapter while it is trained.
TRAINED = "trained"
CHECKPOINT = "checkpoint.safetensors"
#: The learning rate rises over this part of the steps, and falls to nothing over the others by half a cosine.
WARM_UP = 0.05
#: Gradients longer than this are cut: one photograph far from all others must not undo the others.
LONGEST_GRADIENT = 1.0
#: Photographs are encoded so many at a time.
ENCODED_TOGETHER = 8
#: Where the look file names no samples, this many captions are drawn.
SAMPLES = 4
#: What may change in a look file while it is trained.
_NOT_LEARNED = ("owner", "photographs", "ledger", "policy", "checkpoint_every", "sample_every", "samples")


class Shelf(Protocol):
    """Where a training keeps its things, by name."""

    def read(self, name: str) -> bytes | None:
        """What was written under a name; None where nothing was."""

    def write(self, name: str, data: bytes) -> None:
        """Keep bytes under a name, new or not: all of the new ones or all of the old, whenever it is killed."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is to be learned: the look, its base, and its photographs. ``data`` and ``ledger``: see `Dataset`."""

    look: LookFile
    card: ModelCard
    photos: tuple[Photo, ...]
    data: str
    ledger: str
    licences: tuple[str, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of training, in pixels."""
        return self.look.size or self.card.sizes.default

    @property
    def digest(self) -> str:
        """64 hex digits over all that the adapter rests on; where and how often things are kept is not in it."""
        look = self.look.model_dump(mode="json", by_alias=True, exclude=set(_NOT_LEARNED))
        what = [look, base_digest(self.card), self.size, self.data, self.ledger]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    @property
    def prompts(self) -> tuple[str, ...]:
        """What the samples show."""
        return self.look.samples or tuple(dict.fromkeys(photo.caption for photo in self.photos))[:SAMPLES]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is. ``loss``: the mean of the last steps; ``samples``: names on the shelf, so far.

    ``step_s``: seconds for a step, of late; ``resumed``: the step it went on from, 0 where it began anew.
    """

    step: int
    steps: int
    loss: float
    step_s: float
    samples: tuple[str, ...]
    resumed: int


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished look. ``data``: its file; ``moved``: how far it takes the samples to the photographs' style."""

    data: bytes
    facts: LookFacts
    moved: Moved
    losses: tuple[float, ...]
    samples: tuple[str, ...]

    @property
    def digest(self) -> str:
        """``sha256:…`` of the file, as batches name it."""
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"


def training_card(card: ModelCard) -> ModelCard:
    """The card as it is trained on: in a precision that small steps survive, and nothing compiled or moved about.

    In float32 on a CPU; on a GPU in bfloat16, whose range no gradient leaves, with float32 matrices.
    """
    gpu = card.runtime.device != "cpu" and torch.cuda.is_available()
    runtime = Runtime(device="cuda" if gpu else "cpu", vae_tiling=card.runtime.vae_tiling)
    return card.model_copy(update={"dtype": "bfloat16" if gpu else "float32", "runtime": runtime})


def train(
    lesson: Lesson,
    generator: DiffusersGenerator,
    shelf: Shelf,
    tell: Callable[[Progress], None] = lambda _progress: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train a look to its end, from where the shelf says it was left.

    ``generator``: of `training_card`, set up; it is of no use for anything else afterwards.

    ``tell`` is called after every step; ``stopped`` is asked between them, and raises Aborted from here once it is
    true, with all that was done kept. Raises LookRefused where the base or the settings do not serve.
    """
    denoiser = denoiser_of(generator.resident.pipeline)
    before = drawn(generator, lesson.card, lesson.prompts, lesson.size, lesson.look.seed)
    keep_samples(shelf, "base", before)
    run = _Run(lesson, generator, denoiser, shelf)
    while run.step < lesson.look.steps:
        if stopped():
            run.keep()
            raise Aborted(f"stopped after {run.step} of {lesson.look.steps} steps; it goes on from there")
        run.take_step()
        tell(run.progress)
    photographs = [picture(photo.path.read_bytes(), lesson.size) for photo in lesson.photos]
    facts = run.facts()
    way = moved(style_of(before), style_of(run.draw()), style_of(photographs))
    return Trained(adapter_bytes(run.matrices(), facts), facts, way, tuple(run.losses), run.samples)


def keep_samples(shelf: Shelf, stem: str, pictures: Sequence[Picture]) -> None:
    """Put samples on the shelf."""
    for name, sample in zip(sample_names(stem, len(pictures)), pictures, strict=True):
        shelf.write(name, png(sample))


def sample_names(stem: str, count: int) -> tuple[str, ...]:
    """What samples are called on the shelf. ``stem``: the step in six digits, ``base`` for those without the look."""
    return tuple(f"samples/{stem}-{number}.png" for number in range(count))


class _Run:
    """A training under way."""

    def __init__(self, lesson: Lesson, generator: DiffusersGenerator, denoiser: Denoiser, shelf: Shelf) -> None:
        pipeline = generator.resident.pipeline
        self._lesson, self._look = lesson, lesson.look
        self._generator, self._denoiser, self._shelf = generator, denoiser, shelf
        self._model = getattr(pipeline, denoiser.component)
        self._clean = _encoded_photos(lesson, denoiser, pipeline)
        captions = {"", *(photo.caption for photo in lesson.photos)}
        self._words = {caption: _encoded_words(lesson, pipeline, caption) for caption in captions}
        self._modules = _put_adapter(self._model, lesson.look)
        self._parameters = {name: one for name, one in self._model.named_parameters() if one.requires_grad}
        self._optimiser = torch.optim.AdamW(self._parameters.values(), lr=lesson.look.learning_rate, weight_decay=0.0)
        self._memory = Memory(self._parameters, self._optimiser)
        self._step_s = 0.0
        self.losses: list[float] = []
        self.step = self._resumed = self._take_up()

    @property
    def progress(self) -> Progress:
        late = self.losses[-max(len(self.losses) // 10, 1) :]
        return Progress(self.step, self._look.steps, float(np.mean(late)), self._step_s, self.samples, self._resumed)

    @property
    def samples(self) -> tuple[str, ...]:
        """Names on the shelf of all that were drawn with the look so far."""
        every, steps = self._look.sample_every, self._look.steps
        drawn_at = [step for step in range(every, self.step + 1, every) if step != steps]
        drawn_at += [steps] * (self.step == steps)
        return tuple(name for at in drawn_at for name in sample_names(f"{at:06d}", len(self._lesson.prompts)))

    def take_step(self) -> None:
        """One step, and what is due after it. Raises LookRefused where the loss is not a number any more."""
        began = time.monotonic()
        rng = _generator("step", self._look.seed, self.step)
        chosen = [self._photo_at(self.step * self._look.batch + place) for place in range(self._look.batch)]
        noisy, at, target = self._denoiser.noised(self._clean[chosen], rng)
        silent = torch.rand(len(chosen), generator=rng) < self._look.caption_drop
        captions = [
            "" if quiet else self._lesson.photos[one].caption
            for one, quiet in zip(chosen, silent.tolist(), strict=True)
        ]
        predicted = self._denoiser.predict(noisy, at, merged([self._words[caption] for caption in captions]))
        loss = torch.nn.functional.mse_loss(predicted.float(), target.float())
        if not torch.isfinite(loss):
            raise LookRefused(
                f"{self._look.look}: the loss is not a number after {self.step} steps; lower the learning rate "
                f"({self._look.learning_rate:g})"
            )
        for group in self._optimiser.param_groups:
            group["lr"] = self._look.learning_rate * rate_at(self.step, self._look.steps)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters.values(), LONGEST_GRADIENT)
        self._optimiser.step()
        self.losses.append(loss.item())
        self.step += 1
        took = time.monotonic() - began
        self._step_s = took if self._step_s == 0 else 0.9 * self._step_s + 0.1 * took
        self._do_what_is_due()

    def keep(self) -> None:
        """Put the checkpoint on the shelf."""
        if self.losses:
            checkpoint = self._memory.checkpoint(self._lesson.digest, self.step, tuple(self.losses))
            self._shelf.write(CHECKPOINT, checkpoint.to_bytes())

    def draw(self) -> list[Picture]:
        """Draw the samples with the look as it is, and put them on the shelf."""
        lesson = self._lesson
        pictures = drawn(self._generator, lesson.card, lesson.prompts, lesson.size, lesson.look.seed)
        keep_samples(self._shelf, f"{self.step:06d}", pictures)
        return pictures

    def matrices(self) -> dict[str, torch.Tensor]:
        """The adapter by diffusers' keys, its scale multiplied in. Raises LookRefused where it would change nothing."""
        found = get_peft_model_state_dict(self._model, adapter_name=TRAINED)
        scaled = {
            f"{self._denoiser.component}.{key}": one * self._look.scale if ".lora_B." in key else one
            for key, one in found.items()
        }
        if not any(bool(one.any()) for key, one in scaled.items() if ".lora_B." in key):
            raise LookRefused(f"{self._look.look}: nothing was learned; every matrix is zero")
        return scaled

    def facts(self) -> LookFacts:
        """What it was made of."""
        lesson, look = self._lesson, self._look
        return LookFacts(
            look=look.look,
            show=look.show,
            model=look.model,
            base=base_digest(lesson.card),
            component=self._denoiser.component,
            data=lesson.data,
            ledger=lesson.ledger,
            assets=tuple(sorted(photo.digest for photo in lesson.photos)),
            licences=tuple(sorted(set(lesson.licences))),
            settings=look,
            steps=self.step,
            loss=self.progress.loss,
            norms=norms_of(self._model, self._modules),
        )

    def _take_up(self) -> int:
        """Go on from the checkpoint of this very lesson, if there is one; the step it was left at."""
        data = self._shelf.read(CHECKPOINT)
        if data is None:
            return 0
        try:
            checkpoint = Checkpoint.from_bytes(data)
            if checkpoint.lesson != self._lesson.digest:
                return 0
            self._memory.restore(checkpoint)
        except ValueError:
            return 0  # whatever it is, it is not where we were; everything it could save is made again
        self.losses = list(checkpoint.losses)
        return checkpoint.step

    def _do_what_is_due(self) -> None:
        look, last = self._look, self.step == self._look.steps
        if self.step % look.checkpoint_every == 0 or last:
            self.keep()
        if self.step % look.sample_every == 0 and not last:
            self.draw()

    def _photo_at(self, place: int) -> int:
        """Which photograph comes at a place: each once in a round, in another order each time."""
        count = len(self._lesson.photos)
        order = torch.randperm(count, generator=_generator("round", self._look.seed, place // count))
        return int(order[place % count])


def rate_at(step: int, steps: int) -> float:
    """The part of the learning rate that counts at a step, in (0, 1]."""
    warm = max(round(steps * WARM_UP), 1)
    rise = min((step + 1) / warm, 1.0)
    return rise * 0.5 * (1 + math.cos(math.pi * step / steps))


def _generator(*what: object) -> torch.Generator:
    return torch.Generator().manual_seed(seed_from(digest_of("look", *what)))


def _put_adapter(model: Any, look: LookFile) -> list[str]:  # noqa: ANN401 - a diffusers model
    """Put fresh matrices beside the layers of a model, which stays frozen; the names of those layers."""
    targets = list(look.targets or ATTENTION)
    names = [name for name, module in model.named_modules() if hasattr(module, "weight")]
    lost = [one for one in targets if not any(name == one or name.endswith(f".{one}") for name in names)]
    if lost:
        raise LookRefused(f"{look.look}: {type(model).__name__} has no layer named {lost[0]!r}; see targets")
    model.requires_grad_(requires_grad=False)
    config = LoraConfig(
        r=look.rank, lora_alpha=look.alpha or look.rank, init_lora_weights="gaussian", target_modules=targets
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_from(digest_of("look", "matrices", look.seed)))
        model.add_adapter(config, TRAINED)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()  # small steps are lost in half precision
    if next(model.parameters()).device.type == "cuda":
        model.enable_gradient_checkpointing()
    return sorted(name for name, module in model.named_modules() if TRAINED in getattr(module, "lora_A", {}))


@torch.no_grad()
def _encoded_photos(lesson: Lesson, denoiser: Denoiser, pipeline: Any) -> torch.Tensor:  # noqa: ANN401 - a pipeline
    """The clean latents of all photographs, float32 [N, …]."""
    found = []
    photos = lesson.photos
    for start in range(0, len(photos), ENCODED_TOGETHER):
        pictures = [picture(photo.path.read_bytes(), lesson.size) for photo in photos[start : start + ENCODED_TOGETHER]]
        pixels = torch.from_numpy(np.stack(pictures)).to(pipeline.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        found.append(denoiser.latents(pixels).float())
    return torch.cat(found)


@torch.no_grad()
def _encoded_words(lesson: Lesson, pipeline: Any, caption: str) -> dict[str, torch.Tensor]:  # noqa: ANN401 - as above
    """Its embeddings, without those of what is not wanted: a look is learned from what is there."""
    card = lesson.card
    recipe = recipe_for(card, caption, lesson.size)
    named = {card.parameters[name].argument or name: value for name, value in recipe.parameters.items()}
    found = all_kinds()[card.pipeline or ""].encode(pipeline, replace(recipe, parameters=named))
    return {name: one for name, one in found.items() if name in {"prompt_embeds", "pooled_prompt_embeds"}}
