"""Publishing a version: once, whole, and sealed by its manifest."""

import contextlib
import json
from dataclasses import fields

import pytest

from ancestra_farm.farm.publish import publish, published
from ancestra_farm.farm.stitching import returned, stitched
from ancestra_farm.ledger.store import Store
from ancestra_farm.scheduler.world import StitchJob
from ancestra_farm.stitch.codec import encode_frames
from tests.farm.batches import batch_document, space_of
from tests.farm.test_pipeline import picture
from tests.tiny_disk import tiny_disk


@pytest.fixture
def store(tmp_path):
    return Store.open(str(tmp_path / "store"), create=True)


@pytest.fixture
def space():
    return space_of(batch_document())


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    (folder / "png").mkdir(parents=True)
    for number in (1001, 1002):
        (folder / "png" / f"a.{number}.png").write_bytes(b"frame %d" % number)
    (folder / "a.json").write_text("{}")
    return folder


NAMES = [("master", "png/a.1001.png"), ("master", "png/a.1002.png"), ("report", "a.json")]
FOLDER = "deliveries/anc/a/v001"


def test_a_version_is_there_when_its_manifest_is(store, scratch):
    assert published(store, FOLDER) is None
    found = publish(store, FOLDER, scratch, NAMES, {"frames": 2})
    assert found == published(store, FOLDER)
    assert found.facts == {"frames": 2}
    assert found.files["master"] == f"{FOLDER}/png/a.1001.png"
    assert set(found.files) == set(found.sha256) == {"manifest", "master", "report"}
    assert len(json.loads(store.read(f"{FOLDER}/MANIFEST.json"))["files"]) == 3


def test_files_left_by_a_killed_stitch_are_taken_as_they_are(store, scratch):
    store.create(f"{FOLDER}/a.json", b'{"by": "the first"}')
    found = publish(store, FOLDER, scratch, NAMES, {"frames": 2})
    assert store.read(f"{FOLDER}/a.json") == b'{"by": "the first"}'
    assert found.sha256["report"] != publish(store, f"{FOLDER}b", scratch, NAMES, {}).sha256["report"]


def test_whoever_publishes_second_finds_what_the_first_one_made(store, scratch):
    first = publish(store, FOLDER, scratch, NAMES, {"frames": 2})
    (scratch / "a.json").write_text('{"other": true}')
    assert publish(store, FOLDER, scratch, NAMES, {"frames": 3}) == first


def test_a_name_that_leaves_the_folder_is_refused(store, scratch):
    with pytest.raises(ValueError, match="store"):
        publish(store, FOLDER, scratch, [("report", "../a.json")], {})
    assert store.list("deliveries") == []


def job_of(store, space):
    recipe = space.recipe(0, "full")
    data, suffix = encode_frames(picture(recipe), recipe.rate)
    values = {
        "batch": "tiny", "show": "anc", "shot": "anc_000", "generation": 0, "stitch_id": "5" * 32, "version": "v001",
        "chain": (recipe.candidate_id,), "media": (store.put_media(data, suffix),), "model_rate": "24", "rate": "24",
        "segment_frames": (1,), "overlap_frames": 0, "frames": 12, "handles": 0, "blend_frames": 4, "mp4": True,
        "master": "ffv1", "folder": "deliveries/anc/anc_000/v001",
    }  # fmt: skip
    assert set(values) == {field.name for field in fields(StitchJob)}
    return StitchJob(**values)


def test_a_stitch_that_runs_twice_fills_the_same_version_once(store, space):
    job = job_of(store, space)
    first = stitched(job, store, 0.0)
    listed = store.list("deliveries")
    second = stitched(job, store, 0.0)
    assert (first.ok, first.frames) == (True, 12)
    assert (first.files, first.sha256) == (second.files, second.sha256)
    assert store.list("deliveries") == listed


def test_a_full_disk_is_no_failure_of_the_stitch(space, tmp_path):
    with tiny_disk(tmp_path / "tiny") as folder:
        store = Store.open(str(folder / "store"), create=True)
        job = job_of(store, space)
        ballast = folder / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        full = returned(job, store.url)
        assert "No space left" in full.unstored
        assert not full.result.ok
        ballast.unlink()
        after = returned(job, store.url)
        assert (after.unstored, after.result.ok) == ("", True), after.result.message


def test_a_stitch_whose_medium_is_gone_leaves_nothing_published(store, space, tmp_path):
    job = job_of(Store.open(str(tmp_path / "other"), create=True), space)
    with pytest.raises(Exception, match=r"(?i)not there|no such|missing|media/"):
        stitched(job, store, 0.0)
    assert store.list("deliveries") == []
