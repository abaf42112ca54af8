"""The embedded model against its targets, measured by judges trained on renders that it never saw.

``python -m ancestra_farm.models.embedded.measure --weights FOLDER`` prints one JSON object: for each target what was
measured and whether it is met. Prompts, seeds and renders are fixed. What the judges say of held-out renders themselves
stands beside, since no model can be judged more surely than that.
"""

import argparse
import json
from collections.abc import Sequence
from itertools import count, islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers import WanImageToVideoPipeline, WanPipeline, WanVACEPipeline, WanVACETransformer3DModel
from numpy.typing import NDArray
from PIL import Image

from ancestra_farm.models.diffusion.loading import set_true_scale
from ancestra_farm.models.embedded import judges as judging
from ancestra_farm.models.embedded import networks, renders
from ancestra_farm.models.embedded.footage import HELD_OUT, facts_at
from ancestra_farm.models.embedded.judges import DIRECTION_OF, Judges
from ancestra_farm.models.embedded.words import MOTIONS, SUBJECTS, TOKENS, Facts, Motion, Subject, caption_of
from ancestra_farm.models.procedural.canvas import plane
from ancestra_farm.models.procedural.motion import flow_between

Pictures = NDArray[np.uint8]

#: What the checkpoint has to reach, by the name of the figure.
TARGETS: dict[str, float] = {
    "subject": 0.97,
    "structure": 0.85,
    "light": 0.95,
    "diversity": 0.90,
    "first_frame_ssim": 0.85,
    "motion_from_words": 0.85,
    "motion_from_still": 0.85,
    "guide_correlation": 0.70,
}
#: Steps and guidance of the full rung, and of the draft.
STEPS, GUIDANCE, DRAFT_STEPS = 8, 2.5, 4
#: How closely guides are followed, VACE's ``conditioning_scale``: guidance by words does not strengthen a guide.
CONTROL = 2.0


