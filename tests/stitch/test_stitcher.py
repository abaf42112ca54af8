"""A chain becomes exactly its shot: right length, seamless where it can be, refused with a reason where it cannot."""

import json
from fractions import Fraction
from math import ceil

import av
import numpy as np
import opentimelineio as otio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.scheduler.world import StitchJob
from ancestra_farm.stitch import codec
from ancestra_farm.stitch.conform import StitchError, layout_of
from ancestra_farm.stitch.encode import FileError, check_master, check_movie, check_stills
from ancestra_farm.stitch.look import look_at
from ancestra_farm.stitch.retime import Retimed
from ancestra_farm.stitch.stitcher import make, stitched_frames
from tests.stitch.jobs import Job, job_for, shoot_chain, store_of
from tests.stitch.scenes import SCENES, pan, shoot


def frames_of(job, store):
    look = look_at(job, store.__getitem__)
    return np.stack(list(stitched_frames(job, look, store.__getitem__, Retimed()))), look


def test_the_job_has_the_fields_of_the_schedulers():
    assert set(Job.__dataclass_fields__) == set(StitchJob.__dataclass_fields__)


# ---- length and content


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 14), min_size=1, max_size=5),
    overlap=st.integers(0, 6),
    blend=st.integers(0, 8),
    rates=st.sampled_from([("16", "24"), ("24", "24"), ("16", "24000/1001"), ("30", "24"), ("8", "25")]),
    data=st.data(),
)
def test_a_chain_of_one_take_gives_that_take_at_any_lengths_overlaps_and_rates(lengths, overlap, blend, rates, data):
    lengths = tuple(max(length, overlap + 1) for length in lengths)
    model_rate, rate = (Fraction(text) for text in rates)
    joined = sum(lengths) - (len(lengths) - 1) * overlap
    most = int((joined - 1) * rate / model_rate) + 1
    frames = data.draw(st.integers(1, most))
    take = np.arange(joined, dtype=np.uint8)[:, None, None, None] * np.ones((1, 12, 16, 3), np.uint8)
    starts = [sum(lengths[:k]) - k * overlap for k in range(len(lengths))]
    segments = [take[start : start + length] for start, length in zip(starts, lengths, strict=True)]
    store = {f"media/{k}": codec.encode_clip(segment, model_rate) for k, segment in enumerate(segments)}
    job = Job(
        media=tuple(store), chain=tuple(store), segment_frames=lengths, frames=frames, overlap_frames=overlap,
        handles=0, blend_frames=blend, model_rate=rates[0], rate=rates[1],
    )  # fmt: skip
    made, look = frames_of(job, store)
    assert len(made) == frames
    for index, frame in enumerate(made):
        position = index * model_rate / rate
        if position.denominator == 1:
            assert np.array_equal(frame, take[int(position)])
        else:
            assert int(position) <= frame.min() <= frame.max() <= ceil(position)
    for earlier, later in zip(look.joins, look.joins[1:], strict=False):
        assert earlier.start + earlier.blend_stop <= later.start + later.blend_start


@pytest.mark.parametrize("scene", SCENES)
def test_segments_that_agree_are_joined_bit_for_bit(scene):
    segments = shoot_chain(SCENES[scene](1), (13, 17, 13), 5)
    store = store_of(segments)
    job = job_for(store, segments, rate="16")
    made, look = frames_of(job, store)
    assert np.array_equal(made, shoot(SCENES[scene](1), range(len(made))))
    assert [seam.failed for seam in look.seams] == [(), ()]


def test_a_drift_of_colour_is_matched_and_the_seam_passes():
    segments = shoot_chain(pan(4), (13, 13, 13), 5, grain=1.0)
    for number, tint in enumerate([(1.0, 1.0, 1.0), (1.06, 1.0, 0.95), (0.9, 1.02, 1.05)]):
        segments[number] = np.rint(np.clip(segments[number] * np.array(tint), 0, 255)).astype(np.uint8)
    store = store_of(segments)
    made, look = frames_of(job_for(store, segments, rate="16"), store)
    truth = shoot(pan(4), range(len(made)))
    assert [seam.failed for seam in look.seams] == [(), ()]
    assert not any(colour.is_identity for colour in look.maps[1:])
    assert np.abs(made.mean(axis=(1, 2)) - truth.mean(axis=(1, 2))).max() < 1.0


