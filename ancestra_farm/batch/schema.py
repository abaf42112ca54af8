"""``ancestra/v1``: what a person asks for. One YAML file is one batch; this is the whole vocabulary of that file."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ancestra_farm.batch.base import Bool, Float, Int, Model, Name, Rate, Scalar, Size
from ancestra_farm.batch.card import STILL_ROLES, ModelId, Role
from ancestra_farm.batch.rights import Rights

SCHEMA = "ancestra/v1"

Priority = Literal["dailies", "shot", "backfill"]
PRIORITIES: tuple[Priority, ...] = ("dailies", "shot", "backfill")
"""Classes of work, the most urgent first."""

Wording = Annotated[str, Field(min_length=1, max_length=4000)]
Wordings = Annotated[tuple[Wording, ...], Field(min_length=1)]


class Prompt(Model):
    """The words of a shot. Each text × each combination of axis values is a variant with its own id and yield."""

    text: Wording | Wordings = Field(description="template(s); {axis} is replaced by each value of that axis")
    axes: dict[Name, Wordings] = Field(default_factory=dict, description="the values of each axis, by its name")
    negative: str = Field(default="", max_length=4000, description="what should not be seen; no template")

    @property
    def texts(self) -> tuple[str, ...]:
        """The templates, always as a tuple."""
        return (self.text,) if isinstance(self.text, str) else self.text


class Draft(Model):
    """A cheaper look at the same seeds first; only the best fraction of each wave is made in full."""

    promote: Float = Field(gt=0, le=1, description="the fraction of a wave's passing drafts that is made in full")
    by: Name = Field(default="quality", description="the score that ranks drafts, higher is better")
    parameters: dict[Name, Scalar] = Field(
        default_factory=dict, description="what a draft sets differently, above the card's draft settings"
    )
    size: Size | None = Field(default=None, description="None: the same size as the full rung")


class Stage(Model):
    """One fan-out inside a shot. Its survivors are the inputs of the stages that name it in ``from``."""

    role: Role = Field(description="what its model does")
    model: ModelId = Field(description="the id of a model card")
    source: Name | None = Field(
        default=None, alias="from", description="the stage whose survivors this one starts from"
    )
    best: Int | None = Field(default=None, ge=1, le=10_000, description="take this many of the inputs, best first")
    rank: Name = Field(default="quality", description="the score that ranks this stage's survivors, higher is better")
    candidates: Int = Field(ge=1, le=10_000_000, description="how many to try (per input, where the stage has inputs)")
    wave: Int = Field(default=256, ge=1, le=100_000, description="how many are released and decided together")
    keep: Annotated[Int, Field(ge=1)] | Literal["all"] = Field(
        default="all", description="stop at this many distinct survivors (of a segmented stage: whole chains)"
    )
    distinct_bits: Int | None = Field(
        default=None,
        ge=-1,
        le=32,
        description="survivors whose 64-bit hashes differ in so few bits are duplicates; -1: off; "
        "None: 4 where the stage starts from words alone, off where it starts from pictures (siblings resemble them)",
    )
    size: Size | None = Field(
        default=None,
        description="None: the batch's size; of an upscale as many times its source's as its model makes, else twice "
        "that; an interpolation keeps that of its clips",
    )
    prompt: Prompt | None = Field(default=None, description="None: the shot's prompt")
    parameters: dict[Name, Scalar] = Field(
        default_factory=dict, description="the model's knobs; unset ones are as its card says"
    )
    draft: Draft | None = Field(default=None, description="a cheaper look at each candidate first")
    filters: dict[Name, Bool | dict[Name, Scalar]] = Field(
        default_factory=dict,
        description="settings of a filter, or false to switch it off; unnamed ones run as they are",
    )
    full_sample: Float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="fraction judged by every filter whatever the first ones say, for statistics",
    )
    join: Literal["chain", "keyframes"] = Field(default="chain", description="how segments of a long shot are joined")
    overlap_frames: Int | None = Field(default=None, ge=1, le=64, description="frames shared by neighbouring segments")
    beam: Int = Field(default=3, ge=1, le=16, description="tails kept per segment of a chain")
    select: Literal["auto", "close"] = Field(default="auto", description="close: wait until a person closes the stage")
    look: Name | None = Field(default=None, description="the look it is made with, by name")
    look_weight: Float = Field(default=1.0, ge=0, le=2, description="how strongly the look is applied, 0 to 2")
    keep_rejects: Bool = Field(
        default=False, description="keep the media of rejects too, not only thumbnail and recipe"
    )
    spend: Literal["evenly", "by_yield"] = Field(
        default="evenly",
        description="how waves are shared out between wordings: evenly, or more to those that bring survivors",
    )

    @property
    def makes_clips(self) -> bool:
        """Whether the role makes clips. An upscale makes what it is given: ask about its source."""
        return self.role not in STILL_ROLES


class StageChange(Model):
    """What one shot changes about a stage of its batch. Unset fields stay as the batch says."""

    model: ModelId | None = None
    best: Int | None = Field(default=None, ge=1, le=10_000)
    rank: Name | None = None
    candidates: Int | None = Field(default=None, ge=1, le=10_000_000)
    wave: Int | None = Field(default=None, ge=1, le=100_000)
    keep: Annotated[Int, Field(ge=1)] | Literal["all"] | None = None
    distinct_bits: Int | None = Field(default=None, ge=-1, le=32)
    size: Size | None = None
    prompt: Prompt | None = None
    parameters: dict[Name, Scalar] | None = None
    draft: Draft | None = None
    filters: dict[Name, Bool | dict[Name, Scalar]] | None = None
    beam: Int | None = Field(default=None, ge=1, le=16)
    overlap_frames: Int | None = Field(default=None, ge=1, le=64)
    select: Literal["auto", "close"] | None = None
    look: Name | None = None
    look_weight: Float | None = Field(default=None, ge=0, le=2)
    spend: Literal["evenly", "by_yield"] | None = None


class Look(Model):
    """A style adapter, pinned by digest."""

    source: str = Field(description="a path beside the batch file, or a URL (file, s3, gs, az), of a safetensors file")
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$", description="sha256: and 64 hexadecimal digits of that file")
    bytes: Int | None = Field(default=None, ge=1, description="of the file; None: filled in when it is handed in")
    rights: Rights | None = Field(default=None, description="whose it is; None: filled in from the ledger's row")


class Guide(Model):
    """What steers generation besides words."""

    kind: Literal[
        "previz",
        "motion_path",
        "camera",
        "depth",
        "edges",
        "flow",
        "mask",
        "plate",
        "first_frame",
        "last_frame",
        "reference",
    ] = Field(description="what it steers")
    source: str = Field(description="one file: a path beside the batch file, or a URL (file, s3, gs, az)")
    digest: str | None = Field(
        default=None,
        pattern=r"^sha256:[0-9a-f]{64}$",
        description="of the file; None: filled in when the batch is handed in",
    )
    bytes: Int | None = Field(default=None, ge=1, description="of the file; None: filled in when it is handed in")
    rights: Rights | None = Field(default=None, description="whose it is; None: filled in from the ledger's row")
    role: str = Field(default="", description="what it is for, in a person's words")
    covers: Literal["cut", "handles"] = Field(
        default="cut",
        description="what one that lasts begins and ends with: the cut, resting over the handles, or the handles",
    )


class After(Model):
    """What has to be picked first: stages of other shots, of this batch or of another of the same farm."""

    batch: Name | None = Field(default=None, description="the batch; None: this one")
    shot: Name | None = Field(default=None, description="the shot; None: every other shot of the batch")
    stage: Name | None = Field(
        default=None, description="the stage; None: those that people close, or all where people close none"
    )


class Shot(Model):
    """One piece of film with an exact frame count."""

    shot: Name = Field(description="the shot's name, such as anc_010_0010; it becomes a folder")
    frames: Int = Field(ge=1, le=1_000_000, description="the cut length in frames at the shot's rate, without handles")
    title: str = Field(default="", description="what it shows, for people")
    prompt: Prompt = Field(description="its words, for every stage that has none of its own")
    rate: Rate | None = Field(default=None, description="None: the batch's rate")
    handles: Int | None = Field(default=None, ge=0, le=240, description="None: the batch's handles")
    guides: tuple[Guide, ...] = Field(
        default=(), description="what steers it besides words; each stage gets those that its model takes"
    )
    stages: dict[Name, StageChange] = Field(
        default_factory=dict, description="what this shot changes about stages of the batch"
    )
    skip: tuple[Name, ...] = Field(default=(), description="stages of the batch that this shot goes without")
    after: tuple[After, ...] | None = Field(
        default=None, max_length=100, description="what has to be picked before this shot begins"
    )


class Budget(Model):
    """Where the whole batch ends whatever is still wanted. Reserved at release, settled at the end."""

    candidates: Int | None = Field(default=None, ge=1, description="released candidates, drafts included")
    device_hours: Float | None = Field(default=None, gt=0, description="hours of device time, failed attempts included")
    price_per_device_hour: Float | None = Field(default=None, ge=0, description="for the estimate in `plan`")
    currency: str = Field(default="USD", description="of the price, as it is printed")


class Policy(Model):
    """What a show allows. A batch that asks for more is refused at check, naming the rule."""

    licences: tuple[str, ...] | None = Field(default=None, description="licences allowed; None: any")
    synthetic_performers: Bool = Field(default=False, description="whether invented people may be shown")
    named_artists: Bool = Field(default=False, description="whether prompts may ask for a named artist's manner")


class Deliver(Model):
    """What is published of each shot once its last stage has survivors or picks."""

    stage: Name | None = Field(default=None, description="None: the last stage that makes clips")
    best: Int = Field(default=1, ge=1, le=64, description="how many unpicked clips are stitched, best first")
    mp4: Bool = Field(default=True, description="an H.264 MP4 for viewing")
    master: Literal["ffv1", "png", "none"] = Field(
        default="ffv1", description="the lossless file for finishing: FFV1 in Matroska, a PNG sequence, or none"
    )
    blend_frames: Int = Field(default=4, ge=0, le=64, description="dissolve over a seam, within the overlap")


class Batch(Model):
    """One batch file."""

    schema_: Literal["ancestra/v1"] = Field(alias="schema", description="the version of this vocabulary")
    batch: Name = Field(
        description="the name of the batch; submitting an edited file of the same name re-uses what is unchanged"
    )
    show: Name = Field(description="the name of the film or series; deliveries lie under it")
    owner: str = Field(default="", max_length=120, description="who is asked about it")
    seed: Int = Field(
        default=0, ge=0, lt=2**63, description="where all randomness starts; another seed makes every candidate anew"
    )
    rate: Rate = Field(
        default=24,
        validate_default=True,
        description="frames per second of the shots: 24, or an exact fraction such as 24000/1001",
    )
    size: Size | None = Field(default=None, description="None: each model's default size")
    priority: Priority = Field(
        default="shot", description="the class it is worked on in: dailies before shot before backfill, strictly"
    )
    weight: Float = Field(default=1.0, gt=0, le=1000, description="its part of the devices among batches of its class")
    max_slots: Int | None = Field(default=None, ge=1, description="device slots it holds at once at most; None: all")
    handles: Int = Field(default=8, ge=0, le=240, description="extra frames on each side of the cut")
    stages: dict[Name, Stage] = Field(min_length=1, description="the fan-outs of every shot, by name")
    shots: tuple[Shot, ...] = Field(min_length=1, max_length=100_000, description="the pieces of film")
    looks: dict[Name, Look] = Field(default_factory=dict, description="style adapters, by the name that stages use")
    ledger: str | None = Field(
        default=None,
        min_length=1,
        max_length=500,
        description="a file beside the batch file (ancestra/rights/v1) in which every look and guide has its row",
    )
    budget: Budget = Field(default=Budget(), description="where the whole batch ends whatever is still wanted")
    policy: Policy = Field(default=Policy(), description="what the show allows")
    deliver: Deliver = Field(default=Deliver(), description="what is published of each shot")
    after: tuple[After, ...] | None = Field(
        default=None, max_length=100, description="what has to be picked, in other batches, before any shot begins"
    )

    @model_validator(mode="after")
    def _shots_are_named_once(self) -> Self:
        first = {shot.shot: index for index, shot in reversed(list(enumerate(self.shots)))}
        again = [index for index, shot in enumerate(self.shots) if first[shot.shot] != index]
        if again:
            names = ", ".join(sorted({self.shots[index].shot for index in again}))
            context = {"positions": again, "names": names}
            raise PydanticCustomError("named_twice", "shots named more than once: {names}", context)
        return self

    def stage_of(self, shot: Shot, stage: str) -> Stage:
        """The stage as this shot wants it: the batch's, with the shot's changes.

        Parameters and filters are changed name by name; a shot that names another model starts from that model's
        defaults, since parameters mean nothing to another. Raises KeyError for a stage that is skipped or unknown.
        """
        if stage in shot.skip:
            raise KeyError(stage)
        change = shot.stages.get(stage)
        if change is None:
            return self.stages[stage]
        fields = {name: value for name in change.model_fields_set if (value := getattr(change, name)) is not None}
        spec = self.stages[stage]
        for name in ("parameters", "filters"):
            if name in fields and not (name == "parameters" and "model" in fields):
                fields[name] = {**getattr(spec, name), **fields[name]}
        if "model" in fields:
            fields.setdefault("parameters", {})
        return spec.model_copy(update=fields)
