"""``ancestra/farm/v1``: what a farm has and costs, as data: node types, prices, caps, classes, how it grows.

One document for a whole store, changed only by order (``ancestra settings farm set FILE``). A store without one has no
node types: it uses whatever machines its Ray cluster has, at no stated price. What is placed where, and how many nodes
there should be, is decided in `scheduler`; this module says what may stand in the file.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from ancestra_farm.batch.base import Float, Int, Model, Name
from ancestra_farm.batch.document import Document, read_file
from ancestra_farm.batch.load import accepted
from ancestra_farm.batch.schema import PRIORITIES, Priority

FARM_SCHEMA = "ancestra/farm/v1"

Market = Literal["spot", "on_demand"]
"""Spot nodes are cheaper and can be taken away at short notice; on-demand nodes stay."""

#: Labels that every node of a farm carries, put there by its manifests: of which type it is, and how it is paid for.
NODE_TYPE_LABEL = "ancestra/node-type"
MARKET_LABEL = "ancestra/market"
#: Prefixes of labels that are not a person's to give: ours, and Ray's own.
RESERVED_PREFIXES = ("ancestra/", "ray.io/")

# the syntax of Kubernetes labels, which Ray's node labels share
_LABEL_KEY = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")


def _check_label_key(key: str) -> str:
    if not _LABEL_KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no label: a name of at most 63 letters, digits, - _ . and perhaps a prefix/")
    if key.startswith(RESERVED_PREFIXES):
        raise ValueError(f"{key!r} is given by the farm itself; leave it out")
    return key


def _check_label_value(value: str) -> str:
    if not _LABEL_VALUE.fullmatch(value):
        raise ValueError(f"{value!r} is no label's value: at most 63 letters, digits, - _ .")
    return value


LabelKey = Annotated[str, AfterValidator(_check_label_key)]
LabelValue = Annotated[str, AfterValidator(_check_label_value)]


class NodeType(Model):
    """One kind of machine that the farm may have, and what one of them costs."""

    gpus: Int = Field(default=0, ge=0, le=16, description="GPUs of one node")
    cpus: Float = Field(gt=0, le=1024, description="CPU cores of one node that Ray may give out")
    memory_gib: Float = Field(gt=0, le=65536, description="main memory of one node that Ray may give out")
    accelerator: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="Ray's name of its kind of GPU, such as A100-80G or L4",
    )
    vram_gib: Float = Field(default=0.0, ge=0, le=4096, description="memory of one GPU")
    market: Market = Field(default="on_demand", description="spot: cheaper, and taken away at short notice")
    price_per_hour: Float = Field(default=0.0, ge=0, le=100_000, description="of one node, in the farm's currency")
    min_nodes: Int = Field(default=0, ge=0, le=10_000, description="nodes that are kept even without work")
    max_nodes: Int = Field(ge=1, le=10_000, description="nodes there are at once at most")
    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, max_length=64, description="further labels that its nodes carry"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.min_nodes > self.max_nodes:
            raise ValueError(f"min_nodes is {self.min_nodes}, more than max_nodes, {self.max_nodes}")
        if self.gpus and not self.vram_gib:
            raise ValueError("a node with GPUs says how much memory each has: vram_gib")
        if not self.gpus and (self.vram_gib or self.accelerator):
            raise ValueError("a node without GPUs has neither vram_gib nor accelerator; say gpus")
        return self

    def labels_as(self, name: str) -> dict[str, str]:
        """Every label that a node of this type carries, where the type is called ``name``."""
        return {**self.labels, NODE_TYPE_LABEL: name, MARKET_LABEL: self.market}


class ShowCap(Model):
    """What all batches of one show may have together."""

    max_slots: Int | None = Field(default=None, ge=1, le=1_000_000, description="device slots held at once; None: all")
    max_money: Float | None = Field(
        default=None,
        gt=0,
        description="what the time that its candidates hold hosts may cost in all, in the farm's currency; loads and "
        "idle nodes are not in it; None: as much as it takes",
    )
    max_class: Priority | None = Field(default=None, description="as of submitting, for this show; None: as there")
    max_weight: Float | None = Field(
        default=None, gt=0, le=1000, description="as of submitting, for this show; None: as there"
    )

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError("a cap says max_slots, max_money, max_class or max_weight")
        return self


class Submitting(Model):
    """What a batch may say of its own place in line, where whoever submits it may not change priorities.

    The defaults are what a batch file says that does not mention them.
    """

    max_class: Priority = Field(default="shot", description="the highest class")
    max_weight: Float = Field(default=1.0, gt=0, le=1000, description="the greatest weight within a class")


class Scaling(Model):
    """How pools grow and shrink. All in seconds.

    ``target_wait_s``: ten minutes of waiting is what starting a node and loading a large model come to (2 to 6
    minutes), doubled. ``idle_s``: longer than such a reload, so that a pause between two waves sends nobody away.
    """

    target_wait_s: Float = Field(
        default=600.0, ge=1, le=86_400, description="how long queued work should wait for a device at most"
    )
    idle_s: Float = Field(
        default=300.0, ge=1, le=86_400, description="how long a host without work is kept before it is let go"
    )


def _check_classes(classes: dict[Priority, float]) -> dict[Priority, float]:
    ranks = sorted(PRIORITIES.index(name) for name in classes)
    if ranks and (len(ranks) == 1 or ranks[-1] - ranks[0] != len(ranks) - 1):
        raise ValueError(
            "the classes that share by weight are two that follow each other, or all three: "
            f"{', '.join(PRIORITIES)}; the others stay strictly before or after them"
        )
    return classes


class FarmSettings(Model):
    """One farm.yaml."""

    schema_: Literal["ancestra/farm/v1"] = Field(alias="schema", description="the version of this vocabulary")
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$", description="of all prices and caps: USD, EUR, …")
    node_types: dict[Name, NodeType] = Field(
        default_factory=dict, max_length=64, description="machines, by name; none: whatever the Ray cluster has"
    )
    classes: Annotated[dict[Priority, Annotated[Float, Field(gt=0, le=1000)]], AfterValidator(_check_classes)] = Field(
        default_factory=dict,
        description="classes that share devices by these weights; without one a class is worked on strictly in order",
    )
    show_caps: dict[Name, ShowCap] = Field(
        default_factory=dict, max_length=10_000, description="what all batches of a show may have together, by show"
    )
    submitting: Submitting = Field(
        default=Submitting(), description="what batches ask for of people who may not change priorities"
    )
    scaling: Scaling = Field(default=Scaling(), description="how pools grow and shrink")

    @model_validator(mode="after")
    def _priced_alike(self) -> Self:
        free = sorted(name for name, kind in self.node_types.items() if not kind.price_per_hour)
        if free and len(free) < len(self.node_types):
            raise ValueError(
                f"{', '.join(free)} cost nothing while others have a price: the farm would use them first and count "
                "none of it; give every node type its price_per_hour, or none"
            )
        if any(cap.max_money is not None for cap in self.show_caps.values()) and (free or not self.node_types):
            raise ValueError("max_money needs node types with a price_per_hour: nothing could be counted against it")
        return self


#: What holds in a store that was never given any.
NO_FARM_SETTINGS = FarmSettings(schema_=FARM_SCHEMA)


def load_farm_settings(path: Path | str) -> FarmSettings:
    """The settings in a file. Raises BatchRefused with every fault, by line."""
    return farm_settings_in(read_file(Path(path)))


def farm_settings_in(document: Document) -> FarmSettings:
    """The settings in a document. Raises BatchRefused with every fault, by line."""
    return accepted(document, FarmSettings)


def farm_settings_of(document: str) -> FarmSettings:
    """The settings in canonical JSON, as the log keeps them. Raises ValueError."""
    said = json.loads(document)
    if isinstance(said, dict) and isinstance(scaling := said.get("scaling"), dict):
        scaling.pop("preemption_notice_s", None)  # stood in settings once, and was read by nobody
    return FarmSettings.model_validate(said, by_alias=True, by_name=False)