def pipeline_of(folder: Path, kind: type = WanPipeline) -> Any:  # noqa: ANN401 - a pipeline of either class
    """The exported checkpoint as a pipeline, in float32."""
    pipeline = kind.from_pretrained(folder, dtype=torch.float32, local_files_only=True)  # type: ignore[attr-defined]
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def guided_pipeline_of(folder: Path) -> WanVACEPipeline:
    """The exported checkpoint with its control blocks. Raises OSError or ValueError where it has none."""
    transformer = WanVACETransformer3DModel.from_pretrained(folder / "transformer", dtype=torch.float32)
    pipeline = WanVACEPipeline.from_pretrained(
        folder, transformer=transformer, dtype=torch.float32, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    set_true_scale(pipeline)
    return pipeline


def made(
    pipeline: Any,  # noqa: ANN401 - as above
    prompts: Sequence[str],
    seeds: Sequence[int],
    frames: int = 1,
    *,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    batch: int = 16,
    size: tuple[int, int] = renders.SIZE,
) -> Pictures:
    """What the pipeline makes of the prompts, uint8 [N, T, H, W, 3]; each candidate with its own seed."""
    parts = []
    for start in range(0, len(prompts), batch):
        chosen = slice(start, start + batch)
        parts.append(
            pipeline(
                prompt=list(prompts[chosen]),
                negative_prompt="",
                width=size[0],
                height=size[1],
                num_frames=frames,
                num_inference_steps=steps,
                guidance_scale=guidance,
                generator=[torch.Generator().manual_seed(seed) for seed in seeds[chosen]],
                max_sequence_length=TOKENS,
                output_type="np",
            ).frames
        )
    return np.rint(np.concatenate(parts) * 255.0).astype(np.uint8)


def animated(
    pipeline: WanImageToVideoPipeline, stills: Pictures, prompts: Sequence[str], frames: int, steps: int = STEPS
) -> Pictures:
    """Clips from stills [N, H, W, 3], one call each: uint8 [N, T, H, W, 3]."""
    first = [{"image": torch.from_numpy(still.copy()).permute(2, 0, 1)[None].float() / 255.0} for still in stills]
    return _one_by_one(pipeline, prompts, first, (frames, *stills.shape[1:3]), steps)


def _one_by_one(
    pipeline: Any,  # noqa: ANN401 - as above
    prompts: Sequence[str],
    starts: Sequence[dict[str, Any]],
    shape: tuple[int, int, int],
    steps: int,
) -> Pictures:
    """A clip of each prompt with what it starts from, seeded by its place: uint8 [N, T, H, W, 3].

    ``shape``: frames, height, width of every clip. These pipelines take one clip a call.
    """
    frames, height, width = shape
    clips = [
        pipeline(
            **start,
            prompt=prompt,
            negative_prompt="",
            width=width,
            height=height,
            num_frames=frames,
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            generator=torch.Generator().manual_seed(at),
            max_sequence_length=TOKENS,
            output_type="np",
        ).frames[0]
        for at, (start, prompt) in enumerate(zip(starts, prompts, strict=True))
    ]
    return np.rint(np.stack(clips) * 255.0).astype(np.uint8)


def stills_figures(pipeline: Any, judges: Judges, each: int = 40, **how: Any) -> dict[str, float]:  # noqa: ANN401
    """Subject, structure, light and diversity of ``each`` stills of every subject.

    Half the prompts name only subject and light, half also a height or a tint. Diversity is measured over as many
    pictures of one prompt for each subject.
    """
    facts, prompts, seeds = _asked(each)
    pictures = made(pipeline, prompts, seeds, **how)[:, 0]
    wanted = [one.subject for one in facts]
    lit = [at for at, one in enumerate(facts) if one.light is not None]
    lights = judges.lights(pictures)
    return {
        "subject": _share(judges.subjects(pictures), wanted),
        "structure": _share(judges.structures(pictures), wanted),
        "light": _share([lights[at] for at in lit], [facts[at].light for at in lit]),
        "diversity": diversity(pipeline, judges, min(each, 16), **how),
        **{f"structure_{name}": _of(judges.structures, pictures, wanted, name) for name in SUBJECTS},
    }


def diversity(pipeline: Any, judges: Judges, each: int, **how: Any) -> float:  # noqa: ANN401
    """Mean distance of structure features within one prompt, as a share of that of renders of the same facts."""
    shares = []
    for number, subject in enumerate(SUBJECTS):
        facts = Facts(subject=subject, light="day")
        prompt = caption_of(facts, np.random.default_rng([HELD_OUT, 5, number]))
        mine = made(pipeline, [prompt] * each, range(700, 700 + each), **how)[:, 0]
        theirs = np.stack([renders.still(facts, HELD_OUT + 90_000 + at) for at in range(each)])
        shares.append(_spread(judges, mine) / _spread(judges, theirs))
    return float(np.mean(shares))


def clip_figures(
    words: WanPipeline,
    stills: WanImageToVideoPipeline,
    judges: Judges,
    each: int = 4,
    frames: int = renders.CLIP_FRAMES,
) -> dict[str, float]:
    """Motion from words and from stills, ``each`` clips of every motion, and the first frame against its still."""
    rng, facts = np.random.default_rng([HELD_OUT, 8]), []
    for motion in MOTIONS:
        for at in range(each):
            subject: Subject = "petals" if motion == "open" else SUBJECTS[at % len(SUBJECTS)]
            facts.append(Facts(subject=subject, light="day", motion=motion))
    prompts = [caption_of(one, rng) for one in facts]
    wanted = [DIRECTION_OF[one.motion or "hold"] for one in facts]
    clips = made(words, prompts, range(len(prompts)), frames, batch=4)
    first = np.stack([renders.still(one, HELD_OUT + 50_000 + at) for at, one in enumerate(facts)])
    from_stills = animated(stills, first, prompts, frames)
    return {
        "motion_from_words": _share(judges.directions(clips), wanted),
        "motion_from_still": _share(judges.directions(from_stills), wanted),
        "clip_subject": _share(judges.subjects(clips[:, -1]), [one.subject for one in facts]),
        "first_frame_ssim": float(np.mean([ssim(a, b[0]) for a, b in zip(first, from_stills, strict=True)])),
    }


def guided(
    pipeline: WanVACEPipeline, controls: Pictures, prompts: Sequence[str], steps: int = STEPS, scale: float = CONTROL
) -> Pictures:
    """Clips along control clips [N, T, H, W, 3], one call each, all of the picture painted: uint8 [N, T, H, W, 3]."""
    frames, height, width = controls.shape[1:4]
    along_them = [
        {
            "video": [Image.fromarray(frame) for frame in control],
            "mask": [Image.new("L", (width, height), 255)] * frames,
            "conditioning_scale": scale,
        }
        for control in controls
    ]
    return _one_by_one(pipeline, prompts, along_them, (frames, height, width), steps)


def guide_figures(pipeline: WanVACEPipeline, each: int = 2, frames: int = renders.CLIP_FRAMES) -> dict[str, float]:
    """How closely clips follow a path that only their guide shows: the mean of `along` over the clips.

    ``guide_correlation``: on the path of every motion that goes somewhere, ``each`` clips. ``guide_correlation_free``:
    on four times as many paths that no word names.
    """
    named: list[Motion] = [one for one in MOTIONS if one not in ("hold", "open")]
    paths = [
        renders.camera_of(Facts("sea", "day", "far", None, motion), HELD_OUT + 70_000 + at)
        for motion in named
        for at in range(each)
    ]
    free = (renders.free_camera(HELD_OUT + 75_000 + at) for at in count())
    moving = list(islice((one for one in free if one.alpha or one.beta), 4 * each))
    rng, found = np.random.default_rng([HELD_OUT, 9]), []
    for at, camera in enumerate((*paths, *moving)):
        prompt = caption_of(Facts(subject=SUBJECTS[at % len(SUBJECTS)], light="day"), rng)
        (clip,) = guided(pipeline, renders.control(camera, frames=frames)[None], [prompt])
        found.append(along(clip, camera))
    return {
        "guide_correlation": float(np.mean(found[: len(paths)])),
        "guide_correlation_free": float(np.mean(found[len(paths) :])),
    }


def along(clip: Pictures, camera: renders.Camera) -> float:
    """How much a clip [T, H, W, 3] goes along a camera's path, in [−1, 1].

    The correlation of its optical flow with the path's, as vectors and uncentred: Σ a·b / √(Σ a² · Σ b²) over frames
    and pixels, but for an eighth at each edge, where flow sees what comes in.
    """
    height, width = clip.shape[1:3]
    at = plane(width, height)
    wanted = camera.flow(at.x + 1j * at.y, 1.0 / renders.RATE)
    inner = (slice(height // 8, -height // 8), slice(width // 8, -width // 8))
    product = power = 0.0
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]
    for before, after in pairwise(grey):
        flow = flow_between(before, after)
        seen = (flow[..., 0] + 1j * flow[..., 1])[inner]
        product += float((seen * wanted[inner].conj()).real.sum())
        power += float((np.abs(seen) ** 2).sum())
    whole = power * float((np.abs(wanted[inner]) ** 2).sum()) * (len(grey) - 1)
    return product / whole**0.5 if whole > 0 else 0.0


def autoencoder_figures(vae: Any, stills: Pictures) -> dict[str, float]:  # noqa: ANN401
    """How well the autoencoder gives pictures [N, T, H, W, 3] back: PSNR in dB and SSIM."""
    back = []
    with torch.no_grad():
        for start in range(0, len(stills), 16):
            wanted = networks.pixels(stills[start : start + 16])
            values = networks.decoded(vae, networks.encoded(vae, wanted)).clamp(-1, 1)
            back.append(((values + 1.0) * 127.5).round().byte().permute(0, 2, 3, 4, 1).numpy())
    returned = np.concatenate(back)
    error = (returned.astype(np.float32) - stills).reshape(len(stills), -1)
    psnr = 10 * np.log10(255.0**2 / np.maximum((error**2).mean(axis=1), 1e-3))
    return {
        "psnr_db": float(psnr.mean()),
        "ssim": float(np.mean([ssim(a[-1], b[-1]) for a, b in zip(returned, stills, strict=True)])),
    }


def render_figures(judges: Judges, each: int = 40) -> dict[str, float]:
    """What the judges say of held-out renders: as right as they can be."""
    facts = [facts_at(HELD_OUT + at) for at in range(each * len(SUBJECTS))]
    pictures = np.stack([renders.still(one, HELD_OUT + at) for at, one in enumerate(facts)])
    moved = [renders.clip(one, HELD_OUT + at) for at, one in enumerate(facts[:40])]
    return {
        "subject": _share(judges.subjects(pictures), [one.subject for one in facts]),
        "structure": _share(judges.structures(pictures), [one.subject for one in facts]),
        "light": _share(judges.lights(pictures), [one.light for one in facts]),
        "motion": _share(judges.directions(np.stack(moved)), [DIRECTION_OF[_motion(one)] for one in facts[:40]]),
    }


def sheet(pictures: Pictures, columns: int, path: Path, times: int = 2) -> None:
    """Write pictures [N, H, W, 3] as one PNG, row by row, each enlarged so many times."""
    height, width = pictures.shape[1:3]
    rows = -(-len(pictures) // columns)
    page = np.zeros((rows * height, columns * width, 3), np.uint8)
    for at, picture in enumerate(pictures):
        down, right = at // columns * height, at % columns * width
        page[down : down + height, right : right + width] = picture
    page = cv2.resize(page, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(path), cv2.cvtColor(page, cv2.COLOR_RGB2BGR))


def ssim(first: Pictures, second: Pictures) -> float:
    """Structural similarity of two pictures [H, W, 3] in grey (Wang et al., 2004), Gaussian window of 1.5 pixels."""
    a, b = (cv2.cvtColor(np.ascontiguousarray(one), cv2.COLOR_RGB2GRAY).astype(np.float64) for one in (first, second))

    def blurred(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return cv2.GaussianBlur(values, (11, 11), 1.5).astype(np.float64, copy=False)

    mean_a, mean_b = blurred(a), blurred(b)
    var_a, var_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    both = blurred(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    above = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float((above / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def against_targets(figures: dict[str, float]) -> dict[str, dict[str, float | bool]]:
    """The measured figures that have a target, with it and whether it is met."""
    return {
        name: {"measured": round(figures[name], 4), "target": target, "met": figures[name] >= target}
        for name, target in TARGETS.items()
        if name in figures
    }


def _asked(each: int) -> tuple[list[Facts], list[str], list[int]]:
    rng, facts = np.random.default_rng([HELD_OUT, 2]), []
    for at in range(each * len(SUBJECTS)):
        full = facts_at(HELD_OUT + 20_000 + at)
        subject = SUBJECTS[at % len(SUBJECTS)]
        light = full.light if full.light != "storm" or subject == "sea" else "day"
        more = at // len(SUBJECTS) % 2 == 1
        facts.append(Facts(subject, light, full.height if more else None, full.tint if more else None))
    return facts, [caption_of(one, rng) for one in facts], [10_000 + at for at in range(len(facts))]


def _spread(judges: Judges, pictures: Pictures) -> float:
    found = judges.features(pictures)
    return float(torch.pdist(found).mean())


def _share(said: Sequence[str], wanted: Sequence[str | None]) -> float:
    return float(np.mean([a == b for a, b in zip(said, wanted, strict=True)]))


def _of(judge: Any, pictures: Pictures, wanted: list[Subject | None], name: str) -> float:  # noqa: ANN401
    at = [index for index, subject in enumerate(wanted) if subject == name]
    return _share(judge(pictures[at]), [name] * len(at))


def _motion(facts: Facts) -> Motion:
    return facts.motion or "hold"


def main() -> None:
    """Measure an exported checkpoint and print what was found."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--judges", type=Path, help="the judges' file; by default beside the weights")
    parser.add_argument("--each", type=int, default=40, help="stills of every subject")
    parser.add_argument("--clips", type=int, default=0, help="clips of every motion; 0 for none")
    parser.add_argument("--guides", type=int, default=0, help="guided clips of every motion; 0 for none")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    told = parser.parse_args()
    judges = judging.load(told.judges or told.weights.parent / "judges.safetensors")
    pipeline = pipeline_of(told.weights)
    how = {"steps": told.steps, "guidance": told.guidance}
    held = np.stack([renders.still(facts_at(HELD_OUT + at), HELD_OUT + at) for at in range(96)])[:, None]
    figures = {
        **{f"autoencoder_{name}": value for name, value in autoencoder_figures(pipeline.vae, held).items()},
        **stills_figures(pipeline, judges, told.each, **how),
        **{f"render_{name}": value for name, value in render_figures(judges, told.each).items()},
    }
    if told.clips:
        figures |= clip_figures(pipeline, pipeline_of(told.weights, WanImageToVideoPipeline), judges, told.clips)
    if told.guides:
        figures |= guide_figures(guided_pipeline_of(told.weights), told.guides)
    rounded = {name: round(value, 4) for name, value in figures.items()}
    found = {**how, "figures": rounded, "targets": against_targets(figures)}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
