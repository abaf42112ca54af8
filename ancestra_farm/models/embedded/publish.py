"""What goes with the weights: the model card with what was measured, the loss curves, a sheet of stills, the digests.

``python -m ancestra_farm.models.embedded.publish --work FOLDER --figures FIGURES.json --speed SPEED.json`` writes them
into this folder from the journal of the run and from what `measure` and `speed` printed, and the cards of the catalogue
with the digests. The model card's figures come from there alone, so that it cannot claim what was not measured.
"""

import argparse
import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import torch
from diffusers import WanImageToVideoPipeline

from ancestra_farm.models.embedded import measure, renders
from ancestra_farm.models.embedded.export import digests_of
from ancestra_farm.models.embedded.train import ORDER
from ancestra_farm.models.embedded.words import MOTIONS, SUBJECTS, Facts, Light, caption_of, vocabulary

HERE = Path(__file__).parent
CATALOGUE = HERE.parent / "catalog"
_SHOWN: tuple[Light, ...] = ("dawn", "day", "dusk", "night", "mist")
_CLIPS_SHOWN = """
![Clips of the checkpoint](clips.png)

Clips from its own stills, a row each, every fourth frame. None was chosen."""
_GUIDED_SHOWN = """

![Clips along a guide](guided.png)

Clips along a guide, a row each: the guide's flow in colours, then every fourth frame. No word says where to."""
_WORDS = {
    "subject": "subject right, a judge that sees everything",
    "structure": "subject right, a judge that sees structure alone",
    "light": "light right",
    "diversity": "spread of structure within one prompt, as a share of the renders'",
    "first_frame_ssim": "first frame of a clip to its still, SSIM",
    "motion_from_words": "direction of motion right, clips from words",
    "motion_from_still": "direction of motion right, clips from a still",
    "guide_correlation": "flow along a guide, correlation",
}


def journal_of(work: Path) -> list[dict[str, Any]]:
    """The records of a run, in order."""
    return [json.loads(line) for line in (work / "journal.jsonl").read_text(encoding="utf-8").splitlines()]


def model_card(
    journal: list[dict[str, Any]],
    found: Mapping[str, Any],
    speed: Mapping[str, float],
    parameters: Mapping[str, int],
    size: int,
) -> str:
    """The text of MODEL_CARD.md. ``found``, ``speed``: what the two printed; ``size``: bytes of the weights."""
    figures = found["figures"]
    done = {record["stage"] for record in journal}
    stages = [_row(record) for record in journal]
    stages += [f"| {stage} | 0 | 0 | | | not trained yet |" for stage in ORDER if stage not in done]
    moving, steered = "motion_from_words" in found["targets"], "guide_correlation" in found["targets"]
    along = ", from a still or along a guide," if steered else " or from a still,"
    template = Template((HERE / "model_card_template.md").read_text(encoding="utf-8"))
    return template.substitute(
        millions=f"{sum(parameters.values()) / 1e6:.1f}",
        megabytes=f"{size / 1e6:.1f}",
        subjects=", ".join(SUBJECTS),
        shown=", ".join(_SHOWN),
        parts="\n".join(f"| {name} | {count:,} |" for name, count in parameters.items()),
        words=len(vocabulary()),
        stages="\n".join(stages),
        steps=found["steps"],
        guidance=found["guidance"],
        targets="\n".join(_target(name, found["targets"].get(name)) for name in measure.TARGETS),
        psnr=f"{figures['autoencoder_psnr_db']:.1f}",
        ssim=f"{figures['autoencoder_ssim']:.2f}",
        speed=_speed(speed),
        by_subject=", ".join(f"{name} {figures[f'structure_{name}']:.0%}" for name in SUBJECTS),
        limits=_limits(found, done),
        makes=f"stills, and clips of two seconds from words{along}" if moving else "stills",
        clips_sheet=(_CLIPS_SHOWN if moving else "") + (_GUIDED_SHOWN if steered else ""),
        **{
            f"render_{name}": f"{figures[f'render_{name}']:.1%}" for name in ("subject", "structure", "light", "motion")
        },
    )


