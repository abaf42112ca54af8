"""What a batch names beside itself is found, digested and checked, with the line where something is wrong."""

import hashlib
from pathlib import Path

import pytest
import yaml

from ancestra_farm.batch import BatchRefused, canonical
from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.check import checked_with_materials
from ancestra_farm.batch.checks.materials import Fault, Length, SourceMissing, Surroundings
from ancestra_farm.batch.guides import RENDERED_AS, SUFFIXES, taken_as
from ancestra_farm.batch.materials import digests_in, local_file, named_in
from ancestra_farm.batch.schema import Guide
from tests.batch.catalogue import FILTERS, SCORES

SIZES = {"multiple_of": 8, "min": 8, "max": 1024, "default": [96, 64]}
CARD = ModelCard.model_validate(
    {
        "id": "test/guided",
        "family": "procedural",
        "roles": ["text_to_video"],
        "licence": "Apache-2.0",
        "sizes": SIZES,
        "frames": {"step": 1, "offset": 0, "min": 1, "max": 400},
        "rate": 24,
        "guides": ["depth", "reference", "first_frame", "previz"],
        "looks": True,
    }
)


class Place:
    """A folder with a batch file, and what was asked of its surroundings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, Length]] = []
        self.fetched: list[tuple[str, str | None]] = []
        self.remote: dict[str, Path] = {}
        self.faults: list[Fault] = []

    def file(self, name, data=b"some bytes"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return f"sha256:{hashlib.sha256(data).hexdigest()}"

    def batch(self, *guides, **more):
        path = self.folder / "batch.yaml"
        document = {
            "schema": "ancestra/v1",
            "batch": "guided",
            "show": "ancestra",
            "handles": 4,
            "stages": {"clip": {"role": "text_to_video", "model": "test/guided", "candidates": 2}},
            "shots": [{"shot": "a", "frames": 48, "prompt": {"text": "the sea"}, "guides": list(guides)}],
            **more,
        }
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return path

    def check(self, *guides, **more):
        path = self.batch(*guides, **more)
        around = Surroundings(self.folder, self._fetch, self._inspect)
        return checked_with_materials(path, {CARD.id: CARD}, FILTERS, SCORES | {"motion_match"}, around)

    def problems(self, *guides, **more):
        with pytest.raises(BatchRefused) as refused:
            self.check(*guides, **more)
        return [str(problem).removeprefix(f"{self.folder}/") for problem in refused.value.problems]

    def _fetch(self, url, digest):
        self.fetched.append((url, digest))
        if url not in self.remote:
            raise SourceMissing(f"{url} is not there")
        return self.remote[url]

    def _inspect(self, guide: Guide, file: Path, length: Length) -> list[Fault]:
        self.asked.append((guide.kind, length))
        return self.faults


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_a_guides_digest_and_size_are_filled_in_from_its_file(place):
    digest = place.file("depth/a.mkv", b"depths")
    batch, materials = place.check({"kind": "depth", "source": "depth/a.mkv"})
    (guide,) = batch.shots[0].guides
    assert (guide.digest, guide.bytes) == (digest, 6)
    assert [(one.digest, one.bytes, one.file) for one in materials] == [(digest, 6, place.folder / "depth/a.mkv")]


def test_a_file_that_two_guides_name_comes_once(place):
    place.file("a.png")
    _, materials = place.check({"kind": "reference", "source": "a.png"}, {"kind": "first_frame", "source": "./a.png"})
    assert len(materials) == 1


def test_a_file_that_is_not_there_is_told_with_its_line(place):
    assert place.problems({"kind": "depth", "source": "gone.mkv"}) == [
        (
            f"batch.yaml:17: shots[0].guides[0].source: there is no such file: {place.folder}/gone.mkv "
            "(a path starts beside the batch file)"
        )
    ]


def test_a_file_that_has_changed_is_told_with_both_digests(place):
    now, then = place.file("a.mkv"), f"sha256:{'0' * 64}"
    (problem,) = place.problems({"kind": "depth", "source": "a.mkv", "digest": then})
    assert problem.startswith(f"batch.yaml:18: shots[0].guides[0].digest: a.mkv has the digest {now}, not this one")


def test_a_size_that_is_written_down_is_compared_too(place):
    place.file("a.mkv", b"1234")
    assert "has 4 bytes, not 5" in place.problems({"kind": "depth", "source": "a.mkv", "bytes": 5})[0]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.mkdir(), "is a folder; a guide or look is one file"),
        (lambda path: path.write_bytes(b""), "is empty"),
    ],
)
def test_what_is_no_file_with_something_in_it_is_refused(place, make, said):
    make(place.folder / "a.mkv")
    assert said in place.problems({"kind": "depth", "source": "a.mkv"})[0]


@pytest.mark.parametrize(
    ("kind", "source", "said"),
    [
        ("depth", "a.gif", "a guide of kind depth is no .gif file; it is .png, .jpg, .jpeg, .exr, .mkv, .mp4 or .mov"),
        ("first_frame", "a.mkv", "a guide of kind first_frame is no .mkv file"),
        ("depth", "frames", "'frames' has no suffix; a guide of kind depth is one file"),
    ],
)
def test_a_suffix_that_does_not_go_with_the_kind_is_refused(place, kind, source, said):
    place.file(source)
    assert said in place.problems({"kind": kind, "source": source})[0]


def test_a_look_is_a_safetensors_file_with_its_digest(place):
    digest = place.file("film.safetensors")
    looks = {"film": {"source": "film.safetensors", "digest": digest}}
    batch, materials = place.check(looks=looks)
    assert batch.looks["film"].bytes == 10
    assert [one.digest for one in materials] == [digest]
    looks["film"]["digest"] = f"sha256:{'1' * 64}"
    assert "looks.film.digest: film.safetensors has the digest" in place.problems(looks=looks)[0]
    place.file("film.ckpt")
    looks["film"] = {"source": "film.ckpt", "digest": digest}
    assert "looks.film.source: a look is a .safetensors file" in place.problems(looks=looks)[0]


def test_what_lies_in_a_bucket_is_fetched_by_who_hands_it_in(place):
    place.file("elsewhere/sea.mkv", b"the sea")
    place.remote["s3://plates/sea.mkv"] = place.folder / "elsewhere/sea.mkv"
    batch, _ = place.check({"kind": "depth", "source": "s3://plates/sea.mkv"})
    assert batch.shots[0].guides[0].bytes == 7
    assert place.fetched == [("s3://plates/sea.mkv", None)]
    assert "s3://plates/no.mkv is not there" in place.problems({"kind": "depth", "source": "s3://plates/no.mkv"})[0]


def test_a_source_that_may_not_be_read_is_never_opened(place):
    problems = place.problems({"kind": "depth", "source": "s3://169.254.169.254/a.mkv"})
    assert place.fetched == []
    assert len(problems) == 1


def test_how_long_a_guide_must_last_is_the_cut_or_the_shot_with_its_handles(place):
    place.file("a.mkv")
    place.check({"kind": "depth", "source": "a.mkv"})
    place.check({"kind": "depth", "source": "a.mkv", "covers": "handles"})
    assert [(length.frames, length.rate, length.what) for _, length in place.asked] == [
        (48, 24, "the cut"),
        (56, 24, "the shot with its handles"),
    ]


def test_what_is_wrong_in_a_file_is_told_at_its_source(place):
    place.file("a.mkv")
    place.faults = [Fault("a.mkv has 3 frames", "make it longer")]
    assert place.problems({"kind": "depth", "source": "a.mkv"}) == [
        "batch.yaml:17: shots[0].guides[0].source: a.mkv has 3 frames (make it longer)"
    ]


def test_two_guides_that_a_model_would_be_given_as_one_are_refused(place):
    place.file("a.mkv")
    place.file("b.json")
    (problem,) = place.problems({"kind": "previz", "source": "a.mkv"}, {"kind": "motion_path", "source": "b.json"})
    assert "clip: test/guided takes one guide as previz, and this shot has motion_path and previz" in problem
    place.file("a.png")
    place.check({"kind": "reference", "source": "a.png"}, {"kind": "reference", "source": "a.png"})


def test_only_clips_with_a_guide_that_moves_are_ranked_by_how_they_follow(place):
    place.file("a.mkv")
    place.file("a.png")
    clip = {"role": "text_to_video", "model": "test/guided", "candidates": 2, "rank": "motion_match"}
    place.check({"kind": "depth", "source": "a.mkv"}, stages={"clip": clip})
    (problem,) = place.problems({"kind": "depth", "source": "a.png"}, stages={"clip": clip})
    assert problem.startswith(
        "batch.yaml:10: stages.clip.rank: ranked by motion_match, but test/guided is given no guide that moves for "
    )


def test_a_path_is_given_to_a_model_that_takes_what_it_is_rendered_as():
    assert taken_as("motion_path", ["previz"]) == "previz"
    assert taken_as("camera", ["depth", "previz", "flow"]) == "flow"
    assert taken_as("camera", ["depth"]) == "depth"
    assert taken_as("motion_path", ["depth"]) is None
    assert taken_as("depth", ["depth"]) == "depth"
    assert set(RENDERED_AS) < set(SUFFIXES)


def test_every_kind_of_the_schema_has_its_suffixes():
    assert set(SUFFIXES) == set(Guide.model_fields["kind"].annotation.__args__)


def test_the_document_that_is_handed_in_says_what_material_it_names(place):
    depth, film = place.file("a.mkv", b"1"), place.file("film.safetensors", b"2")
    looks = {"film": {"source": "film.safetensors", "digest": film}}
    batch, _ = place.check({"kind": "depth", "source": "a.mkv"}, looks=looks)
    assert digests_in(canonical(batch)) == {film: "look film", depth: "guide depth of shot a"}
    assert [named.path for named in named_in(batch)] == [("looks", "film"), ("shots", 0, "guides", 0)]


def test_a_plain_path_starts_beside_the_batch_and_others_where_they_say(tmp_path):
    assert local_file("a/b.png", tmp_path) == tmp_path / "a/b.png"
    assert local_file("/x/b.png", tmp_path) == Path("/x/b.png")
    assert local_file("file:///x/b.png", tmp_path) == Path("/x/b.png")
    assert local_file("~/b.png", tmp_path) == Path.home() / "b.png"
    assert local_file("s3://plates/b.png", tmp_path) is None
