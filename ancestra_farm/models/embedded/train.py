"""Training of the embedded model, stage by stage, in a folder that can be gone on from after any stop.

``python -m ancestra_farm.models.embedded.train --work FOLDER --stage vae_stills --minutes 15`` and so on in the order
`ORDER`; ``--stage export`` writes what was kept as a checkpoint. A stage's averaged weights replace what was kept only
where they measure better. With two processes: ``torchrun --nproc-per-node 2 -m ancestra_farm.models.embedded.train …``
(each of one thread: two threads of one process beside anything else busy are several times slower).
"""

import argparse
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKLWan,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
    WanVACETransformer3DModel,
)
from torch import Tensor, nn
from transformers import UMT5EncoderModel

from ancestra_farm.models.embedded import judges as judging
from ancestra_farm.models.embedded import measure, networks, renders, stages
from ancestra_farm.models.embedded.export import assembled, export
from ancestra_farm.models.embedded.footage import FREE, HELD_OUT, JUDGED, TRAINED, Footage, drawn, latents_of
from ancestra_farm.models.embedded.loop import Budget, Crew, History, Interrupted, Stage, holding, train

SHIPPED = networks.Sizes()
ORDER = ("vae_stills", "decoder", "vae_clips", "stills", "clips", "guides")


@dataclass(frozen=True, slots=True)
class Amounts:
    """How many renders of each kind. The defaults ship; tests draw a few."""

    stills: int = 5000
    clips: int = 2500
    guided: int = 2000
    held_stills: int = 96
    held_clips: int = 16
    judged_stills: int = 2400
    judged_clips: int = 300
    measured_each: int = 16
    measured_clips: int = 3
    clip_frames: int = renders.CLIP_FRAMES
    size: tuple[int, int] = renders.SIZE


_USUAL = Amounts()


