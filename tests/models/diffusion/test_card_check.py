"""What a card may ask of a pipeline, without loading one; and that the source read is the class that runs."""

import inspect
import sys
from subprocess import run

import pytest

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.schema import Stage
from ancestra_farm.models.build import stage_faults
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.models.diffusion.anatomy import (
    attention_backends,
    model_has,
    pipeline_anatomy,
    scheduler_anatomy,
)
from ancestra_farm.models.diffusion.check import card_faults
from ancestra_farm.models.diffusion.kinds import all_kinds

STEPS = {"type": "int", "default": 8, "argument": "num_inference_steps"}
KINDS = sorted(all_kinds())


def card(pipeline="StableDiffusionXLPipeline", **changes):
    values = {
        "id": "mine/model",
        "family": "diffusers",
        "roles": ["text_to_image"],
        "pipeline": pipeline,
        "source": "/models/mine",
        "licence": "MIT",
        "sizes": {"multiple_of": 16, "min": 16, "max": 2048, "default": [1024, 1024]},
        "frames": {"step": 4, "offset": 1, "min": 5, "max": 81},
        "rate": 16,
        "parameters": {"steps": STEPS},
    }
    return ModelCard.model_validate({**values, **changes})


def gpu(**runtime):
    return {"runtime": runtime, "vram_gib": 24, "gpus": 1}


def test_a_card_that_fits_has_no_faults():
    assert card_faults(card()) == []
    assert card_faults(card(looks=True, dtype="float16", scheduler="DPMSolverMultistepScheduler")) == []
    whole = gpu(offload="model", vae_tiling=True, vae_slicing=True, channels_last=True, compile="regional", batch=8)
    assert card_faults(card(**whole)) == []
    assert card_faults(card(runtime={"attention": "native"})) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pipeline": None}, "it names no pipeline"),
        ({"pipeline": "StableDiffusionXLPipelin"}, "did you mean StableDiffusionXLPipeline?"),
        ({"pipeline": "DiffusionPipeline"}, "the farm runs no pipeline 'DiffusionPipeline'"),
        ({"roles": ["text_to_video"]}, "StableDiffusionXLPipeline has no role text_to_video; it has text_to_image"),
        ({"guides": ["depth"]}, "StableDiffusionXLPipeline takes no guide of kind depth; it takes none"),
        ({"pipeline": "StableVideoDiffusionPipeline", "roles": ["image_to_video"], "looks": True}, "loads no adapters"),
        ({"source": None}, "no source"),
        ({"dtype": "uint8"}, "dtype uint8"),
        ({"gpus": 4, "vram_gib": 40}, "a pipeline runs on one GPU here"),
        ({"parameters": {"cfg": {"type": "float", "default": 5}}}, "takes no argument cfg"),
        (
            {"parameters": {"guidence_scale": {"type": "float", "default": 5}}},
            "StableDiffusionXLPipeline takes no argument guidence_scale; did you mean guidance_scale?",
        ),
        ({"parameters": {"height": {"type": "int", "default": 512}}}, "height of StableDiffusionXLPipeline is set by"),
        ({"parameters": {"n": STEPS, "steps": STEPS}}, "parameter steps: the argument num_inference_steps is set by n"),
        ({"scheduler": "EulerScheduler"}, "scheduler: diffusers has no scheduler EulerScheduler"),
        ({"draft_scheduler": "FlowMatchEulerDiscreteScheduler"}, "draft_scheduler: FlowMatchEulerDiscreteScheduler"),
        ({"runtime": {"device": "cuda"}}, "vram_gib is 0"),
        (gpu(device="cpu"), "runtime.device is cpu"),
        ({"runtime": {"offload": "model"}}, "the card runs on a CPU slot"),
        ({"runtime": {"attention": "flesh"}}, "no attention backend 'flesh'; did you mean flash?"),
    ],
)
def test_what_a_pipeline_lacks_is_said(changes, said):
    (fault,) = card_faults(card(**changes))
    assert said in fault


def clip_card(pipeline, role, **changes):
    return card(pipeline, roles=[role], **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"runtime": {"batch": 2}}, "WanVACEPipeline makes one candidate a call"),
        ({"draft_scheduler": "EulerScheduler"}, "no scheduler EulerScheduler"),
    ],
)
def test_a_pipeline_that_does_not_batch_gets_one_candidate_a_call(changes, said):
    (fault,) = card_faults(clip_card("WanVACEPipeline", "text_to_video", **changes))
    assert said in fault


