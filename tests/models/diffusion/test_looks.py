"""Looks on a warm pipeline: switched without a trace, and refused where they would change nothing."""

import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ancestra_farm.batch.card import Runtime
from ancestra_farm.models.diffusion.looks import Looks
from ancestra_farm.models.looks.adapter import LookRefused, adapter_bytes, is_base_of, norms_of, read_facts
from tests.models.diffusion.recipes import card, loaded, made, recipe
from tests.models.diffusion.tiny import build_tiny, save_tiny
from tests.models.looks.photographs import some_facts

torch.set_num_threads(1)
LAYERS = {
    "StableDiffusionPipeline": "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
    "WanPipeline": "transformer.blocks.0.attn1.to_q",
}


@pytest.fixture(scope="module")
def stills():
    return build_tiny("StableDiffusionPipeline")


@pytest.fixture(scope="module")
def clips():
    return build_tiny("WanPipeline")


class Shelf:
    """Looks as files in a folder, by digest. Counts how often each was asked for."""

    def __init__(self, folder):
        self._folder = folder
        self.asked = []

    def put(self, tensors, metadata=None):
        file = self._folder / "making"
        save_file(tensors, file, metadata)
        return self.put_bytes(file.read_bytes())

    def put_bytes(self, data):
        sha256 = hashlib.sha256(data).hexdigest()
        (self._folder / sha256).write_bytes(data)
        return f"sha256:{sha256}"

    def __call__(self, digest):
        self.asked.append(digest)
        return self._folder / digest.removeprefix("sha256:")


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


def matrices(pipeline, layer, seed, rank=2, size=1.0):
    """LoRA matrices for one layer of a pipeline."""
    component, _, name = layer.partition(".")
    rng = torch.Generator().manual_seed(seed)
    module = dict(getattr(pipeline, component).named_modules())[name]
    out, into = getattr(module, "base_layer", module).weight.shape
    return {
        f"{layer}.lora_A.weight": torch.randn(rank, into, generator=rng),
        f"{layer}.lora_B.weight": torch.randn(out, rank, generator=rng) * size,
    }


def shot(pipeline):
    """What the pipeline makes now, float32, of one prompt and seed."""
    call = {"prompt": "the sea", "height": 32, "width": 32, "num_inference_steps": 2, "output_type": "np"}
    if type(pipeline).__name__ == "WanPipeline":
        return pipeline(**call, num_frames=5, generator=torch.Generator().manual_seed(1)).frames
    return pipeline(**call, generator=torch.Generator().manual_seed(1)).images


@pytest.fixture(params=["StableDiffusionPipeline", "WanPipeline"])
def warm(request, stills, clips):
    """A pipeline that goes from test to test without a look."""
    pipeline = stills if request.param == "StableDiffusionPipeline" else clips
    yield pipeline
    pipeline.unload_lora_weights()


def layer_of(pipeline):
    return LAYERS[type(pipeline).__name__]


def test_no_look_and_weight_nothing_are_the_base_bit_for_bit(warm, shelf):
    before = shot(warm)
    look = shelf.put(matrices(warm, layer_of(warm), 1))
    looks = Looks(warm, shelf)
    looks.use(look, 0.0)
    assert shelf.asked == [], "a look at weight 0 is not even fetched"
    assert np.array_equal(shot(warm), before)
    looks.use(look, 1.0)
    changed = shot(warm)
    assert not np.array_equal(changed, before)
    looks.use(look, 0.0)
    assert np.array_equal(shot(warm), before)
    looks.use(look, 1.0)
    assert np.array_equal(shot(warm), changed)
    looks.use(None, 1.0)
    assert np.array_equal(shot(warm), before)


def test_looks_that_are_switched_make_what_a_fresh_load_makes(warm, shelf):
    one, other = (shelf.put(matrices(warm, layer_of(warm), seed)) for seed in (1, 2))
    wanted = [(one, 1.0), (other, 1.0), (one, 0.5), (None, 1.0), (other, 2.0), (one, 1.0)]
    looks = Looks(warm, shelf)
    switched = []
    for look, weight in wanted:
        looks.use(look, weight)
        switched.append(shot(warm))
    assert len(shelf.asked) == 2, "each was loaded once"
    for (look, weight), one in zip(wanted, switched, strict=True):
        warm.unload_lora_weights()
        Looks(warm, shelf).use(look, weight)
        assert np.array_equal(shot(warm), one)
    assert len({one.tobytes() for one in switched}) == 5


