"""Photographs for the example look, rendered here: no camera, no people, and a style that nobody can miss.

``python -m ancestra_farm.models.looks.rendered FOLDER`` writes them with their ledger. They stand in for the father's
photographs of the film: every picture of the embedded model's subjects, printed in ember: dark browns, glowing rust,
cream highlights, and the soft focus of an old lens.
"""

import argparse
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ancestra_farm.batch.look import LEDGER_SCHEMA
from ancestra_farm.models.embedded.renders import SIZE, still
from ancestra_farm.models.embedded.words import SUBJECTS, Facts, caption_of, lights_of

Picture = NDArray[np.uint8]

#: sRGB of shadows, middle tones and highlights, and where they lie on a scale of lightness from 0 to 1.
EMBER = ((0.0, (18, 7, 6)), (0.35, (104, 30, 12)), (0.7, (226, 112, 38)), (1.0, (250, 226, 178)))
#: Of a picture's height: the radius of the soft focus.
SOFTNESS = 0.045
#: Photographs of each subject, and how much larger than the model's pictures they are on each side.
OF_EACH, LARGER = 4, 2
JPEG_QUALITY = 88
OWNER = "Ancestra Farm"


def in_ember(picture: Picture) -> Picture:
    """A picture, uint8 [H, W, 3], in the style: its lightness through the colours of `EMBER`, softly focused."""
    lightness = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)[..., 0].astype(np.float32) / 255
    soft = cv2.GaussianBlur(lightness, (0, 0), SOFTNESS * picture.shape[0])
    dark, light = np.percentile(soft, (2, 98))
    toned = np.clip((soft - dark) / max(float(light - dark), 0.05), 0, 1)
    places = [place for place, _ in EMBER]
    channels = [np.interp(toned, places, [colour[channel] for _, colour in EMBER]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def photographs(seed: int = 7, of_each: int = OF_EACH) -> Iterator[tuple[str, Picture, str]]:
    """(name, picture, caption) of each; the same seed gives the same ones."""
    rng = np.random.default_rng([seed, 11])
    size = (SIZE[0] * LARGER, SIZE[1] * LARGER)
    for subject in SUBJECTS:
        lights = lights_of(subject)
        first = int(rng.integers(len(lights)))
        for number in range(of_each):
            light = lights[(first + number) % len(lights)]
            facts = Facts(subject=subject, light=light, height="far" if number % 2 else "near")
            picture = still(facts, seed * 1000 + number, size)
            yield f"{subject}-{number + 1}.jpg", in_ember(picture), caption_of(replace(facts, height=None), rng)


def write_photographs(folder: Path, show: str = "ancestra", seed: int = 7, of_each: int = OF_EACH) -> Path:
    """Write photographs and their ledger; where the ledger is."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, picture, caption in photographs(seed, of_each):
        out = io.BytesIO()
        Image.fromarray(picture).save(out, "JPEG", quality=JPEG_QUALITY)
        (folder / name).write_bytes(out.getvalue())
        rows.append(_row(name, hashlib.sha256(out.getvalue()).hexdigest(), caption, show))
    ledger = folder / "ledger.yaml"
    head = (
        "# Rendered by ancestra_farm.models.looks.rendered: no camera, no people.\n"
        f"schema: {LEDGER_SCHEMA}\nphotographs:\n"
    )
    ledger.write_text(head + "".join(rows), encoding="utf-8")
    return ledger


def _row(name: str, sha256: str, caption: str, show: str) -> str:
    consent = f"{{who: {OWNER}, when: 2026-01-05, scope: [training, reference, publication]}}"
    return (
        f"  - file: {name}\n    sha256: sha256:{sha256}\n    caption: {json.dumps(caption)}\n    owner: {OWNER}\n"
        f"    consent: {consent}\n    licence: CC0-1.0\n    scope: [{show}]\n"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Render the photographs of the example look, with their ledger.")
    parser.add_argument("folder", type=Path)
    write_photographs(parser.parse_args().folder)