def test_settings_that_a_pipelines_parts_do_not_have_are_said():
    still = {"roles": ["image_to_video"]}
    (fault,) = card_faults(card("StableVideoDiffusionPipeline", **still, runtime={"vae_tiling": True}))
    assert fault == "runtime.vae_tiling: the VAE of StableVideoDiffusionPipeline has no tiling"
    (fault,) = card_faults(card("StableVideoDiffusionPipeline", **still, runtime={"compile": "regional"}))
    assert "no repeated blocks" in fault


@pytest.mark.parametrize(
    ("pipeline", "grid", "fits"),
    [
        ("WanPipeline", (4, 1), True),
        ("WanPipeline", (8, 5), True),  # some of its lengths
        ("WanPipeline", (4, 0), False),
        ("WanPipeline", (2, 1), False),
        ("LTXPipeline", (4, 1), False),
        ("LTXPipeline", (8, 1), True),
        ("AnimateDiffPipeline", (1, 0), True),
    ],
)
def test_clips_of_a_length_that_a_pipeline_does_not_make_are_said(pipeline, grid, fits):
    frames = {"step": grid[0], "offset": grid[1], "min": 8, "max": 80}
    found = card_faults(card(pipeline, roles=["text_to_video"], frames=frames))
    assert [fault for fault in found if fault.startswith("frames: ")] == ([] if fits else found)
    assert bool(found) != fits


def test_a_draft_solver_must_take_what_the_pipeline_sets():
    flux = {"pipeline": "FluxPipeline"}
    assert card_faults(card(**flux, draft_scheduler="UniPCMultistepScheduler")) == []
    (fault,) = card_faults(card(**flux, draft_scheduler="DPMSolverMultistepScheduler"))
    assert fault == "draft_scheduler: DPMSolverMultistepScheduler cannot run FluxPipeline, which sets its sigmas"


def test_settings_that_a_scheduler_does_not_have_are_said():
    named = {"scheduler": "DDIMScheduler"}
    assert card_faults(card(**named, scheduler_settings={"beta_schedule": "linear"})) == []
    assert card_faults(card(scheduler_settings={"anything": 1})) == [], "what is stored is not known yet"
    (fault,) = card_faults(card(**named, scheduler_settings={"beta_shedule": "linear"}))
    assert fault == "scheduler_settings: DDIMScheduler has no beta_shedule; did you mean beta_schedule?"


# ---- stages ---------------------------------------------------------------------------------------------------------


def stage(**changes):
    return Stage.model_validate({"role": "text_to_image", "model": "mine/model", "candidates": 4, **changes})


GUIDANCE = {"steps": STEPS, "guidance": {"type": "float", "default": 5, "argument": "guidance_scale"}}


def test_a_negative_prompt_that_would_be_ignored_is_said():
    guided = card(parameters=GUIDANCE)
    assert stage_faults(guided, stage(), negative=True) == []
    assert stage_faults(guided, stage(parameters={"guidance": 1.0}), negative=False) == []
    assert stage_faults(guided, stage(parameters={"guidance": 1.0}), negative=True) == [
        "the negative prompt would be ignored: the parameter guidance is 1.0, and it takes effect above 1"
    ]
    assert stage_faults(card(), stage(), negative=True) == []
    assert stage_faults(card("FluxPipeline"), stage(), negative=True) == [
        "the negative prompt would be ignored: true_cfg_scale of its pipeline is 1.0, and it takes effect above 1"
    ]
    assert stage_faults(card("Flux2KleinPipeline"), stage(), negative=True) == ["mine/model takes no negative prompt"]


def test_the_guidance_of_a_second_expert_that_would_be_ignored_is_said():
    experts = load_catalog()["wan/2.2-t2v-a14b"]

    def faults(draft=None, **parameters):
        asked = {"role": "text_to_video", "model": experts.id, "parameters": parameters, "draft": draft}
        return stage_faults(experts, stage(**asked), negative=False)

    assert faults() == faults(guidance=1.0, guidance_low=1.0) == faults(guidance_low=1.0) == []
    assert faults(guidance=1.0) == ["guidance_low 3 would be ignored: guidance is 1, and there is none up to 1"]
    draft = {"promote": 0.5, "parameters": {"guidance": 1.0}}
    assert faults(draft) == ["guidance_low 3 of a draft would be ignored: guidance is 1, and there is none up to 1"]


