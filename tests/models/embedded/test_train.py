import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ancestra_farm.models.embedded import footage, judges, loop, measure, networks, optimise, renders, stages, train  # noqa: E402
from ancestra_farm.models.embedded.loop import Budget, Crew, Interrupted  # noqa: E402
from ancestra_farm.models.embedded.words import TOKENS, Facts  # noqa: E402

# One worker: training every stage, which most of these rest on, takes half a minute.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.xdist_group("embedded")]

SMALL = train.Amounts(
    stills=24,
    clips=6,
    guided=6,
    held_stills=4,
    held_clips=2,
    judged_stills=64,
    judged_clips=8,
    measured_each=1,
    measured_clips=1,
    clip_frames=5,
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return train.Workshop(tmp_path_factory.mktemp("work"), sizes=networks.TINY, amounts=SMALL)


@pytest.fixture(scope="module")
def done(shop):
    """Every stage, a few steps each."""
    return {name: train.run_stage(shop, name, Budget(steps=3), Crew()) for name in train.ORDER}


def test_every_stage_trains_is_measured_and_noted(shop, done):
    notes = [json.loads(line) for line in (shop.folder / "journal.jsonl").read_text().splitlines()]
    assert [note["stage"] for note in notes] == list(train.ORDER)
    assert all(note["steps"] == 3 for note in notes)
    assert done["vae_stills"]["kept"]


def test_a_stage_that_measures_no_better_leaves_what_was_kept(shop, done):
    kept = (shop.folder / "kept" / "vae" / "diffusion_pytorch_model.safetensors").read_bytes()
    worse = replace(shop, amounts=replace(SMALL, stills=20))
    stage = stages.AutoencoderStills(shop.vae(), worse.stills())
    record = train._judged(shop, Crew(), stage, loop.History(), {"psnr_db": 9.0}, {"psnr_db": 8.0}, {})
    assert not record["kept"]
    assert (shop.folder / "kept" / "vae" / "diffusion_pytorch_model.safetensors").read_bytes() == kept


def test_one_folder_serves_with_control_blocks_and_without(shop, done, tmp_path):
    base = shop.transformer()
    guided = stages.guided_from(base)
    shop.keep({"guided": guided}, {})
    train.write_checkpoint(shop, tmp_path / "weights")
    plain = measure.pipeline_of(tmp_path / "weights").transformer.state_dict()
    assert all(torch.equal(plain[name], value.half().float()) for name, value in base.state_dict().items())
    pipeline = measure.guided_pipeline_of(tmp_path / "weights")
    control = renders.control(renders.PATHS["rise"], (64, 48), 5)
    assert measure.guided(pipeline, control[None], ["the sea"], steps=2).shape == (1, 5, 48, 64, 3)
    shop.keep({"transformer": base}, {})
    assert not (shop.folder / "kept" / "guided").exists()


def test_training_clips_leaves_stills_as_they_are(shop, done):
    stills = networks.pixels(np.asarray(shop.held_stills().pictures))
    vae = shop.vae()
    before = networks.encoded(vae, stills)
    stage = stages.AutoencoderClips(vae, shop.clips(), batch=1, side=32, frames=5)
    optimiser = optimise.Optimiser(stage.parameters(), *stage.rates)
    moved = {name: p.detach().clone() for name, p in stage.parameters().items()}
    stage.loss(0, np.random.default_rng(1)).backward()
    optimiser.step(1.0)
    assert any(not torch.equal(moved[name], p) for name, p in stage.parameters().items())
    assert torch.equal(networks.encoded(vae, stills), before)


def make_stage(shop):
    torch.manual_seed(3)
    return stages.AutoencoderStills(networks.new_autoencoder(networks.TINY), shop.stills(), batch=2)


def test_a_stage_stopped_and_gone_on_with_is_as_one_that_ran_through(shop, tmp_path):
    _, whole = loop.train(make_stage(shop), tmp_path / "whole.pt", Budget(steps=6), seed=5, say=lambda _: None)

    stage = make_stage(shop)
    stage.name = "vae_stills"
    honest, calls = stage.loss, []

    def stopping(step, rng):
        calls.append(step)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return honest(step, rng)

    stage.loss = stopping
    with pytest.raises(Interrupted, match="step 3"):
        loop.train(stage, tmp_path / "parts.pt", Budget(steps=6), seed=5, say=lambda _: None)
    history, parts = loop.train(make_stage(shop), tmp_path / "parts.pt", Budget(steps=6), seed=5, say=lambda _: None)
    assert history.step == 6
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_drawing_that_was_stopped_goes_on(tmp_path):
    first = footage.drawn(tmp_path / "set", 10, 3, 1)
    more = footage.drawn(tmp_path / "set", 10, 5, 1)
    fresh = footage.drawn(tmp_path / "other", 10, 5, 1)
    assert len(first) == 3
    assert np.array_equal(more.pictures, fresh.pictures)
    assert more.facts == fresh.facts


def test_single_frames_as_2d_convolutions_give_the_same():
    torch.manual_seed(1)
    vae = networks.new_autoencoder(networks.TINY)
    still = torch.randn(1, 3, 1, 32, 48)
    plain = networks.encoded(vae, still)
    with networks.single_frames(vae):
        flat = networks.encoded(vae, still)
        back = networks.decoded(vae, flat)
    assert torch.allclose(plain, flat, atol=1e-5)
    assert torch.allclose(back.clamp(-1, 1), vae.decode(plain).sample, atol=1e-4)


def test_an_untrained_clip_latent_is_the_still_latent_of_its_last_frame():
    torch.manual_seed(1)
    vae = networks.new_autoencoder(networks.TINY)
    clip = torch.randn(1, 3, 5, 32, 48)
    assert torch.allclose(networks.encoded(vae, clip)[:, :, 1:], networks.encoded(vae, clip[:, :, 4:]), atol=1e-5)


def test_orthogonal_makes_singular_values_about_one():
    torch.manual_seed(0)
    for shape in ((12, 40), (40, 12), (16, 16)):
        values = torch.linalg.svdvals(optimise.orthogonal(torch.randn(shape)))
        assert values.max() < 1.3
        assert values.median() > 0.5


def test_words_that_are_not_known_share_a_token_and_marks_are_nothing():
    tokenizer = networks.new_tokenizer()
    ids = tokenizer("The SEA, at dawn!").input_ids
    assert tokenizer.convert_ids_to_tokens(ids) == ["the", "sea", "at", "dawn", "</s>"]
    assert tokenizer("zebra helicopters").input_ids[:2] == [2, 2]
    assert len(tokenizer("sea " * 60, truncation=True, max_length=TOKENS).input_ids) == TOKENS


def test_the_judge_of_motion_reads_the_cameras_path(tmp_path):
    clips = footage.drawn(tmp_path / "clips", 500, 90, 9)
    line = torch.nn.Linear(49, len(judges.DIRECTIONS))
    wanted = [judges.DIRECTION_OF[facts.motion] for facts in clips.facts]
    judges._fit_line(
        line, judges._flows(clips.pictures[:70]), torch.tensor([judges.DIRECTIONS.index(w) for w in wanted[:70]])
    )
    said = [judges.DIRECTIONS[int(at)] for at in line(judges._flows(clips.pictures[70:])).argmax(dim=1)]
    assert np.mean([a == b for a, b in zip(said, wanted[70:], strict=True)]) > 0.6


@pytest.mark.parametrize("motion", ["drift_left", "rise", "push_in", "spiral"])
def test_what_is_filmed_on_a_path_goes_along_it_and_not_along_another(motion):
    camera, other = (renders.camera_of(Facts("cells", "day", "far", None, name), 3) for name in (motion, "pull_back"))
    clip = renders.filmed(Facts("cells", "day", "far"), 9, camera, frames=9)
    assert measure.along(clip, camera) > 0.8
    assert measure.along(clip, other) < 0.3


PAIR = """
import sys
from pathlib import Path

import torch

from ancestra_farm.models.embedded import loop, networks, stages
from ancestra_farm.models.embedded.footage import drawn

torch.set_num_threads(1)
folder = Path(sys.argv[1])
crew = loop.Crew.joined()
torch.manual_seed(3)
stage = stages.AutoencoderStills(networks.new_autoencoder(networks.TINY), drawn(folder / "set", 10, 8, 1), batch=2)
_, average = loop.train(stage, folder / "pair.pt", loop.Budget(steps=3), seed=5, crew=crew, say=lambda _: None)
torch.save({**average}, folder / f"rank{crew.rank}.pt")
"""


def test_two_processes_learn_the_same(tmp_path):
    footage.drawn(tmp_path / "set", 10, 8, 1)
    (tmp_path / "pair.py").write_text(PAIR)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, tmp_path / "pair.py", tmp_path], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    alone = loop.train(make_stage_of(tmp_path), tmp_path / "alone.pt", Budget(steps=3), seed=5, say=lambda _: None)[1]
    assert any(not torch.equal(first[name], alone[name]) for name in first)


def make_stage_of(folder):
    torch.manual_seed(3)
    stills = footage.drawn(folder / "set", 10, 8, 1)
    return stages.AutoencoderStills(networks.new_autoencoder(networks.TINY), stills, batch=2)