def cards(trained: Collection[str], digests: Mapping[str, str]) -> dict[str, str]:
    """Cards of the catalogue by file name: those of what was ``trained`` (stages), with the digests of the weights."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted((HERE / "cards").glob("*.yaml"))}
    needed = {name: re.search(r"^# Becomes .* Needs: (\w+)\.$", text, re.MULTILINE) for name, text in texts.items()}
    return {name: with_digests(texts[name], digests) for name, found in needed.items() if found and found[1] in trained}


def with_digests(card: str, digests: Mapping[str, str]) -> str:
    """The text of a catalogue card with these digests in place of its own."""
    block = "digests:\n" + "".join(f"  {name}: sha256:{digest}\n" for name, digest in digests.items())
    without = re.sub(r"^# Becomes .*\n|^digests:\n(  .*\n)+", "", card, flags=re.MULTILINE)
    return without.replace("licence:", f"{block}licence:", 1)


def _row(record: Mapping[str, Any]) -> str:
    after = ", ".join(f"{name} {value:.3g}" for name, value in record["after"].items() if "structure_" not in name)
    kept = "yes" if record["kept"] else "no"
    return f"| {record['stage']} | {record['minutes']:.1f} | {record['steps']} | {record['seed']} | {kept} | {after} |"


def _target(name: str, found: Mapping[str, Any] | None) -> str:
    target = measure.TARGETS[name]
    if found is None:
        return f"| {_WORDS[name]} | not measured | {target} | no |"
    return f"| {_WORDS[name]} | {found['measured']:.3f} | {target} | {'yes' if found['met'] else 'no'} |"


def _speed(speed: Mapping[str, float]) -> str:
    stills = f"A thousand stills take {speed['seconds_per_thousand_stills']:.0f} s"
    clips = f", a clip of two seconds {speed['seconds_per_clip']:.1f} s" if "seconds_per_clip" in speed else ""
    return f"{stills}{clips} where {speed['processes']} processes of one thread each share the work."


def _limits(found: Mapping[str, Any], done: Collection[str]) -> str:
    said = []
    if "motion_from_words" in found["targets"]:
        said.append("- Clips are two seconds at 8 frames a second.")
    else:
        said.append("- Stills only: clips were not trained or not measured yet, so the card has no role for them.")
    if "guide_correlation" in found["targets"]:
        free = found["figures"]["guide_correlation_free"]
        said.append(
            "- Guides were flow that is the same all through a clip: one that turns halfway was never trained. Along "
            f"paths that no word names (shifts anywhere, zooms, turns, all at once) the correlation is {free:.2f}."
        )
    elif "guides" in done:
        said.append("- No guides: its control blocks do not steer yet, and do not ship.")
    return "\n".join(said)


def _stills_sheet(pipeline: Any, path: Path) -> None:  # noqa: ANN401 - a diffusers pipeline
    names = {"sea": "ocean", "tissue": "tissue and vessels", "cells": "living cells", "stars": "stars and dust"}
    prompts = [
        f"{names.get(subject, 'petals of light')}, at {light}"
        for subject in SUBJECTS
        for light in _SHOWN
        for _ in range(2)
    ]
    stills = measure.made(pipeline, prompts, range(len(prompts)))[:, 0]
    measure.sheet(np.ascontiguousarray(stills), 2 * len(_SHOWN), path, times=1)


def _clips_sheet(folder: Path, path: Path) -> None:
    """A clip a row, every fourth frame, by motion: the first frames are stills of the same weights."""
    told = [(subject, motion) for subject, motion in zip(SUBJECTS * 2, MOTIONS, strict=False)]
    asked = [
        Facts(subject="petals" if motion == "open" else subject, light="day", motion=motion) for subject, motion in told
    ]
    prompts = [caption_of(facts, np.random.default_rng([at])) for at, facts in enumerate(asked)]
    stills = measure.made(measure.pipeline_of(folder), prompts, range(len(prompts)))[:, 0]
    animating = measure.pipeline_of(folder, WanImageToVideoPipeline)
    clips = measure.animated(animating, stills, prompts, renders.CLIP_FRAMES)[:, ::4]
    measure.sheet(clips.reshape(-1, *clips.shape[2:]), clips.shape[1], path, times=1)


def _guided_sheet(folder: Path, path: Path) -> None:
    """A clip a row, the guide's colours before every fourth frame, by motion."""
    motions = [motion for motion in MOTIONS if motion not in ("hold", "open")]
    guides = np.stack([renders.control(renders.PATHS[motion]) for motion in motions])
    asked = [Facts(subject=SUBJECTS[at % len(SUBJECTS)], light="day") for at in range(len(motions))]
    prompts = [caption_of(facts, np.random.default_rng([at])) for at, facts in enumerate(asked)]
    clips = measure.guided(measure.guided_pipeline_of(folder), guides, prompts)[:, ::4]
    rows = np.concatenate([guides[:, :1], clips], axis=1)
    measure.sheet(rows.reshape(-1, *rows.shape[2:]), rows.shape[1], path, times=1)


def main() -> None:
    """Write model card, curves, sheet and digests."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--work", type=Path, required=True, help="the folder of the training run")
    parser.add_argument("--figures", type=Path, required=True, help="what measure printed")
    parser.add_argument("--speed", type=Path, required=True, help="what speed printed")
    told = parser.parse_args()
    torch.set_num_threads(1)
    weights, journal = HERE / "weights", journal_of(told.work)
    pipeline = measure.pipeline_of(weights)
    parts = {"autoencoder": pipeline.vae, "transformer": pipeline.transformer, "text encoder": pipeline.text_encoder}
    parameters = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    size = sum(path.stat().st_size for path in weights.rglob("*") if path.is_file())
    found = json.loads(told.figures.read_text(encoding="utf-8"))
    speed = json.loads(told.speed.read_text(encoding="utf-8"))
    _stills_sheet(pipeline, HERE / "stills.png")
    if "motion_from_words" in found["targets"]:
        _clips_sheet(weights, HERE / "clips.png")
    if "guide_correlation" in found["targets"]:
        _guided_sheet(weights, HERE / "guided.png")
        blocks = measure.guided_pipeline_of(weights).transformer.named_parameters()
        parameters["control blocks (VACE)"] = sum(p.numel() for name, p in blocks if name.startswith("vace"))
    (HERE / "MODEL_CARD.md").write_text(model_card(journal, found, speed, parameters, size), encoding="utf-8")
    curves = [{name: record[name] for name in ("stage", "at", "seed", "kept", "curve")} for record in journal]
    (HERE / "training.json").write_text(json.dumps(curves, indent=None) + "\n", encoding="utf-8")
    # What nobody measured has no card: nobody could say what it is good for.
    shown = {"clips": "motion_from_words", "guides": "guide_correlation"}
    trained = {
        record["stage"]
        for record in journal
        if record["kept"] and shown.get(record["stage"], "subject") in found["targets"]
    }
    for name, card in cards(trained, digests_of(weights)).items():
        (CATALOGUE / name).write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