def test_the_join_switches_where_the_copies_agree_best():
    segments = shoot_chain(pan(2), (13, 13), 6)
    for index in (0, 1, 2, 5):
        segments[1][index] = np.roll(segments[1][index], 4, axis=0)
    store = store_of(segments)
    job = job_for(store, segments, overlap_frames=6, blend_frames=0, rate="16")
    made, look = frames_of(job, store)
    assert look.joins[0].switch == 4
    assert np.array_equal(made[:11], segments[0][:11])
    assert np.argsort(look.joins[0].copies_differ)[:2].tolist() == [3, 4]


def test_one_still_is_held_for_the_length(tmp_path):
    still = shoot(pan(3), [0])[0]
    store = {"media/00.png": codec.encode_still(still)}
    job = Job(media=tuple(store), chain=("aa" * 16,), segment_frames=(1,), frames=20, overlap_frames=0, model_rate="16")
    made = make(job, store.__getitem__, tmp_path)
    assert made.ok
    assert made.seams == ()
    held, rate = codec.decode_clip((tmp_path / made.by_kind()["master"]).read_bytes())
    assert (len(held), rate) == (20, 24)
    assert all(np.array_equal(frame, still) for frame in held)


# ---- seams that fail


def test_a_bad_seam_names_its_pair_and_publishes_nothing_but_the_report(tmp_path):
    segments = shoot_chain(pan(5), (13, 13, 13), 5)
    segments[2] = shoot(pan(77), range(13))
    store = store_of(segments)
    made = make(job_for(store, segments), store.__getitem__, tmp_path)
    assert not made.ok
    assert made.bad_pair == 1
    assert "between segments 1 and 2" in made.message
    assert max(made.seams[0].values()) <= 1 < max(made.seams[1].values())
    assert [path.name for path in tmp_path.iterdir()] == ["anc_010_0010_v001.json"]
    report = json.loads((tmp_path / "anc_010_0010_v001.json").read_text())
    assert report["ok"] is False
    assert report["seams"][1]["failed"]


def test_a_segment_that_runs_faster_after_the_overlap_is_caught():
    earlier = shoot(pan(6), range(17))
    later = shoot(pan(6), [12 + k for k in range(5)] + [16 + 2.0 * k for k in range(1, 13)])
    shared = later[:5].copy()
    assert np.array_equal(shared, earlier[12:])
    store = store_of([earlier, later[4:]])
    job = job_for(store, [earlier, later[4:]], overlap_frames=1)
    assert "flow_jump" in look_at(job, store.__getitem__).seams[0].failed


# ---- files


@pytest.fixture
def chain():
    segments = shoot_chain(pan(8, size=(97, 55)), (13, 13), 5, grain=1.0)
    return store_of(segments), segments


def test_every_file_is_there_and_holds_the_shot(tmp_path, chain):
    store, segments = chain
    job = job_for(store, segments)
    made = make(job, store.__getitem__, tmp_path)
    assert made.ok
    assert made.frames == job.frames == 31
    names = made.by_kind()
    assert names == {
        "mp4": "anc_010_0010_v001.mp4",
        "master": "anc_010_0010_v001.mkv",
        "otio": "anc_010_0010_v001.otio",
        "report": "anc_010_0010_v001.json",
    }
    master, rate = codec.decode_clip((tmp_path / names["master"]).read_bytes())
    expected, _ = frames_of(job, store)
    assert rate == 24
    assert np.array_equal(master, expected)
    with av.open(str(tmp_path / names["mp4"])) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert (stream.codec_context.pix_fmt, stream.average_rate) == ("yuv420p", 24)
        assert (frames[0].width, frames[0].height) == (98, 56)
        assert [frame.pts * frame.time_base for frame in frames] == [Fraction(k, 24) for k in range(31)]
    assert made.digests().keys() == names.keys()


def test_the_same_job_gives_the_same_bytes(tmp_path, chain):
    store, segments = chain
    job = job_for(store, segments)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    first, second = (make(job, store.__getitem__, folder) for folder in folders)
    assert first == second