def test_only_the_last_few_stay_and_the_one_unused_longest_goes(stills, shelf):
    looks = Looks(stills, shelf, kept=2)
    one, two, three = (shelf.put(matrices(stills, LAYERS["StableDiffusionPipeline"], seed)) for seed in (1, 2, 3))
    for look in (one, two, one, three):
        looks.use(look, 1.0)
    assert looks.loaded == (one, three)
    assert [len(names) for names in stills.get_list_adapters().values()] == [2]
    looks.use(two, 1.0)
    assert shelf.asked == [one, two, three, two]
    stills.unload_lora_weights()


def test_a_look_that_matches_nothing_here_is_refused_and_leaves_no_trace(stills, clips, shelf):
    before = shot(stills)
    looks = Looks(stills, shelf)
    good = shelf.put(matrices(stills, LAYERS["StableDiffusionPipeline"], 1))
    looks.use(good, 1.0)
    bad = shelf.put(matrices(clips, LAYERS["WanPipeline"], 1))
    with pytest.raises(LookRefused, match=r"2 of the 2 matrices .* have no place in StableDiffusionPipeline, such as"):
        looks.use(bad, 1.0)
    assert np.array_equal(shot(stills), before), "the look before it is off, too"
    looks.use(good, 1.0)
    assert not np.array_equal(shot(stills), before)
    stills.unload_lora_weights()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda good: {key: torch.zeros_like(one) for key, one in good.items()}, "changes no weight"),
        (
            lambda good: {**good, "unet.nowhere.lora_A.weight": torch.zeros(2, 8)},
            "1 of the 3 matrices .* such as unet.nowhere",
        ),
        (lambda good: {**good, "text_encoder.x.lora_A.weight": torch.ones(2, 8)}, "changes the text encoder too"),
        (lambda good: {key: one[:, :-1].contiguous() for key, one in good.items()}, "cannot be put on"),
        (lambda good: {"something.else": torch.ones(3)}, "cannot be put on"),
    ],
)
def test_a_look_that_would_not_do_what_it_says_is_refused(spoil, said, stills, shelf):
    before = shot(stills)
    look = shelf.put(spoil(matrices(stills, LAYERS["StableDiffusionPipeline"], 1)))
    looks = Looks(stills, shelf)
    with pytest.raises(LookRefused, match=said):
        looks.use(look, 1.0)
    assert looks.loaded == ()
    assert np.array_equal(shot(stills), before)
    assert not any(stills.get_list_adapters().values())


@pytest.mark.parametrize(("emptied", "weight"), [("lora_A", 1.0), ("nothing", 1e-9)])
def test_a_look_that_changes_nothing_that_is_made_is_an_error(emptied, weight, warm, shelf):
    before = shot(warm)
    good = matrices(warm, layer_of(warm), 1)
    look = shelf.put({key: torch.zeros_like(one) if emptied in key else one for key, one in good.items()})
    looks = Looks(warm, shelf)
    looks.use(look, weight)
    with pytest.raises(LookRefused, match=r"at weight .* changes nothing"), looks.watched():
        shot(warm)
    assert np.array_equal(shot(warm), before), "it is off"
    with pytest.raises(LookRefused, match="changes nothing"):
        looks.use(look, weight)


def test_a_look_is_compared_with_the_base_once_and_makes_what_it_makes(warm, shelf):
    look = shelf.put(matrices(warm, layer_of(warm), 1))
    looks = Looks(warm, shelf)
    looks.use(look, 1.0)
    wanted = shot(warm)
    denoiser, asked = getattr(warm, layer_of(warm).partition(".")[0]), []
    hook = denoiser.register_forward_hook(lambda *_: asked.append(1))
    counts = []
    for _ in range(3):
        with looks.watched():
            assert np.array_equal(shot(warm), wanted)
        counts.append(len(asked))
        asked.clear()
    hook.remove()
    assert counts == [counts[1] + 1, counts[1], counts[1]]


def test_a_call_that_was_broken_off_tells_nothing_about_its_look(stills, shelf):
    look = shelf.put(matrices(stills, LAYERS["StableDiffusionPipeline"], 1))
    looks = Looks(stills, shelf)
    looks.use(look, 1.0)
    with pytest.raises(KeyboardInterrupt), looks.watched():
        raise KeyboardInterrupt
    with looks.watched():
        assert shot(stills).any()
    stills.unload_lora_weights()


