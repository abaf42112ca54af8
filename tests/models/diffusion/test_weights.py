"""Weights on a node, from folders and from a hub on loopback, with what goes wrong between."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.models.diffusion import checked, weights
from ancestra_farm.models.diffusion import hub as hub_module
from ancestra_farm.models.diffusion.weights import WeightsMissing, WeightsRefused, fetch, folder_of, is_here
from tests.farm.processes import wait_for
from tests.models.diffusion.fake_hub import COMMIT, FakeHub

INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.42.1",
    "is_distilled": True,
    "unet": ["diffusers", "UNet2DConditionModel"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "safety_checker": [None, None],
}
SHARDS = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
#: What a pipeline of this index reads, and what lies about in repositories besides.
READ = {
    "model_index.json": json.dumps(INDEX).encode(),
    "unet/config.json": b'{"_class_name": "UNet2DConditionModel"}',
    "unet/diffusion_pytorch_model.safetensors": b"unet" * 5000,
    "text_encoder/config.json": b"{}",
    "text_encoder/model.safetensors.index.json": json.dumps(SHARDS).encode(),
    "text_encoder/model-00001-of-00002.safetensors": b"one" * 3000,
    "text_encoder/model-00002-of-00002.safetensors": b"two" * 3000,
    "tokenizer/vocab.json": b"{}",
    "tokenizer/merges.txt": b"a b",
    "tokenizer/spiece.model": b"pieces",
    "tokenizer/chat_template.jinja": b"{{ messages }}",
    "scheduler/scheduler_config.json": b"{}",
}
BESIDE = {
    "README.md": b"# model",
    "everything.safetensors": b"all" * 9000,
    "handler.py": b"import os",
    "unet/diffusion_pytorch_model.bin": b"pickle",
    "unet/diffusion_pytorch_model.fp16.safetensors": b"half" * 2500,
    "unet/diffusion_pytorch_model.non_ema.safetensors": b"raw" * 2500,
    "unet/model.py": b"import os",
    "text_encoder/pytorch_model.bin": b"pickle",
    "safety_checker/model.safetensors": b"safe",
}


def card(source, **changes) -> ModelCard:
    return ModelCard.model_validate(
        {
            "id": "mine/model",
            "family": "diffusers",
            "pipeline": "StableDiffusionPipeline",
            "roles": ["text_to_image"],
            "licence": "MIT",
            "sizes": {"multiple_of": 8, "min": 64, "max": 512, "default": [256, 144]},
            "source": str(source),
            **changes,
        }
    )


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def flip(path: Path) -> None:
    """Change one bit in the middle, and the time of change with it."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    stamp = path.stat().st_mtime_ns + 1_000_000
    os.utime(path, ns=(stamp, stamp))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(weights.CACHE, str(tmp_path / "cache"))
    for name in (weights.FETCH, "HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    return tmp_path / "cache"


@pytest.fixture
def local(tmp_path: Path) -> Path:
    return written(tmp_path / "model", READ)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    found = FakeHub({"owner/name": {**READ, **BESIDE}})
    monkeypatch.setenv("HF_ENDPOINT", found.url)
    yield found
    found.close()


def pinned(**changes) -> ModelCard:
    return card("owner/name", revision=COMMIT, **changes)


def said() -> tuple[list[str], object]:
    lines: list[str] = []
    return lines, lines.append


# ---- folders --------------------------------------------------------------------------------------------------------


def test_a_folder_is_used_where_it_lies(local: Path):
    assert folder_of(card(local)) == local
    assert folder_of(card(f"file://{local}")) == local
    assert is_here(card(local))


def test_a_folder_of_the_package_is_found_inside_it():
    with pytest.raises(WeightsMissing, match=r"ancestra_farm/models/catalog is no diffusers pipeline"):
        folder_of(card("package:models/catalog"))


def test_a_folder_that_is_not_there_or_no_pipeline_is_said(tmp_path: Path, local: Path):
    with pytest.raises(WeightsMissing, match=r"mine/model: .*nowhere: no such folder of weights"):
        folder_of(card(tmp_path / "nowhere"))
    (local / "model_index.json").unlink()
    with pytest.raises(WeightsMissing, match=r"it has no model_index\.json"):
        folder_of(card(local))


def test_a_part_that_the_index_names_must_be_there(local: Path):
    shutil.rmtree(local / "unet")
    with pytest.raises(WeightsMissing, match="unet: there is no such part"):
        folder_of(card(local))


def test_every_shard_must_be_there(local: Path):
    (local / "text_encoder/model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsMissing, match="lists model-00002-of-00002"):
        folder_of(card(local))


def test_a_pickle_beside_safetensors_is_left_alone_and_a_pickle_alone_is_refused(local: Path):
    (local / "unet/diffusion_pytorch_model.bin").write_bytes(b"pickle")
    assert folder_of(card(local)) == local
    (local / "unet/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(WeightsRefused, match=r"unet has its weights in diffusion_pytorch_model\.bin alone"):
        folder_of(card(local))


@pytest.mark.parametrize("place", ["pipeline.py", "unet/my_unet.py"])
def test_code_beside_weights_is_refused(local: Path, place: str):
    (local / place).write_text("raise SystemExit")
    with pytest.raises(WeightsRefused, match="lie beside code"):
        folder_of(card(local))


@pytest.mark.parametrize(
    "changes",
    [
        {"../../elsewhere": ["diffusers", "UNet2DConditionModel"]},
        {"unet": ["os", "system"]},
        {"unet": ["my_code", "MyUnet"]},
        {"unet": ["diffusers", 7]},
        {"_class_name": ["pipeline", "Mine"]},
    ],
)
def test_an_index_that_leads_elsewhere_or_names_code_is_refused(local: Path, changes: dict[str, object]):
    (local / "model_index.json").write_text(json.dumps({**INDEX, **changes}))
    with pytest.raises(WeightsRefused, match="model_index"):
        folder_of(card(local))


def test_an_index_that_is_no_json_is_refused(local: Path):
    for text in ("", "[]", "{"):
        (local / "model_index.json").write_text(text)
        with pytest.raises(WeightsRefused, match="model_index"):
            folder_of(card(local))


# ---- digests --------------------------------------------------------------------------------------------------------

UNET = "unet/diffusion_pytorch_model.safetensors"


def with_digest(folder: Path, name: str = UNET, digest: str | None = None) -> ModelCard:
    return card(folder, digests={name: digest or f"sha256:{checked.digest_of(folder / UNET)}"})


def test_a_flipped_byte_is_refused_also_where_the_file_was_good_before(local: Path):
    mine = with_digest(local)
    assert folder_of(mine) == local
    flip(local / UNET)
    with pytest.raises(WeightsRefused, match=r"unet.* has the digest .* is wanted: it was changed or damaged"):
        folder_of(mine)


def test_a_file_is_read_once_per_node_and_again_when_it_changes(local: Path, monkeypatch: pytest.MonkeyPatch):
    mine, read = with_digest(local), []
    digest_of = checked.digest_of
    monkeypatch.setattr(checked, "digest_of", lambda path: read.append(path) or digest_of(path))
    for _ in range(3):
        folder_of(mine)
    assert len(read) == 1
    stamp = (local / UNET).stat().st_mtime_ns + 1_000_000
    os.utime(local / UNET, ns=(stamp, stamp))
    folder_of(mine)
    assert len(read) == 2
    fetch(mine, print)
    assert len(read) == 3


def test_a_mark_that_was_damaged_only_costs_another_look(local: Path, cache: Path):
    mine = with_digest(local)
    folder_of(mine)
    (mark,) = (cache / "checked").iterdir()
    for text in ("", "{", "[]", '{"unet": 1}'):
        mark.write_text(text)
        assert folder_of(mine) == local


def test_a_card_cannot_state_a_digest_outside_its_folder(local: Path, tmp_path: Path):
    (tmp_path / "secret").write_bytes(b"secret")
    for name in ("../secret", str(tmp_path / "secret")):
        with pytest.raises(WeightsRefused, match="is no path inside the folder"):
            folder_of(with_digest(local, name))


def test_a_file_with_a_digest_that_is_not_there_is_said(local: Path):
    with pytest.raises(WeightsMissing, match="is not there, and the card states its digest"):
        folder_of(with_digest(local, "unet/other.safetensors"))


def test_a_folder_is_checked_where_no_cache_can_be_written(local: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    mine = with_digest(local)
    assert folder_of(mine, tmp_path / "file" / "cache") == local
    flip(local / UNET)
    with pytest.raises(WeightsRefused):
        folder_of(mine, tmp_path / "file" / "cache")


# ---- the hub --------------------------------------------------------------------------------------------------------


def test_a_host_asks_no_hub_and_says_how_to_get_the_weights(hub: FakeHub):
    with pytest.raises(WeightsMissing, match=r"owner/name at 0123456789ab.* ancestra models fetch mine/model"):
        folder_of(pinned())
    assert hub.listed == 0
    assert not is_here(pinned())


def test_a_branch_is_refused_and_nothing_is_asked(hub: FakeHub):
    for revision in ("main", None):
        with pytest.raises(WeightsRefused, match=r"mine/model cannot run: .*full commit hash"):
            fetch(card("owner/name", revision=revision), print)
    assert hub.listed == 0


def test_what_the_pipeline_reads_is_fetched_and_nothing_else(hub: FakeHub, cache: Path):
    lines, say = said()
    folder = fetch(pinned(), say)
    assert files_in(folder) == READ
    assert set(hub.fetched) == set(READ)
    assert folder_of(pinned()) == folder
    assert is_here(pinned())
    assert folder.is_relative_to(cache)
    assert any("files to fetch" in line for line in lines)
    assert not list((cache / "fetching").iterdir())


def test_what_was_just_fetched_is_not_read_again_by_the_hosts_of_the_node(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
):
    fetch(pinned(), print)
    read: list[Path] = []
    monkeypatch.setattr(checked, "digest_of", lambda path: read.append(path) or "")
    folder_of(pinned())
    assert read == []


def test_a_host_may_fetch_where_the_farm_lets_it(hub: FakeHub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(weights.FETCH, "1")
    assert files_in(folder_of(pinned())) == READ


def test_a_variant_is_fetched_where_a_part_has_it(hub: FakeHub):
    folder = fetch(pinned(variant="fp16"), print)
    half = "unet/diffusion_pytorch_model.fp16.safetensors"
    assert set(files_in(folder)) == set(READ) - {UNET} | {half}
    assert folder != fetch(pinned(), print)


@pytest.mark.parametrize("name", [UNET, "unet/config.json"])
def test_what_arrives_with_another_digest_is_refused_and_fetched_anew_the_next_time(hub: FakeHub, name: str):
    hub.sent[name] = READ[name][:-1] + bytes([READ[name][-1] ^ 1])
    with pytest.raises(WeightsRefused, match=f"{name} arrived with another digest than its commit"):
        fetch(pinned(), print)
    assert not is_here(pinned())
    del hub.sent[name]
    assert files_in(fetch(pinned(), print)) == READ
    assert dict(hub.fetched) == {**dict.fromkeys(READ, 1), name: 2}


def test_a_repository_of_pickles_is_refused_before_anything_large_is_fetched(hub: FakeHub):
    for name in [name for name in hub.repositories["owner/name"] if name.startswith("unet/") and "safetensors" in name]:
        del hub.repositories["owner/name"][name]
    with pytest.raises(WeightsRefused, match=r"owner/name/unet has its weights in .*\.bin alone"):
        fetch(pinned(), print)
    assert set(hub.fetched) == {"model_index.json"}


def test_a_listing_that_leads_out_of_its_folder_is_refused(hub: FakeHub):
    for name in ("../outside.json", "/etc/outside.json", "unet/../../outside.json"):
        hub.repositories["owner/name"] = {**READ, name: b"{}"}
        with pytest.raises(WeightsRefused, match="which lies outside its folder"):
            fetch(pinned(), print)
    assert not hub.fetched


def test_a_repository_or_a_hub_that_is_not_there_is_said(hub: FakeHub):
    with pytest.raises(WeightsMissing, match="owner/other at 0123456789ab cannot be had from the hub"):
        fetch(card("owner/other", revision=COMMIT), print)
    del hub.repositories["owner/name"]["model_index.json"]
    with pytest.raises(WeightsRefused, match="owner/name is no diffusers pipeline"):
        fetch(pinned(), print)


def test_a_licence_that_must_be_accepted_first_is_said(hub: FakeHub):
    hub.gated = True
    with pytest.raises(WeightsMissing, match="accept its licence on the hub and set HF_TOKEN"):
        fetch(pinned(), print)


def test_a_disk_that_fills_up_at_the_end_costs_no_second_download(hub: FakeHub, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr(hub_module, "write_whole", full)
        with pytest.raises(WeightsMissing, match=r"cannot be kept in .*: No space left"):
            fetch(pinned(), print)
    assert not is_here(pinned())
    assert files_in(fetch(pinned(), print)) == READ
    assert dict(hub.fetched) == dict.fromkeys(READ, 1)


def test_a_full_disk_is_said_before_it_is_full(hub: FakeHub, monkeypatch: pytest.MonkeyPatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(WeightsMissing, match="make room, or set ANCESTRA_CACHE to a larger disk"):
        fetch(pinned(), print)


def test_a_cache_that_cannot_be_written_is_said(hub: FakeHub, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsMissing, match="cannot be kept in"):
        fetch(pinned(), print, tmp_path / "file" / "cache")


def test_a_flipped_byte_in_the_cache_is_refused_and_mended_by_fetching(hub: FakeHub):
    folder = fetch(pinned(), print)
    flip(folder / UNET)
    with pytest.raises(WeightsRefused, match="ancestra models fetch"):
        folder_of(pinned())
    before = dict(hub.fetched)
    assert files_in(fetch(pinned(), print)) == READ
    assert {name: hub.fetched[name] - before[name] for name in READ} == {name: int(name == UNET) for name in READ}
    assert folder_of(pinned()) == folder


def test_a_file_that_went_from_the_cache_is_fetched_again(hub: FakeHub):
    folder = fetch(pinned(), print)
    shutil.rmtree(folder / "unet")
    with pytest.raises(WeightsMissing, match="unet"):
        folder_of(pinned())
    assert files_in(fetch(pinned(), print)) == READ


def test_parts_from_repositories_of_their_own_make_one_pipeline(hub: FakeHub):
    adapter = {"config.json": b'{"_class_name": "MotionAdapter"}', "diffusion_pytorch_model.safetensors": b"m" * 99}
    hub.repositories["owner/adapter"] = {**adapter, "diffusion_pytorch_model.bin": b"pickle", "README.md": b"#"}
    mine = pinned(
        pipeline="AnimateDiffPipeline", parts={"motion_adapter": {"source": "owner/adapter", "revision": COMMIT}}
    )
    folder = fetch(mine, print)
    index = json.loads((folder / "model_index.json").read_text())
    assert index["_class_name"] == "AnimateDiffPipeline"
    assert index["motion_adapter"] == ["diffusers", "MotionAdapter"]
    assert index["unet"] == INDEX["unet"]
    assert index["image_encoder"] == [None, None]
    assert "safety_checker" not in index
    assert {path.name: path.read_bytes() for path in (folder / "motion_adapter").iterdir()} == adapter
    assert (folder / UNET).read_bytes() == READ[UNET]
    assert folder_of(mine) == folder
    assert folder != fetch(pinned(), print)
    flip(folder / "motion_adapter" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(WeightsRefused, match=r"owner--adapter"):
        folder_of(mine)


# ---- processes ------------------------------------------------------------------------------------------------------

SCRIPT = """
import sys
from ancestra_farm.batch.card import ModelCard
from ancestra_farm.models.diffusion.weights import fetch
print(fetch(ModelCard.model_validate_json(sys.argv[1]), lambda said: None))
"""


def fetching() -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, pinned().model_dump_json()]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_fetch_that_was_killed_leaves_no_folder_and_is_taken_up(hub: FakeHub, cache: Path):
    hub.stall.add(UNET)
    killed = fetching()
    assert hub.stalled.wait(timeout=120), killed.communicate()
    wait_for(lambda: list(cache.rglob("fetching/*/model_index.json")), 120)
    killed.kill()
    killed.communicate()
    assert not is_here(pinned())
    with pytest.raises(WeightsMissing):
        folder_of(pinned())
    hub.stall.clear()
    hub.release.set()
    before = dict(hub.fetched)
    assert files_in(fetch(pinned(), print)) == READ
    assert hub.fetched["model_index.json"] == before["model_index.json"] == 1


def test_processes_that_want_the_same_weights_at_once_fetch_them_once(hub: FakeHub):
    processes = [fetching() for _ in range(2)]
    ends = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    assert len({out for out, _ in ends}) == 1
    assert dict(hub.fetched) == dict.fromkeys(READ, 1)
    assert files_in(Path(ends[0][0].strip())) == READ
