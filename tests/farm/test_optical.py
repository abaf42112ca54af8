"""Stills, clips, larger clips, clips at the shot's rate: through the farm to files of exactly the size and length."""

import warnings
from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from ancestra_farm.farm.cluster import ray_cluster
from ancestra_farm.farm.run import run_batch
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.verify import verify
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.stitch.codec import clip_rate, iter_clip
from tests.farm.batches import batch_document, write_batch
from tests.farm.logs import rows_of

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(300),
    # Ray leaves pipes and sockets of its daemons to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def shared_ray():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with ray_cluster(cpus=2):
            yield


SHOTS = ("one", "chain")


def document():
    """Two shots: one in a single clip, one in a chain of them, at a rate that no clip of theirs runs at."""
    still = batch_document(candidates=3, keep=1, size=[128, 80], parameters={"fault_rate": 0.0})
    clip = {"role": "image_to_video", "model": "test/short-clips", "from": "still", "size": [128, 80]}
    larger = {"role": "upscale", "model": "optical/upscale", "from": "animate", "size": [240, 136]}
    between = {"role": "interpolate", "model": "optical/flow", "from": "larger"}
    once = {"candidates": 1, "best": 1, "keep": 1}
    prompt = {"text": "the ocean seen from a helicopter at dawn, flying forward"}
    return {
        **still,
        "rate": "24000/1001",
        "stages": {
            **still["stages"],
            "animate": {**clip, **once, "parameters": {"fault_rate": 0.0, "motion": 2.0}},
            "larger": {**larger, **once},
            "between": {**between, **once},
        },
        "shots": [
            {"shot": "one", "frames": 14, "handles": 2, "prompt": prompt},
            {"shot": "chain", "frames": 30, "prompt": prompt},
        ],
        "deliver": {"stage": "between", "mp4": True, "master": "ffv1"},
    }


def short_clips(folder):
    """A folder with a card of procedural clips of at most 13 frames."""
    card = load_catalog()["procedural/clips"].model_dump(mode="json", by_alias=True, exclude_defaults=True)
    frames = {"step": 4, "offset": 1, "min": 5, "max": 13}
    folder.mkdir()
    (folder / "short.yaml").write_text(yaml.safe_dump({**card, "id": "test/short-clips", "frames": frames}))
    return folder


@pytest.fixture(scope="module")
def farm(tmp_path_factory):
    """The store of one run of it, and what the run came to."""
    folder = tmp_path_factory.mktemp("optical")
    url = str(folder / "store")
    summary = run_batch(write_batch(folder, document()), url, who="tester", cards=short_clips(folder / "cards"))
    return url, summary


def test_a_shot_is_delivered_at_its_own_rate_and_the_size_that_was_asked_for(farm):
    url, summary = farm
    assert (summary.how, summary.waiting) == ("done", ())
    assert verify(Store.open(url)).problems == ()
    for shot, frames in (("one", 18), ("chain", 30)):
        (master,) = Path(url, "deliveries", "anc", shot).glob("auto-*/*.mkv")
        data = master.read_bytes()
        assert clip_rate(data) == (Fraction(24000, 1001), frames)
        assert {picture.shape for picture in iter_clip(data)} == {(136, 240, 3)}


def test_every_stage_has_the_size_and_the_segments_that_follow_from_the_one_before(farm):
    rows = [row for row in rows_of(farm[0]) if row["outcome"] == "survivor"]
    sizes = {row["stage"]: (row["width"], row["height"]) for row in rows}
    assert sizes == {"still": (128, 80), "animate": (128, 80), "larger": (240, 136), "between": (240, 136)}
    segments = {shot: {r["segment"] for r in rows if (r["shot"], r["stage"]) == (shot, "between")} for shot in SHOTS}
    assert segments["one"] == {0}
    assert len(segments["chain"]) >= 2


def test_a_clip_is_brought_to_the_shots_rate_frame_for_frame(farm):
    store = Store.open(farm[0])
    clips = {r["stage"]: store.read(r["media"]) for r in rows_of(farm[0]) if r["shot"] == "one" and r["media"]}
    (larger_rate, larger_frames), (rate, frames) = clip_rate(clips["larger"]), clip_rate(clips["between"])
    assert (larger_rate, rate) == (Fraction(16), Fraction(24000, 1001))
    assert frames == (larger_frames - 1) * rate // larger_rate + 1
    first, given = next(iter_clip(clips["between"])), next(iter_clip(clips["larger"]))
    assert (first == given).all()
