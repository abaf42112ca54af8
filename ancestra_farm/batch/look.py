"""``ancestra/look/v1``: a look to be trained, and ``ancestra/photographs/v1``: the ledger of what it is trained on.

A look is a style adapter for one base model, learned from a folder of photographs. Every photograph has a row in the
ledger that says whose it is and what was consented to. This module says what stands in the two files and what can be
wrong with a look file in itself; whether the photographs are those of the ledger is `models.looks.dataset`'s matter.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ancestra_farm.batch.base import Float, Int, Model, Name, Size
from ancestra_farm.batch.card import ModelCard, ModelId
from ancestra_farm.batch.document import Document, read_file
from ancestra_farm.batch.load import accepted
from ancestra_farm.batch.problems import BatchRefused, Problem, by_line, did_you_mean, listed
from ancestra_farm.batch.prompts import fill, placeholders
from ancestra_farm.batch.rights import Consent, Digest
from ancestra_farm.batch.schema import Wording

SCHEMA = "ancestra/look/v1"
LEDGER_SCHEMA = "ancestra/photographs/v1"
#: Pipeline classes that looks are trained on; `models.looks.denoisers` says how.
TRAINABLE = ("FluxPipeline", "StableDiffusionPipeline", "StableDiffusionXLPipeline", "WanPipeline")


def _check_caption(template: str) -> str:
    unknown = [name for name in placeholders(template) if name != "caption"]
    if unknown:
        raise ValueError(f"{{{unknown[0]}}} means nothing here; {{caption}} stands for the words of each row")
    return template


Caption = Annotated[Wording, AfterValidator(_check_caption)]


class Photograph(Model):
    """One row of the ledger: a photograph, whose it is, and what may be done with it."""

    file: str = Field(min_length=1, max_length=500, description="its path in the folder of photographs")
    sha256: Digest = Field(description="sha256: and 64 hexadecimal digits of the file")
    owner: str = Field(min_length=1, max_length=200, description="whose it is")
    consent: Consent = Field(description="who agreed to what, and when")
    licence: str = Field(min_length=1, max_length=200, description="what it is licensed under")
    scope: tuple[Name, ...] = Field(min_length=1, description="the shows it may be used for, or any")
    caption: str = Field(default="", max_length=4000, description="what it shows, in the words of a prompt")


class PhotographLedger(Model):
    """The ledger of a folder of photographs."""

    schema_: Literal["ancestra/photographs/v1"] = Field(alias="schema", description="the version of this vocabulary")
    photographs: tuple[Photograph, ...] = Field(min_length=1, max_length=100_000, description="a row for each file")


class LookPolicy(Model):
    """What a look may be made of."""

    licences: tuple[str, ...] | None = Field(default=None, description="licences allowed of photographs; None: any")


class LookFile(Model):
    """One look to be trained. ``photographs`` and ``ledger`` are paths beside the file."""

    schema_: Literal["ancestra/look/v1"] = Field(alias="schema", description="the version of this vocabulary")
    look: Name = Field(description="the name of the look")
    show: Name = Field(description="the film or series it is for; the ledger's rows must allow it")
    owner: str = Field(default="", max_length=120, description="who is asked about it")
    model: ModelId = Field(description="the id of the base model's card")
    photographs: str = Field(min_length=1, description="the folder of photographs, beside this file")
    ledger: str | None = Field(default=None, description="None: ledger.yaml in the folder of photographs")
    caption: Caption = Field(
        default="{caption}", description="what the model is told of each photograph; {caption}: its row's own words"
    )
    caption_drop: Float = Field(default=0.1, ge=0, lt=1, description="fraction of steps that are told nothing at all")
    rank: Int = Field(default=8, ge=1, le=256, description="rank of the adapter's matrices")
    alpha: Int | None = Field(default=None, ge=1, le=1024, description="its scale is alpha/rank; None: 1")
    targets: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="names of the layers that are adapted; None: the attention's"
    )
    steps: Int = Field(default=500, ge=1, le=1_000_000, description="training steps")
    batch: Int = Field(default=4, ge=1, le=256, description="photographs in one step")
    learning_rate: Float = Field(default=1e-3, gt=0, le=1, description="at its highest, after warming up")
    size: Size | None = Field(default=None, description="None: the model's default size")
    seed: Int = Field(default=0, ge=0, lt=2**63, description="where all randomness starts")
    checkpoint_every: Int = Field(default=100, ge=1, description="steps after which a killed training goes on")
    sample_every: Int = Field(default=250, ge=1, description="steps after which samples are drawn; also at the end")
    samples: tuple[Wording, ...] = Field(default=(), max_length=16, description="what the samples show, as prompts")
    policy: LookPolicy = Field(default=LookPolicy(), description="what it may be made of")

    @property
    def scale(self) -> float:
        """By which the adapter's product of matrices is multiplied."""
        return 1.0 if self.alpha is None else self.alpha / self.rank

    @property
    def ledger_path(self) -> str:
        """Where the ledger is, beside the file."""
        return self.ledger or f"{self.photographs.rstrip('/')}/ledger.yaml"

    def caption_of(self, row: Photograph) -> str:
        """What the model is told of a photograph."""
        return fill(self.caption, {"caption": row.caption}).strip()


class LocatedLook(Model):
    """A look file that was read: what it says, and where it is."""

    file: Path
    look: LookFile

    def beside(self, path: str) -> Path:
        """A path that the file names, where it lies."""
        return self.file.parent / path


def checked_look(path: Path, cards: Mapping[str, ModelCard]) -> LocatedLook:
    """The look in a file, if nothing is wrong with it in itself. Raises BatchRefused with every problem, by line."""
    document = read_file(path)
    look = accepted(document, LookFile)
    if problems := by_line(_problems(document, look, cards)):
        raise BatchRefused(problems)
    return LocatedLook(file=path, look=look)


def read_ledger(path: Path) -> tuple[Document, PhotographLedger]:
    """A ledger and where its rows stand. Raises BatchRefused with every fault of its own, by line."""
    document = read_file(path)
    return document, accepted(document, PhotographLedger)


def _problems(document: Document, look: LookFile, cards: Mapping[str, ModelCard]) -> list[Problem]:
    card = cards.get(look.model)
    if card is None:
        hint = did_you_mean(look.model, cards, "models")
        return [document.problem(("model",), f"there is no model {look.model!r} in the catalogue", hint)]
    problems = []
    if (why := _untrainable(card)) is not None:
        able = sorted(other.id for other in cards.values() if _untrainable(other) is None)
        hint = f"they are trained on {listed(able, 'and')}" if able else "they are on none of the catalogue"
        problems.append(document.problem(("model",), why, hint))
    if look.size is not None and not card.sizes.accepts(*look.size):
        near = listed(f"[{width}, {height}]" for width, height in card.sizes.nearest(*look.size))
        message = f"{look.size[0]} × {look.size[1]} is no size of {card.id}"
        problems.append(document.problem(("size",), message, f"nearest: {near}"))
    return problems


def _untrainable(card: ModelCard) -> str | None:
    """Why no look is trained on a model; None: one can be."""
    if not card.looks:
        return f"{card.id} takes no looks"
    if card.pipeline not in TRAINABLE:
        return f"looks are not trained on {card.pipeline}"
    # A second guidance is that of a second transformer: Wan takes it with no others.
    if any((one.argument or name) == "guidance_scale_2" for name, one in card.parameters.items()):
        return f"{card.id} has two transformers, and a look is trained on one"
    return None
