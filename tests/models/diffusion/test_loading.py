"""Loading tiny pipelines as their cards say, and refusing what must not be loaded."""

import json
import shutil

import numpy as np
import pytest
import torch

from ancestra_farm.models.diffusion.layout import WeightsRefused
from ancestra_farm.models.diffusion.loading import ModelRefused, load_pipeline
from ancestra_farm.models.diffusion.schedules import ScheduleRefused, Schedules
from ancestra_farm.plan.recipe import model_digest
from tests.models.diffusion.recipes import TOLERANCE, apart, card, loaded, made, recipe
from tests.models.diffusion.tiny import build_tiny, save_tiny

torch.set_num_threads(1)
XL = "StableDiffusionXLPipeline"


@pytest.fixture(scope="module")
def xl(tmp_path_factory):
    return save_tiny(XL, tmp_path_factory.mktemp("tiny") / "xl")


@pytest.fixture(scope="module")
def plain(xl):
    """Four candidates as a card without any settings makes them."""
    model = card(XL, xl)
    return made(loaded(model), [recipe(model, seed=n) for n in range(4)])


def test_nothing_but_safetensors_from_the_folder_is_asked_for(xl, monkeypatch):
    import diffusers

    asked = {}
    real = diffusers.StableDiffusionXLPipeline.from_pretrained

    def watched(folder, **named):
        asked.update(named, folder=folder)
        return real(folder, **named)

    monkeypatch.setattr(diffusers.StableDiffusionXLPipeline, "from_pretrained", watched)
    load_pipeline(card(XL, xl), xl)
    assert asked["use_safetensors"] is True
    assert asked["local_files_only"] is True
    assert not asked["trust_remote_code"]
    assert asked["folder"] == str(xl)
    assert not {"custom_pipeline", "custom_revision", "revision"} & asked.keys()


def test_a_folder_with_pickles_alone_is_refused(xl, tmp_path):
    folder = tmp_path / "pickles"
    shutil.copytree(xl, folder)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(WeightsRefused, match=r"diffusion_pytorch_model\.bin"):
        loaded(card(XL, folder))
    with pytest.raises(OSError, match=r"no file named diffusion_pytorch_model\.safetensors"):
        load_pipeline(card(XL, folder), folder)


def test_a_folder_that_brings_code_is_refused_and_not_run(xl, tmp_path):
    folder = tmp_path / "code"
    shutil.copytree(xl, folder)
    ran = tmp_path / "ran"
    (folder / "unet" / "my_unet.py").write_text(f"open({str(ran)!r}, 'w')\nclass MyUNet: pass\n")
    index = json.loads((folder / "model_index.json").read_text())
    index["unet"] = ["my_unet", "MyUNet"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsRefused, match="code"):
        loaded(card(XL, folder))
    with pytest.raises(ValueError, match="trust_remote_code"):
        load_pipeline(card(XL, folder), folder)
    assert not ran.exists()


def test_a_card_that_its_pipeline_cannot_serve_is_not_loaded(xl):
    with pytest.raises(ModelRefused, match="tiny/model: the farm runs no pipeline 'DiffusionPipeline'"):
        load_pipeline(card(XL, xl).model_copy(update={"pipeline": "DiffusionPipeline"}), xl)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_card_that_needs_a_gpu_says_that_there_is_none(xl):
    for runtime in ({"device": "cuda"}, {"offload": "model"}):
        with pytest.raises(ModelRefused, match="wants a GPU, and torch sees none here"):
            load_pipeline(card(XL, xl, runtime=runtime, vram_gib=12, gpus=1), xl)


def test_dtypes_are_the_cards(xl):
    pipeline = load_pipeline(card(XL, xl, dtype="bfloat16"), xl)
    assert {pipeline.unet.dtype, pipeline.vae.dtype, pipeline.text_encoder.dtype} == {torch.bfloat16}
    assert not any(weight.requires_grad for weight in pipeline.unet.parameters())


def test_the_vae_of_wan_stays_in_full_precision(tmp_path):
    folder = save_tiny("WanPipeline", tmp_path / "wan")
    pipeline = load_pipeline(card("WanPipeline", folder, dtype="bfloat16"), folder)
    assert pipeline.transformer.dtype == torch.bfloat16
    assert pipeline.vae.dtype == torch.float32


def test_memory_and_layout_settings_are_set_and_change_nothing_else(xl, plain):
    runtime = {"vae_slicing": True, "channels_last": True, "attention": "native", "batch": 4}
    generator = loaded(card(XL, xl, runtime=runtime))
    pipeline = generator.resident.pipeline
    assert not pipeline.vae.use_tiling
    assert pipeline.vae.use_slicing
    kernels = [weight for weight in pipeline.unet.parameters() if weight.dim() == 4 and min(weight.shape) > 1]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    again = made(generator, [recipe(generator.card, seed=n) for n in range(4)])
    assert max(apart(one, other) for one, other in zip(plain, again, strict=True)) <= TOLERANCE