@pytest.mark.parametrize("pipeline", ["StableDiffusionImg2ImgPipeline", "FluxImg2ImgPipeline"])
def test_few_steps_that_leave_nothing_of_a_strength_are_said(pipeline):
    named = {"steps": STEPS, "strength": {"type": "float", "default": 0.5, "min": 0, "max": 1}}
    turned = card(pipeline, roles=["image_to_image"], parameters=named, draft={"steps": 2})

    def faults(**changes):
        return stage_faults(turned, stage(role="image_to_image", **changes), negative=False)

    draft = {"draft": {"promote": 0.5}}
    assert faults(**draft) == []
    assert faults(parameters={"strength": 0.1}) == [
        "8 steps at strength 0.1 leave no step to make; take more of either"
    ]
    assert faults(parameters={"strength": 0.3}, **draft) == [
        "2 steps of a draft at strength 0.3 leave no step to make; take more of either"
    ]
    said = ["2 steps of a draft at strength 0.9 begin at noise alone; take more steps, or less strength"]
    assert faults(parameters={"strength": 0.9, "steps": 20}, **draft) == (said if "Flux" in pipeline else [])
    assert faults(parameters={"strength": 1.0}, **draft) == []


def test_every_card_of_the_catalogue_can_be_run_as_it_says():
    cards = [one for one in load_catalog().values() if one.family in {"diffusers", "embedded"}]
    assert cards
    assert {one.id: card_faults(one) for one in cards} == {one.id: [] for one in cards}
    for one in (one for one in cards if one.draft):
        # A ControlNet follows a guide whatever the role.
        guides = frozenset({"depth"} if "ControlNet" in str(one.pipeline) else ())
        drafted = stage(role=one.roles[0], draft={"promote": 0.5})
        assert stage_faults(one, drafted, negative=False, guides=guides) == [], one.id


def test_checking_a_card_loads_neither_torch_nor_diffusers():
    code = (
        "import sys; from ancestra_farm.models.diffusion.check import card_faults; "
        "from tests.models.diffusion.test_card_check import card; assert card_faults(card()) == []; "
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    )
    run([sys.executable, "-c", code], check=True, timeout=60)


# ---- the source is the class that runs ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def diffusers():
    return pytest.importorskip("diffusers")


@pytest.mark.parametrize("pipeline", KINDS)
def test_what_is_read_of_a_pipeline_is_what_it_is(diffusers, pipeline):
    anatomy = pipeline_anatomy(pipeline)
    real = getattr(diffusers, pipeline)
    called = inspect.signature(real.__call__).parameters
    assert anatomy.arguments == set(called) - {"self", "kwargs"}
    assert {name: called[name].default for name in anatomy.defaults} == anatomy.defaults
    made = set(inspect.signature(real.__init__).parameters) - {"self"}
    assert anatomy.settings.isdisjoint(anatomy.components)
    assert anatomy.settings | anatomy.components.keys() == made
    assert anatomy.offloads == (real.model_cpu_offload_seq is not None)
    assert anatomy.loras == hasattr(real, "load_lora_weights")
    for component, names in anatomy.components.items():
        for name in names if component in {"vae", "unet", "transformer"} else ():
            if (part := getattr(diffusers, name, None)) is not None:
                assert model_has(name, "blocks") == bool(getattr(part, "_repeated_blocks", None))


def test_what_is_read_of_schedulers_and_backends_is_what_they_are(diffusers):
    from diffusers.models.attention_dispatch import AttentionBackendName

    assert attention_backends() == {one.value for one in AttentionBackendName}
    for name in ("EulerDiscreteScheduler", "UniPCMultistepScheduler", "FlowMatchEulerDiscreteScheduler"):
        real = getattr(diffusers, name)
        assert scheduler_anatomy(name).schedule == set(inspect.signature(real.set_timesteps).parameters) - {"self"}
        assert scheduler_anatomy(name).settings == set(inspect.signature(real.__init__).parameters) - {"self"}
        assert all(hasattr(real, method) for method in scheduler_anatomy(name).methods)


def test_what_is_not_in_diffusers_has_no_anatomy():
    assert pipeline_anatomy("NoSuchPipeline") is None
    assert pipeline_anatomy("DiffusionPipeline") is None
    assert scheduler_anatomy("StableDiffusionPipeline") is None
    assert not model_has("NoSuchModel", "tiling")
