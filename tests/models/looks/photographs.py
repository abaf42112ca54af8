"""A folder of photographs with its ledger and look file, for tests: right in everything, until a test spoils it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from ancestra_farm.batch.card import ModelCard

CAPTIONS = ("the sea at dusk", "stars and dust", "cells from above", "petals of light")


def toned(seed: int, size: tuple[int, int]) -> np.ndarray:
    """A smooth picture in browns and creams, uint8 [H, W, 3]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : size[1], 0 : size[0]] / max(size)
    lightness = 0.5 + 0.45 * np.sin(x * rng.uniform(2, 9) + y * rng.uniform(2, 9) + rng.uniform(0, 6))
    dark, light = np.array([30, 10, 5]), np.array([250, 220, 170])
    return (dark + lightness[..., None] * (light - dark)).astype(np.uint8)


def row(folder: Path, name: str, **changes: Any) -> dict[str, Any]:
    """The row of a photograph that is in the folder."""
    return {
        "file": name,
        "sha256": f"sha256:{hashlib.sha256((folder / name).read_bytes()).hexdigest()}",
        "owner": "Ada",
        "consent": {"who": "Ada", "when": "2026-01-05", "scope": ["training"]},
        "licence": "CC0-1.0",
        "scope": ["ancestra"],
        "caption": CAPTIONS[len(name) % len(CAPTIONS)],
        **changes,
    }


def write_ledger(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as the ledger of the folder."""
    text = yaml.safe_dump({"schema": "ancestra/photographs/v1", "photographs": rows}, sort_keys=False)
    (folder / "ledger.yaml").write_text(text, encoding="utf-8")


def write_look(place: Path, *, count: int = 4, pixels: tuple[int, int] = (72, 40), **changes: Any) -> Path:
    """A look file in ``place`` with ``count`` photographs beside it, all in order; where it is."""
    folder = place / "photographs"
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{'x' * number}photo.png" for number in range(count)]
    for number, name in enumerate(names):
        Image.fromarray(toned(number, pixels)).save(folder / name)
    write_ledger(folder, [row(folder, name) for name in names])
    look = {
        "schema": "ancestra/look/v1",
        "look": "ember",
        "show": "ancestra",
        "model": "tiny/model",
        "photographs": "photographs",
        "rank": 2,
        "steps": 6,
        "batch": 2,
        "learning_rate": 0.01,
        "checkpoint_every": 2,
        "sample_every": 4,
        "samples": ["the sea"],
        **changes,
    }
    file = place / "ember.yaml"
    # JSON is YAML, and keeps a key on a line of its own
    file.write_text(json.dumps(look, indent=1), encoding="utf-8")
    return file


def base_card(**changes: Any) -> ModelCard:
    """A card that takes looks, for checks that load nothing."""
    values: dict[str, Any] = {
        "id": "tiny/model",
        "family": "diffusers",
        "roles": ["text_to_image"],
        "pipeline": "StableDiffusionPipeline",
        "source": "/nowhere",
        "licence": "MIT",
        "sizes": {"multiple_of": 8, "min": 16, "max": 64, "default": [32, 32]},
        "looks": True,
    }
    return ModelCard.model_validate({**values, **changes})


def some_facts(**changes: Any) -> Any:
    """What a look may say it was made of."""
    from ancestra_farm.batch.look import LookFile
    from ancestra_farm.models.looks.adapter import LookFacts

    settings = {"schema": "ancestra/look/v1", "look": "ember", "show": "ancestra", "model": "tiny/model"}
    values: dict[str, Any] = {
        "look": "ember",
        "show": "ancestra",
        "model": "tiny/model",
        "base": "sha256:" + "1" * 64,
        "component": "unet",
        "data": "sha256:" + "2" * 64,
        "ledger": "sha256:" + "3" * 64,
        "assets": ("sha256:" + "4" * 64,),
        "licences": ("CC0-1.0",),
        "settings": LookFile.model_validate({**settings, "photographs": "photographs"}),
        "steps": 6,
        "loss": 0.5,
        "norms": {"a": 1.0},
    }
    return LookFacts(**{**values, **changes})