def test_tiles_are_blended_so_they_are_another_model(xl):
    tiled = card(XL, xl, runtime={"vae_tiling": True})
    assert load_pipeline(tiled, xl).vae.use_tiling
    assert model_digest(tiled) != model_digest(card(XL, xl))
    assert model_digest(card(XL, xl, runtime={"batch": 8})) == model_digest(card(XL, xl))


def test_convolutions_in_time_are_laid_out_too(tmp_path):
    folder = save_tiny("WanPipeline", tmp_path / "wan")
    pipeline = load_pipeline(card("WanPipeline", folder, runtime={"channels_last": True}), folder)
    kernels = [weight for weight in pipeline.vae.parameters() if weight.dim() == 5 and min(weight.shape) > 1]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last_3d) for kernel in kernels)


def test_repeated_blocks_are_compiled_where_the_card_says_so(xl, monkeypatch):
    from diffusers import UNet2DConditionModel

    monkeypatch.setenv("CXX", "true")  # some program: nothing is compiled here
    compiled = []

    def compile_blocks(self):
        compiled.append(self)

    monkeypatch.setattr(UNet2DConditionModel, "compile_repeated_blocks", compile_blocks)
    pipeline = load_pipeline(card(XL, xl, runtime={"compile": "regional"}), xl)
    assert compiled == [pipeline.unet]


def test_repeated_blocks_that_are_compiled_make_the_same_pictures(tmp_path, monkeypatch):
    """All of it but the C++ at the end, which takes minutes of one core for the smallest of transformers."""
    from diffusers import FluxTransformer2DModel

    real = FluxTransformer2DModel.compile_repeated_blocks
    monkeypatch.setattr(FluxTransformer2DModel, "compile_repeated_blocks", lambda self: real(self, backend="aot_eager"))
    monkeypatch.setenv("CXX", "true")
    folder = save_tiny("FluxPipeline", tmp_path / "flux")
    plain = card("FluxPipeline", folder)
    compiled = card("FluxPipeline", folder, runtime={"compile": "regional"})
    torch._dynamo.utils.counters.clear()
    (expected,), (found,) = (made(loaded(one), [recipe(one, seed=7)]) for one in (plain, compiled))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert apart(expected, found) <= TOLERANCE


@pytest.mark.parametrize("variable", ["", "no-such-compiler -O2"])
def test_a_host_without_a_compiler_says_so_at_its_start(xl, monkeypatch, variable):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("CXX", variable)
    with pytest.raises(ModelRefused, match=r"compile: regional needs (g\+\+|no-such-compiler) on every host.*in CXX"):
        load_pipeline(card(XL, xl, runtime={"compile": "regional"}), xl)
    load_pipeline(card(XL, xl), xl)


# ---- schedulers -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flux():
    return build_tiny("FluxPipeline")


def test_a_solver_of_noise_keeps_what_the_weights_say_and_drops_the_defaults_of_another_class(xl):
    pipeline = load_pipeline(card(XL, xl), xl)
    schedules = Schedules(pipeline, card(XL, xl, draft_scheduler="DPMSolverMultistepScheduler"))
    stored, draft = pipeline.scheduler, schedules.fresh("draft")
    assert type(schedules.fresh("full")) is type(stored)
    assert draft.config.beta_schedule == stored.config.beta_schedule
    assert draft.config.steps_offset == stored.config.steps_offset
    assert schedules.fresh("draft") is not draft


def test_a_solver_along_flows_keeps_their_shift(flux):
    model = card("FluxPipeline", "/models/flux", scheduler="UniPCMultistepScheduler")
    solver = Schedules(flux, model).fresh("full")
    stored = flux.scheduler
    stored.set_timesteps(sigmas=np.linspace(1, 0.25, 4))
    solver.set_timesteps(sigmas=np.linspace(1, 0.25, 4), mu=1.0)
    torch.testing.assert_close(solver.sigmas[:4], stored.sigmas[:4], atol=1e-4, rtol=0)


def test_solvers_that_cannot_step_through_a_model_are_refused(flux, xl):
    with pytest.raises(ScheduleRefused, match="cannot step along flows"):
        Schedules(flux, card("FluxPipeline", "/models/flux", scheduler="PNDMScheduler"))
    with pytest.raises(ScheduleRefused, match="trained on noise"):
        Schedules(load_pipeline(card(XL, xl), xl), card(XL, xl, scheduler="FlowMatchEulerDiscreteScheduler"))
    with pytest.raises(ScheduleRefused, match="no scheduler Nothing"):
        Schedules(flux, card("FluxPipeline", "/models/flux", scheduler="Nothing"))