@pytest.mark.parametrize("rate", ["24000/1001", "25", "30000/1001"])
def test_the_movie_runs_at_the_exact_rate(tmp_path, chain, rate):
    store, segments = chain
    made = make(job_for(store, segments, rate=rate), store.__getitem__, tmp_path)
    check_movie(tmp_path / made.by_kind()["mp4"], frames=made.frames, size=(97, 55), rate=Fraction(rate))


def test_the_movie_shows_the_colours_it_was_given_by_bt709(tmp_path):
    colours = [(200, 30, 40), (20, 180, 60), (40, 60, 210), (128, 128, 128), (255, 255, 255), (0, 0, 0)]
    picture = np.concatenate([np.full((32, 32, 3), colour, np.uint8) for colour in colours], axis=1)
    store = {"media/00.png": codec.encode_still(picture)}
    job = Job(media=tuple(store), chain=("aa",), segment_frames=(1,), frames=8, overlap_frames=0, master="none")
    made = make(job, store.__getitem__, tmp_path)
    with av.open(str(tmp_path / made.by_kind()["mp4"])) as container:
        frame = next(container.decode(video=0))
        planes = frame.to_ndarray()
    luma = planes[:32]
    for index, colour in enumerate(colours):
        r, g, b = (value / 255 for value in colour)
        expected = 16 + 219 * (0.2126 * r + 0.7152 * g + 0.0722 * b)
        assert abs(float(luma[8:24, index * 32 + 8 : index * 32 + 24].mean()) - expected) < 1.5


def test_a_master_of_stills_is_numbered_from_1001(tmp_path, chain):
    store, segments = chain
    job = job_for(store, segments, master="png", mp4=False)
    made = make(job, store.__getitem__, tmp_path)
    names = sorted(path.name for path in (tmp_path / "png").iterdir())
    assert names[0] == "anc_010_0010.1001.png"
    assert names[-1] == "anc_010_0010.1031.png"
    assert len(names) == 31
    expected, _ = frames_of(job, store)
    read = np.stack([codec.decode_still((tmp_path / "png" / name).read_bytes()) for name in names])
    assert np.array_equal(read, expected)
    assert made.by_kind()["master"] == "png/anc_010_0010.1001.png"
    assert set(made.digests()) == {"master", "otio", "report"}


@pytest.mark.parametrize("master", ["ffv1", "png", "none"])
def test_the_timeline_has_the_cut_inside_its_handles(tmp_path, chain, master):
    store, segments = chain
    job = job_for(store, segments, master=master, handles=8, rate="24000/1001", mp4=master != "png")
    made = make(job, store.__getitem__, tmp_path)
    timeline = otio.adapters.read_from_file(str(tmp_path / made.by_kind()["otio"]))
    (clip,) = timeline.find_clips()
    rate = 24000 / 1001
    assert clip.source_range.start_time == otio.opentime.RationalTime(8, rate)
    assert clip.source_range.duration == otio.opentime.RationalTime(job.frames - 16, rate)
    assert clip.available_range().duration == otio.opentime.RationalTime(job.frames, rate)
    assert clip.metadata["ancestra"]["cut_first_frame_number"] == 1009
    assert clip.metadata["ancestra"]["rate"] == "24000/1001"
    references = clip.media_references()
    for reference in references.values():
        if isinstance(reference, otio.schema.ImageSequenceReference):
            urls = [reference.target_url_for_image_number(n) for n in range(reference.number_of_images_in_sequence())]
            assert len(urls) == job.frames
            assert all((tmp_path / url).exists() for url in urls)
            cut = reference.frame_for_time(clip.source_range.start_time)
            assert cut == 1009
        else:
            assert (tmp_path / reference.target_url).exists()
    assert set(references) == {"mp4"} if master == "none" else "master" in references


@pytest.mark.parametrize("part", [0.3, 0.7, 0.95])
def test_a_half_movie_is_found_out(tmp_path, chain, part):
    store, segments = chain
    job = job_for(store, segments)
    made = make(job, store.__getitem__, tmp_path)
    for kind in ("mp4", "master"):
        path = tmp_path / made.by_kind()[kind]
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(FileError):
        check_movie(tmp_path / made.by_kind()["mp4"], frames=made.frames, size=(97, 55), rate=Fraction(24))
    with pytest.raises(FileError):
        check_master(tmp_path / made.by_kind()["master"], frames=made.frames, pixels=b"")