@dataclass(frozen=True, slots=True)
class Workshop:
    """The folder of a run: sets, states, judges, and what was kept."""

    folder: Path
    sizes: networks.Sizes = SHIPPED
    amounts: Amounts = _USUAL
    seed: int = 20260101

    def stills(self) -> Footage:
        """The stills trained on."""
        return self._set("stills", TRAINED, self.amounts.stills, 1)

    def clips(self) -> Footage:
        """The clips trained on; their seeds are no still's."""
        return self._set("clips", TRAINED + 500_000, self.amounts.clips, self.amounts.clip_frames)

    def held_stills(self) -> Footage:
        """Stills that nothing was trained on."""
        return self._set("held-stills", HELD_OUT, self.amounts.held_stills, 1)

    def held_clips(self) -> Footage:
        """Clips that nothing was trained on."""
        return self._set("held-clips", HELD_OUT, self.amounts.held_clips, self.amounts.clip_frames)

    def guided(self) -> Footage:
        """Clips on free paths, which no word names."""
        return self._set("guided", TRAINED + FREE, self.amounts.guided, self.amounts.clip_frames, free=True)

    def held_guided(self) -> Footage:
        """Clips on free paths that nothing was trained on."""
        return self._set("held-guided", HELD_OUT + FREE, self.amounts.held_clips, self.amounts.clip_frames, free=True)

    def judges(self) -> judging.Judges:
        """The judges, trained once."""
        path = self.folder / "judges.safetensors"
        if not path.is_file():
            stills = self._set("judged-stills", JUDGED, self.amounts.judged_stills, 1)
            clips = self._set("judged-clips", JUDGED + 500_000, self.amounts.judged_clips, self.amounts.clip_frames)
            judging.trained(stills, clips).save(path)
        return judging.load(path)

    def vae(self) -> AutoencoderKLWan:
        """The kept autoencoder, or a new one."""
        kept = self.folder / "kept" / "vae"
        return AutoencoderKLWan.from_pretrained(kept) if kept.is_dir() else networks.new_autoencoder(self.sizes)

    def transformer(self) -> WanTransformer3DModel:
        """The kept transformer, or a new one."""
        kept = self.folder / "kept" / "transformer"
        return WanTransformer3DModel.from_pretrained(kept) if kept.is_dir() else networks.new_transformer(self.sizes)

    def text(self) -> UMT5EncoderModel:
        """The kept text encoder, or a new one."""
        kept = self.folder / "kept" / "text"
        return UMT5EncoderModel.from_pretrained(kept) if kept.is_dir() else networks.new_text_encoder(self.sizes)

    def keep(self, parts: Mapping[str, nn.Module], record: Mapping[str, object]) -> None:
        """Make these parts the kept ones, and note why."""
        for name, part in parts.items():
            fresh, kept = self.folder / "kept" / f"{name}.new", self.folder / "kept" / name
            shutil.rmtree(fresh, ignore_errors=True)
            part.save_pretrained(fresh)  # type: ignore[operator]
            shutil.rmtree(kept, ignore_errors=True)
            fresh.rename(kept)
        if "transformer" in parts:  # control blocks belong to the base that they were trained on
            shutil.rmtree(self.folder / "kept" / "guided", ignore_errors=True)
        self.note(record)

    def note(self, record: Mapping[str, object]) -> None:
        """Add a line to the journal of the run."""
        with (self.folder / "journal.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **record}) + "\n")

    def stills_digest(self, vae: AutoencoderKLWan) -> str:
        """What latents of stills depend on: the last temporal taps of encoding, which later stages do not touch."""
        return _digest_of(vae, stills=True)

    def clips_digest(self, vae: AutoencoderKLWan) -> str:
        """What latents of clips depend on: all of encoding."""
        return _digest_of(vae, stills=False)

    def _set(self, name: str, first: int, count: int, frames: int, *, free: bool = False) -> Footage:
        return drawn(self.folder / "sets" / name, first, count, frames, self.amounts.size, on_free_paths=free)


def _digest_of(vae: AutoencoderKLWan, *, stills: bool) -> str:
    state = hashlib.sha256()
    for name, tensor in sorted(vae.state_dict().items()):
        if not name.startswith(("encoder.", "quant_conv.")) or (stills and "time_conv" in name):
            continue
        part = tensor[:, :, -1:] if stills and tensor.ndim == 5 else tensor
        state.update(part.contiguous().numpy().tobytes())
    return state.hexdigest()


def run_stage(shop: Workshop, name: str, budget: Budget, crew: Crew) -> dict[str, object]:
    """Train one stage, measure it and keep it if it measures better. The record that the journal has of it.

    Raises `Interrupted` where the process was asked to stop, and ValueError for a stage that does not exist.
    """
    makers = {
        "vae_stills": _vae_stills,
        "decoder": _decoder,
        "vae_clips": _vae_clips,
        "stills": _stills,
        "clips": _clips,
        "guides": _guides,
    }
    if name not in makers:
        raise ValueError(f"there is no stage {name!r}; there are {', '.join(ORDER)}")
    if crew.rank == 0:
        shop.stills()
    crew.wait()
    return makers[name](shop, budget, crew)


def _vae_stills(shop: Workshop, budget: Budget, crew: Crew) -> dict[str, object]:
    vae = shop.vae()
    held = shop.held_stills().pictures
    before = measure.autoencoder_figures(vae, held)
    stage = stages.AutoencoderStills(vae, shop.stills())
    history, average = _trained(shop, stage, budget, crew)
    with holding(stage.parameters(), average):
        after = measure.autoencoder_figures(vae, held)
        better = after["psnr_db"] > before["psnr_db"]
        if better and crew.rank == 0:
            latents = latents_of(shop.held_stills(), vae, "scale-" + shop.stills_digest(vae))
            networks.set_scale(vae, latents)
        return _judged(shop, crew, stage, history, before, after, {"vae": vae} if better else {})


def _decoder(shop: Workshop, budget: Budget, crew: Crew) -> dict[str, object]:
    vae, held = shop.vae(), shop.held_stills().pictures
    before = measure.autoencoder_figures(vae, held)
    stage = stages.Decoder(vae, shop.stills())
    history, average = _trained(shop, stage, budget, crew)
    with holding(stage.parameters(), average):
        after = measure.autoencoder_figures(vae, held)
        better = after["psnr_db"] > before["psnr_db"]
        return _judged(shop, crew, stage, history, before, after, {"vae": vae} if better else {})


def _vae_clips(shop: Workshop, budget: Budget, crew: Crew) -> dict[str, object]:
    vae = shop.vae()
    held = shop.held_clips().pictures
    before = measure.autoencoder_figures(vae, held)
    frames = min(9, shop.amounts.clip_frames)
    stage = stages.AutoencoderClips(vae, shop.clips(), frames=frames)
    history, average = _trained(shop, stage, budget, crew)
    with holding(stage.parameters(), average):
        after = measure.autoencoder_figures(vae, held)
        better = after["psnr_db"] > before["psnr_db"]
        return _judged(shop, crew, stage, history, before, after, {"vae": vae} if better else {})


def _stills_stage(shop: Workshop, parts: "_Parts") -> stages.TransformerStills:
    footage = shop.stills()
    latents = latents_of(footage, parts.vae, shop.stills_digest(parts.vae))
    return stages.TransformerStills(
        parts.transformer, parts.text, parts.pipeline.tokenizer, networks.normalised(parts.vae, latents), footage.facts
    )


def _stills(shop: Workshop, budget: Budget, crew: Crew) -> dict[str, object]:
    judges, parts = shop.judges(), _Parts.of(shop)
    before = _stills_figures(shop, parts, judges)
    stage = _stills_stage(shop, parts)
    history, average = _trained(shop, stage, budget, crew)
    with holding(stage.parameters(), average):
        after = _stills_figures(shop, parts, judges)
        better = _score(after) > _score(before)
        kept: dict[str, nn.Module] = {"transformer": parts.transformer, "text": parts.text} if better else {}
        return _judged(shop, crew, stage, history, before, after, kept)


def _clips(shop: Workshop, budget: Budget, crew: Crew) -> dict[str, object]:
    judges, parts = shop.judges(), _Parts.of(shop)
    footage = shop.clips()
    latents = networks.normalised(parts.vae, latents_of(footage, parts.vae, shop.clips_digest(parts.vae)))
    stage = stages.TransformerClips(
        _stills_stage(shop, parts), parts.transformer, parts.text, parts.pipeline.tokenizer, latents, footage.facts
    )

    def figures() -> dict[str, float]:
        animating = WanImageToVideoPipeline(**parts.pipeline.components, expand_timesteps=True)
        animating.set_progress_bar_config(disable=True)
        moving = measure.clip_figures(
            parts.pipeline, animating, judges, shop.amounts.measured_clips, shop.amounts.clip_frames
        )
        return {**_stills_figures(shop, parts, judges), **moving}

    before = figures()
    history, average = _trained(shop, stage, budget, crew)
    with holding(stage.parameters(), average):
        after = figures()
        moves = ("motion_from_words", "motion_from_still")
        gained = sum(after[name] - before[name] for name in moves)
        # Clips may cost stills a hundredth at most.
        better = gained > 0 and _score(after) > _score(before) - 0.01
        kept: dict[str, nn.Module] = {"transformer": parts.transformer, "text": parts.text} if better else {}
        return _judged(shop, crew, stage, history, before, after, kept)


def _guides(shop: Workshop, budget: Budget, crew: Crew) -> dict[str, object]:
    """Control blocks. What is measured is the loss on held-out clips, with their controls against with none."""
    parts = _Parts.of(shop)
    kept = shop.folder / "kept" / "guided"
    guided = WanVACETransformer3DModel.from_pretrained(kept) if kept.is_dir() else stages.guided_from(parts.transformer)
    stage = _guides_stage(shop, parts, guided, shop.guided(), TRAINED + FREE)
    held = _guides_stage(shop, parts, guided, shop.held_guided(), HELD_OUT + FREE)
    before = {"held_loss": _held_loss(held)}
    history, average = _trained(shop, stage, budget, crew)
    with holding(stage.parameters(), average):
        after = {"held_loss": _held_loss(held)}
        better = after["held_loss"] < before["held_loss"]
        return _judged(shop, crew, stage, history, before, after, {"guided": guided} if better else {})


def _guides_stage(
    shop: Workshop, parts: "_Parts", guided: WanVACETransformer3DModel, footage: Footage, first: int
) -> stages.Guides:
    size, frames, digest = shop.amounts.size, shop.amounts.clip_frames, shop.clips_digest(parts.vae)
    latents = networks.normalised(parts.vae, latents_of(footage, parts.vae, digest))
    paths = [renders.free_camera(first + at) for at in range(len(footage))]
    shown = Footage(
        footage.folder / "controls", np.stack([renders.control(path, size, frames) for path in paths]), footage.facts
    )
    controls = networks.normalised(parts.vae, latents_of(shown, parts.vae, digest))
    with torch.no_grad():
        grey = torch.zeros(1, 3, *shown.pictures.shape[1:4])
        nothing = networks.normalised(parts.vae, networks.encoded(parts.vae, grey))
    return stages.Guides(
        guided, parts.text, parts.pipeline.tokenizer, latents, stages.control_latents(controls, nothing), footage.facts
    )


def _held_loss(stage: stages.Guides) -> float:
    with torch.no_grad():
        torch.manual_seed(1)
        return float(np.mean([float(stage.loss(at, np.random.default_rng([HELD_OUT, at]))) for at in range(8)]))


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is kept so far, joined as a pipeline."""

    vae: AutoencoderKLWan
    transformer: WanTransformer3DModel
    text: UMT5EncoderModel
    pipeline: WanPipeline

    @classmethod
    def of(cls, shop: Workshop) -> "_Parts":
        vae, transformer, text = shop.vae(), shop.transformer(), shop.text()
        return cls(vae, transformer, text, assembled(vae, transformer, text, networks.new_tokenizer()))


def _trained(shop: Workshop, stage: Stage, budget: Budget, crew: Crew) -> tuple[History, dict[str, Tensor]]:
    return train(stage, shop.folder / "running" / f"{stage.name}.pt", budget, seed=shop.seed, crew=crew, say=_say)


def _stills_figures(shop: Workshop, parts: _Parts, judges: judging.Judges) -> dict[str, float]:
    return measure.stills_figures(parts.pipeline, judges, shop.amounts.measured_each, size=shop.amounts.size)


def _score(figures: Mapping[str, float]) -> float:
    return (figures["subject"] + figures["structure"] + figures["light"]) / 3.0


def _judged(
    shop: Workshop,
    crew: Crew,
    stage: Stage,
    history: History,
    before: Mapping[str, float],
    after: Mapping[str, float],
    parts: Mapping[str, nn.Module],
) -> dict[str, object]:
    record: dict[str, object] = {
        "stage": stage.name,
        "kept": bool(parts),
        "before": {name: round(value, 4) for name, value in before.items()},
        "after": {name: round(value, 4) for name, value in after.items()},
        "steps": history.step,
        "minutes": round(history.seconds / 60, 2),
        "processes": crew.size,
        "seed": shop.seed,
        "curve": history.curve,
    }
    if crew.rank == 0:
        if parts:
            shop.keep(parts, record)
        else:
            shop.note(record)
    return record


def _say(text: str) -> None:
    print(text, flush=True)


def write_checkpoint(shop: Workshop, folder: Path) -> dict[str, str]:
    """Export what was kept into ``folder``, and the judges beside it. The digests of the files in the folder."""
    shop.judges()
    folder.mkdir(parents=True, exist_ok=True)
    kept = shop.folder / "kept" / "guided"
    guided = WanVACETransformer3DModel.from_pretrained(kept) if kept.is_dir() else None
    digests = export(_Parts.of(shop).pipeline, folder, guided)
    shutil.copyfile(shop.folder / "judges.safetensors", folder.parent / "judges.safetensors")
    return digests


def main() -> None:
    """Train one stage or export, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="the folder of the run")
    parser.add_argument("--stage", choices=(*ORDER, "judges", "export"), required=True)
    parser.add_argument("--minutes", type=float, help="training minutes of the stage, earlier ones included")
    parser.add_argument("--steps", type=int, help="training steps of the stage, earlier ones included")
    parser.add_argument("--stills", type=int, default=_USUAL.stills, help="rendered stills to train on")
    parser.add_argument("--clips", type=int, default=_USUAL.clips, help="rendered clips to train on")
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--half", action="store_true", help="products in bfloat16: faster where the processor has AMX")
    parser.add_argument("--to", type=Path, help="where export writes")
    told = parser.parse_args()
    torch.set_num_threads(1)
    shop = Workshop(told.work, amounts=Amounts(stills=told.stills, clips=told.clips), seed=told.seed)
    if told.stage == "judges":
        shop.judges()
    elif told.stage == "export":
        if told.to is None:
            parser.error("export needs --to FOLDER")
        print(json.dumps(write_checkpoint(shop, told.to), indent=1))
    else:
        try:
            record = run_stage(shop, told.stage, Budget(told.steps, told.minutes), Crew.joined(half=told.half))
        except Interrupted as error:
            sys.exit(str(error))
        print(json.dumps({name: value for name, value in record.items() if name != "curve"}, indent=1))


if __name__ == "__main__":
    main()