def test_candidates_of_a_look_that_changes_nothing_fail_and_the_others_are_made(shelf, tmp_path):
    model = card("StableDiffusionPipeline", save_tiny("StableDiffusionPipeline", tmp_path / "tiny"), looks=True)
    generator = loaded(model.model_copy(update={"runtime": Runtime(batch=2)}), shelf)
    look = shelf.put(matrices(generator.resident.pipeline, LAYERS["StableDiffusionPipeline"], 1, size=1e-9))
    idle = [recipe(model, seed=seed, look=look) for seed in (1, 2)]
    for one in idle:
        with pytest.raises(LookRefused, match="changes nothing"):
            made(generator, [one])
    plain = made(generator, [recipe(model, seed=1)])
    generator.close()
    generator = loaded(model)
    assert np.array_equal(plain, made(generator, [recipe(model, seed=1)]))
    generator.close()


def test_no_memory_for_a_look_is_no_fault_of_the_look(stills, shelf, monkeypatch):
    look = shelf.put(matrices(stills, LAYERS["StableDiffusionPipeline"], 1))
    looks = Looks(stills, shelf)

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(stills, "load_lora_weights", full)
        with pytest.raises(torch.OutOfMemoryError):
            looks.use(look, 1.0)
    looks.use(look, 1.0)
    assert looks.loaded == (look,)
    stills.unload_lora_weights()


def test_a_file_that_is_no_look_or_another_one_is_refused(stills, shelf):
    looks = Looks(stills, shelf)
    pickle = shelf.put_bytes(b"\x80\x04 this might be a pickle")
    with pytest.raises(LookRefused, match="cannot be read as safetensors"):
        looks.use(pickle, 1.0)
    look = shelf.put(matrices(stills, LAYERS["StableDiffusionPipeline"], 1))
    other = "sha256:" + "0" * 64
    shelf(look).rename(shelf(other))
    with pytest.raises(LookRefused, match="is another file"):
        looks.use(other, 1.0)


def test_a_pipeline_that_takes_no_looks_says_so(shelf, stills):
    look = shelf.put(matrices(stills, LAYERS["StableDiffusionPipeline"], 1))
    with pytest.raises(LookRefused, match="takes no looks"):
        Looks(object(), shelf).use(look, 1.0)


def test_a_look_of_another_base_is_refused_and_the_same_weights_elsewhere_are_no_other(stills, shelf):
    layer = LAYERS["StableDiffusionPipeline"]
    name = layer.removeprefix("unet.")
    norms = norms_of(stills.unet, [name])
    mine = some_facts(base="sha256:" + "a" * 64, component="unet", norms=norms)
    tensors = matrices(stills, layer, 1)
    same_weights = shelf.put_bytes(adapter_bytes(tensors, mine))
    Looks(stills, shelf, base="sha256:" + "b" * 64).use(same_weights, 1.0)
    stills.unload_lora_weights()
    others = shelf.put_bytes(adapter_bytes(tensors, some_facts(component="unet", norms={name: norms[name] * 1.01})))
    with pytest.raises(LookRefused, match=r"the look ember .* was trained on tiny/model, and this is another base"):
        Looks(stills, shelf, base="sha256:" + "b" * 64).use(others, 1.0)
    Looks(stills, shelf, base="sha256:" + "1" * 64).use(others, 1.0)
    stills.unload_lora_weights()


def test_the_same_base_is_known_in_half_precision(stills):
    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    mine = some_facts(component="unet", norms=norms_of(stills.unet, [layer]))
    half = build_tiny("StableDiffusionPipeline").unet.to(torch.bfloat16)
    other = build_tiny("StableDiffusionPipeline", seed=4).unet
    assert is_base_of(mine, half)
    assert not is_base_of(mine, other)


def test_an_adapter_of_others_is_read_as_diffusers_reads_it(stills, shelf, tmp_path):
    """One with alpha in the header, as diffusers writes them, has its scale."""
    layer = LAYERS["StableDiffusionPipeline"]
    tensors = matrices(stills, layer, 1)
    name = layer.removeprefix("unet.")
    config = {"unet.r": 2, "unet.lora_alpha": 1, "unet.target_modules": [name]}
    scaled = shelf.put(tensors, {"lora_adapter_metadata": json.dumps(config)})
    looks = Looks(stills, shelf)
    looks.use(scaled, 1.0)
    half = shot(stills)
    looks.use(shelf.put(tensors), 0.5)
    assert np.array_equal(shot(stills), half)
    stills.unload_lora_weights()


def test_facts_come_back_as_they_were_written(tmp_path, stills):
    mine = some_facts()
    file = tmp_path / "look"
    file.write_bytes(adapter_bytes(matrices(stills, LAYERS["StableDiffusionPipeline"], 1), mine))
    assert read_facts(file) == mine
    assert set(load_file(file)) == set(matrices(stills, LAYERS["StableDiffusionPipeline"], 1))
