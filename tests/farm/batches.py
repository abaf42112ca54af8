"""Small batches on the procedural models, and plans and tickets of them, for the tests of the farm."""

from pathlib import Path
from typing import Any

import yaml

from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.plan.plan import Plan
from ancestra_farm.plan.space import Space
from ancestra_farm.scheduler.world import Ticket


def batch_document(shots: int = 1, **still: Any) -> dict[str, Any]:
    """A batch of ``shots`` shots with one stage of stills; ``still`` changes that stage."""
    stage = {
        "role": "text_to_image",
        "model": "procedural/stills",
        "candidates": 24,
        "wave": 8,
        "size": [64, 64],
        "parameters": {"fault_rate": 0.3},
    }
    parameters = {**stage["parameters"], **still.pop("parameters", {})}
    return {
        "schema": "ancestra/v1",
        "batch": "tiny",
        "show": "anc",
        "seed": 7,
        "handles": 0,
        "stages": {"still": {**stage, **still, "parameters": parameters}},
        "shots": [
            {"shot": f"anc_{n:03d}", "frames": 12, "prompt": {"text": "the sea at dawn, seen from above"}}
            for n in range(shots)
        ],
        "deliver": {"mp4": False},
    }


def with_clips(document: dict[str, Any], **animate: Any) -> dict[str, Any]:
    """The batch with a stage of clips that starts from its two best stills."""
    stage = {
        "role": "image_to_video",
        "model": "procedural/clips",
        "from": "still",
        "best": 2,
        "candidates": 2,
        "keep": 1,
        "size": [64, 64],
        "parameters": {"fault_rate": 0.0},
    }
    return {**document, "stages": {**document["stages"], "animate": {**stage, **animate}}}


def write_batch(folder: Path, document: dict[str, Any], name: str = "tiny.yaml") -> Path:
    """The document as a file."""
    path = folder / name
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def plan_of(document: dict[str, Any]) -> Plan:
    """The plan of a document."""
    from ancestra_farm.batch.load import read_batch

    return Plan.of(read_batch(yaml.safe_dump(document), "tiny.yaml"), load_catalog(None))


def space_of(document: dict[str, Any], stage: str = "still", inputs: tuple[tuple[str, ...], ...] = ((),)) -> Space:
    """The candidates of the first shot's stage."""
    plan = plan_of(document)
    return plan.shots[0].stage(stage).space(0, inputs)


def ticket_of(space: Space, positions: range | tuple[int, ...], name: str = "t1", **changes: Any) -> Ticket:
    """A ticket for some positions of a space."""
    values = {
        "ticket": name,
        "epoch": 1,
        "batch": "tiny",
        "branch": f"{space.shot}/{space.stage}/0",
        "rung": "full",
        "positions": tuple(positions),
        "space": space,
        "filters": (),
        "settings": {},
        "full_sample": 0.0,
        "keep_rejects": False,
        "parents": {},
        "deadline_s": 60.0,
    }
    return Ticket(**{**values, **changes})
