"""The model card: what a model can do and needs, as data, so that a batch is checked before any weight is loaded."""

from functools import lru_cache
from itertools import product
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_core import SchemaError, SchemaValidator, core_schema

from ancestra_farm.batch.base import Bool, Float, Int, Model, Rate, Scalar
from ancestra_farm.batch.problems import listed


def _check_id(value: str) -> str:
    if any(part.strip(".") == "" for part in value.split("/")):
        raise ValueError(f"{value!r} is no name of a model: none of its parts is just dots")
    return value


ModelId = Annotated[
    str,
    Field(min_length=1, max_length=120, pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)?$"),
    AfterValidator(_check_id),
]

#: Looked up among the classes of the installed diffusers; it becomes part of no path and no expression.
ClassName = Annotated[str, Field(max_length=120, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

Role = Literal[
    "text_to_image",
    "image_to_image",
    "image_to_video",
    "text_to_video",
    "video_to_video",
    "first_last_frame",
    "extend",
    "interpolate",
    "upscale",
]

#: Where what a card says of seconds, and of its licence's terms, comes from.
SecondsFrom = Literal["measured", "published", "reported", "reckoned", "guess"]
TermsFrom = Literal["licence", "reported", "memory"]

#: Roles whose output is one frame.
STILL_ROLES: frozenset[str] = frozenset({"text_to_image", "image_to_image"})
#: How many pictures or clips of earlier stages a role starts from.
INPUTS_OF_ROLE: dict[str, int] = {
    "text_to_image": 0,
    "text_to_video": 0,
    "image_to_image": 1,
    "image_to_video": 1,
    "video_to_video": 1,
    "first_last_frame": 2,
    "extend": 1,
    "interpolate": 1,
    "upscale": 1,
}


class SizeGrid(Model):
    """Which picture sizes the model takes: multiples of ``multiple_of``, within the bounds, in pixels.

    ``only``: of a model that knows no others, the (width, height) it makes.
    """

    multiple_of: Int = Field(ge=1, le=256)
    min: Int = Field(ge=8)
    max: Int = Field(ge=8, le=8192)
    default: tuple[Int, Int]
    only: tuple[tuple[Int, Int], ...] = ()

    def accepts(self, width: int, height: int) -> bool:
        """Whether the model makes pictures of ``width`` × ``height`` pixels."""
        on_grid = all(v % self.multiple_of == 0 and self.min <= v <= self.max for v in (width, height))
        return on_grid and (not self.only or (width, height) in self.only)

    def nearest(self, width: int, height: int) -> tuple[tuple[int, int], ...]:
        """The sizes it makes around ``width`` × ``height``, nearest first: at most four, at least one."""
        sizes = self.only or product(self._around(width), self._around(height))
        return tuple(sorted(sizes, key=lambda size: abs(size[0] - width) + abs(size[1] - height)))[:4]

    @property
    def in_words(self) -> str:
        """What it makes, such as "multiples of 16 from 256 to 1280"."""
        if self.only:
            return f"{listed((f'{width} × {height}' for width, height in self.only), 'and')} only"
        return f"multiples of {self.multiple_of} from {self.min} to {self.max}"

    def _around(self, side: int) -> tuple[int, ...]:
        """The lengths on the grid next to ``side``, from below and from above, within the bounds."""
        step = self.multiple_of
        lowest, highest = -(-self.min // step) * step, self.max // step * step
        below = side // step * step
        return tuple({min(max(near, lowest), highest) for near in (below, below + (side % step > 0) * step)})

    @model_validator(mode="after")
    def _default_fits(self) -> Self:
        for size in (self.default, *self.only):
            if not self.accepts(*size):
                what = "the default size" if size == self.default else "the only size"
                raise ValueError(f"{what} {size} is not on the model's own grid")
        return self


class FrameGrid(Model):
    """Which clip lengths the model makes: k·step + offset frames (Wan: 4k+1), from ``min`` to ``max`` frames."""

    step: Int = Field(ge=1)
    offset: Int = Field(ge=0)
    min: Int = Field(ge=1)
    max: Int = Field(ge=1, le=10_000)

    def accepts(self, frames: int) -> bool:
        """Whether the model makes a clip of exactly ``frames`` frames."""
        return self.min <= frames <= self.max and (frames - self.offset) % self.step == 0

    def at_least(self, frames: int) -> int | None:
        """The shortest clip on the grid with ``frames`` frames or more; None where the model makes none so long."""
        wanted = max(frames, self.min)
        fitted = wanted + (self.offset - wanted) % self.step
        return fitted if fitted <= self.max else None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.at_least(self.min) is None:
            raise ValueError("no clip length fits this grid")
        return self


class Parameter(Model):
    """One knob of a model: its type, default and allowed range or choices."""

    type: Literal["int", "float", "bool", "str"]
    default: Scalar
    min: Float | None = None
    max: Float | None = None
    choices: tuple[Scalar, ...] | None = None
    pattern: str | None = Field(
        default=None,
        max_length=400,
        description="a regular expression (as Rust has them) that the whole of a text must match",
    )
    argument: str | None = Field(default=None, description="the pipeline's argument it is; None: its own name")
    doc: str = ""

    def fault(self, value: Scalar) -> str | None:
        """What is wrong with ``value`` for this knob, as a sentence; None if nothing is.

        A whole number stands for a float; nothing else stands for another type.
        """
        if not _has_type(value, self.type):
            written = f"the text {value!r}" if isinstance(value, str) else str(value).lower()
            return f"{written} stands where {_TYPE_WORDS[self.type]} belongs"
        if self.choices is not None and value not in self.choices:
            return f"{value!r} is not one of {', '.join(repr(choice) for choice in self.choices)}"
        if isinstance(value, str | bool):
            fits = not isinstance(value, str) or self.pattern is None or _is_written(value, self.pattern)
            return None if fits else f"{value!r} is not written as this must be"
        if self.min is not None and value < self.min:
            return f"{value} is too small; the least is {self.min:g}"
        if self.max is not None and value > self.max:
            return f"{value} is too large; the most is {self.max:g}"
        return None

    @field_validator("pattern")
    @classmethod
    def _is_a_pattern(cls, pattern: str | None) -> str | None:
        try:
            if pattern is not None:
                _form(pattern)
        except SchemaError:
            raise ValueError(f"{pattern!r} is no regular expression, or too large a one") from None
        return pattern

    @model_validator(mode="after")
    def _default_is_allowed(self) -> Self:
        fault = self.fault(self.default)
        if fault is not None:
            raise ValueError(f"the default: {fault}")
        return self


_TYPE_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}


@lru_cache(maxsize=256)
def _form(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=rf"\A(?:{pattern})\z", regex_engine="rust-regex"))


def _is_written(value: str, pattern: str) -> bool:
    """Whether the whole text is as a card wants it.

    Both come from whoever hands a batch in. This engine takes time in proportion to the text; Python's own can be made
    to take for ever.
    """
    return _form(pattern).isinstance_python(value)


def _has_type(value: Scalar, wanted: str) -> bool:
    if isinstance(value, bool):
        return wanted == "bool"
    kinds: dict[str, type | tuple[type, ...]] = {"int": int, "float": (int, float), "str": str}
    return wanted in kinds and isinstance(value, kinds[wanted])


class Runtime(Model):
    """How a diffusers pipeline is run: its speed and memory. Tiling and attention may change the picture a little."""

    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: a GPU where the host has one")
    batch: Int = Field(default=1, ge=1, le=1024, description="candidates in one call at most; halved where memory ends")
    offload: Literal["none", "model", "sequential"] = Field(
        default="none", description="move parts to the GPU as they are used: whole models, or layer by layer"
    )
    vae_tiling: Bool = Field(default=False, description="decode in tiles")
    vae_slicing: Bool = Field(default=False, description="decode one candidate at a time")
    channels_last: Bool = Field(default=False, description="memory layout of convolutions")
    compile: Literal["none", "regional"] = Field(default="none", description="torch.compile of the repeated blocks")
    attention: ClassName | None = Field(default=None, description="a diffusers attention backend; None: its default")


class Part(Model):
    """A part of a pipeline that comes from a place of its own: a motion adapter, a ControlNet."""

    source: str = Field(description="local folder or hub repository")
    revision: str | None = None


class ModelCard(Model):
    """What a model is, can do and needs. One YAML file each in ``models/catalog/``; a batch names it by ``id``."""

    id: ModelId
    family: Literal["procedural", "diffusers", "embedded", "optical"]
    roles: tuple[Role, ...] = Field(min_length=1)
    title: str = ""
    pipeline: ClassName | None = Field(
        default=None, description="diffusers pipeline class; of the family optical: flow, rife or enlarge"
    )
    source: str | None = Field(default=None, description="local folder or hub repository")
    revision: str | None = None
    digests: dict[str, str] = Field(default_factory=dict, description="sha256 by file name")
    parts: dict[str, Part] = Field(
        default_factory=dict, description="parts that come from elsewhere, by the pipeline's name of them"
    )
    variant: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9_-]{1,40}$", description="file variant of the weights, such as fp16"
    )
    licence: str
    terms: str = Field(default="", description="what the licence asks for or forbids, in a sentence")
    terms_from: TermsFrom | None = Field(
        default=None,
        description="whether the licence was read for that, reports of it, or neither; None: not said",
    )
    scheduler: ClassName | None = Field(
        default=None, description="diffusers scheduler class; None: the one that is stored"
    )
    draft_scheduler: ClassName | None = Field(default=None, description="that of the draft rung: a second-order solver")
    scheduler_settings: dict[str, Scalar] = Field(
        default_factory=dict, description="settings of the scheduler that differ from those stored with the weights"
    )
    runtime: Runtime = Field(default=Runtime(), description="device, memory and speed of a diffusers pipeline")
    dtype: Literal["float32", "bfloat16", "float16", "uint8"] = "float32"
    vram_gib: Float = Field(default=0.0, ge=0, description="of each GPU; 0: runs on a CPU slot")
    gpus: Int = Field(default=0, ge=0, le=16)
    share: Float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="part of one GPU that a host takes, beside others; None: all of it",
    )
    accelerators: tuple[str, ...] = Field(
        default=(), description="kinds of GPU it runs on, by Ray's accelerator type, such as H100; empty: any"
    )
    cpus: Float = Field(default=1.0, gt=0)
    memory_gib: Float = Field(default=0.0, ge=0, description="main memory of a host; 0: not asked for")
    sizes: SizeGrid
    frames: FrameGrid | None = Field(default=None, description="None: the model makes stills only")
    rate: Rate | None = Field(
        default=None, description="native frames per second of its clips; None: interpolates to that of the shot"
    )
    scale: Int | None = Field(
        default=None, ge=2, le=16, description="how many times larger it upscales; None: to any larger size"
    )
    guides: tuple[str, ...] = ()
    looks: Bool = False
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    draft: dict[str, Scalar] = Field(default_factory=dict, description="parameters of the draft rung")
    full: dict[str, Scalar] = Field(default_factory=dict, description="parameters of the full rung")
    seconds_per_candidate: Float = Field(default=1.0, gt=0, description="a first guess, replaced by measured seconds")
    seconds_on: str = Field(default="", description="the device that guess is for")
    seconds_from: SecondsFrom | None = Field(
        default=None,
        description="measured by whoever wrote the card, published by the model's makers, reported by others, reckoned "
        "from other figures, or a guess; None: not said",
    )
    verified: str = "config-only"

    @model_validator(mode="after")
    def _parts_of_a_gpu_are_of_one(self) -> Self:
        if self.share is not None and self.gpus != 1:
            raise ValueError(f"share is a part of one GPU, so it goes with gpus: 1, not {self.gpus}")
        if self.accelerators and self.gpus == 0:
            raise ValueError("accelerators names kinds of GPU, and the card asks for none; state gpus")
        return self

    @model_validator(mode="after")
    def _clips_have_a_grid(self) -> Self:
        """An upscaler may know stills alone; rates of what it is given bind nobody who upscales or interpolates."""
        moving = set(self.roles) - STILL_ROLES - {"upscale"}
        if (moving and self.frames is None) or (moving - {"interpolate"} and self.rate is None):
            raise ValueError("a model that makes clips states its frame grid and native rate")
        return self

    @model_validator(mode="after")
    def _rungs_are_declared(self) -> Self:
        for rung, settings in (("draft", self.draft), ("full", self.full)):
            for name, value in settings.items():
                if name not in self.parameters:
                    raise ValueError(f"{rung} sets {name!r}, which is no parameter of the card")
                fault = self.parameters[name].fault(value)
                if fault is not None:
                    raise ValueError(f"{rung}.{name}: {fault}")
        return self