def test_a_missing_or_changed_still_is_found_out(tmp_path, chain):
    store, segments = chain
    job = job_for(store, segments, master="png", mp4=False)
    make(job, store.__getitem__, tmp_path)
    paths = sorted((tmp_path / "png").iterdir())
    with pytest.raises(FileError, match="30 stills"):
        check_stills(paths[:-1], frames=31, pixels=b"")
    with pytest.raises(FileError, match="other pixels"):
        check_stills(paths, frames=31, pixels=b"")
    paths[3].write_bytes(paths[3].read_bytes()[:-20])
    with pytest.raises(FileError, match="1004"):
        check_stills(paths, frames=31, pixels=b"")


def test_a_movie_of_another_length_size_or_rate_is_found_out(tmp_path, chain):
    store, segments = chain
    made = make(job_for(store, segments, master="none"), store.__getitem__, tmp_path)
    path = tmp_path / made.by_kind()["mp4"]
    with pytest.raises(FileError, match="31 frames where 30"):
        check_movie(path, frames=30, size=(97, 55), rate=Fraction(24))
    with pytest.raises(FileError, match="98x56 where 98x54"):
        check_movie(path, frames=31, size=(97, 54), rate=Fraction(24))
    with pytest.raises(FileError, match="per second"):
        check_movie(path, frames=31, size=(97, 55), rate=Fraction(25))


# ---- refusals


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"frames": 32}, "32 frames at 24 need 22 frames at 16; the segments less their overlaps have 21"),
        ({"frames": 4}, "leave no cut"),
        ({"segment_frames": (13, 12), "frames": 20}, "segment 1 has 13 frames, the job says 12"),
        ({"model_rate": "24", "frames": 20}, "segment 0 runs at 16, the job says 24"),
        ({"overlap_frames": 13, "frames": 5}, "no more than the overlap repeats"),
        ({"master": "exr"}, "ffv1, png or none"),
        ({"shot": "../escape"}, "letters, digits"),
        ({"rate": "fast"}, "is not a rate"),
        ({"media": ("media/00.mkv",)}, "2 candidates, 1 media and 2 lengths"),
        ({"media": (), "chain": (), "segment_frames": ()}, "empty"),
    ],
)
def test_a_job_that_does_not_fit_is_refused_and_leaves_nothing(tmp_path, chain, changes, sentence):
    store, segments = chain
    job = Job(**(job_for(store, segments).__dict__ | changes))
    with pytest.raises(StitchError, match=sentence):
        make(job, store.__getitem__, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_segments_of_different_sizes_are_refused(tmp_path):
    segments = [shoot(pan(1, size=(64, 36)), range(9)), shoot(pan(1, size=(66, 36)), range(9))]
    store = store_of(segments)
    with pytest.raises(StitchError, match="segment 1 is 66x36, those before it 64x36"):
        make(job_for(store, segments), store.__getitem__, tmp_path)


def test_a_damaged_medium_is_refused_and_leaves_nothing(tmp_path, chain):
    store, segments = chain
    job = job_for(store, segments)
    path = job.media[1]
    damaged = store | {path: store[path][:-100]}
    with pytest.raises(codec.MediumError):
        make(job, damaged.__getitem__, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_in_the_middle_of_writing_leaves_nothing(tmp_path, chain):
    store, segments = chain
    job = job_for(store, segments, master="png")
    reads: list[str] = []

    def read(path):
        reads.append(path)
        if len(reads) == 4:
            raise OSError("the store is gone")
        return store[path]

    with pytest.raises(OSError, match="gone"):
        make(job, read, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_layout_says_what_is_trimmed():
    job = Job(media=("a", "b"), chain=("a", "b"), segment_frames=(81, 81), frames=112, overlap_frames=9, handles=8)
    layout = layout_of(job)
    assert layout.joined_frames == 153
    assert layout.needed_frames == 75
    assert layout.trimmed_frames == 78
