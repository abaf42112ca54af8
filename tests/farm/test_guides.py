"""A host with guides: material comes from the store, clips are scored by how well they follow."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from ancestra_farm.farm.judging import GuideFlows
from ancestra_farm.farm.pipeline import Pipeline
from ancestra_farm.ledger.materials import NodeMaterials, put_material
from ancestra_farm.ledger.store import Store
from ancestra_farm.models.guides.frames import guide_frames
from ancestra_farm.models.protocol import Frames, Made
from ancestra_farm.plan.guides import RecipeGuide
from ancestra_farm.plan.recipe import Recipe
from ancestra_farm.plan.space import Space
from tests.farm.batches import batch_document, space_of, ticket_of
from tests.models.guides.files import motion_path


class Following:
    """A generator that makes the very clip that its guide shows, or that clip backwards."""

    def __init__(self, materials, *, backwards: bool = False) -> None:
        self.materials = materials
        self.step = -1 if backwards else 1

    def setup(self) -> None:
        pass

    def generate(
        self, recipes: Sequence[Recipe], parents: dict[str, Frames], aborted: Callable[[], bool]
    ) -> Iterator[Made]:
        for recipe in recipes:
            (frames,) = guide_frames(recipe, self.materials).values()
            yield Made(recipe, frames[:: self.step], 0.1)

    def close(self) -> None:
        pass


@pytest.fixture
def store(tmp_path):
    return Store.open(str(tmp_path / "store"), create=True)


@pytest.fixture
def guide(store, tmp_path):
    file = motion_path(tmp_path / "way.json", {"points": [(0, 0.2, 0.5), (1, 0.8, 0.4)]})
    digest = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    put_material(store, file, digest)
    return RecipeGuide("motion_path", "previz", "", digest, "way.json")


def clip_space(*guides: RecipeGuide) -> Space:
    space = space_of(batch_document())
    texts = tuple(guide.text for guide in guides)
    rungs = tuple(replace(rung, size=(160, 96)) for rung in space.rungs)
    return replace(space, guides=texts, frames=9, rate=Fraction(16), role="text_to_video", rungs=rungs)


def worked_off(store, generator, space):
    materials = NodeMaterials(store)
    pipeline = Pipeline("host-1", "test/guided", generator, store, guide_of=GuideFlows(materials))
    try:
        pipeline.setup()
        return pipeline.work(ticket_of(space, range(2), full_sample=1.0)).attempts
    finally:
        pipeline.close()


def test_rows_say_how_well_clips_follow_their_guide(store, guide):
    materials, space = NodeMaterials(store), clip_space(guide)
    for row in worked_off(store, Following(materials), space):
        assert row.scores["motion_match"] > 0.95
    for row in worked_off(store, Following(materials, backwards=True), space):
        assert row.scores["motion_match"] < -0.8


def test_a_clip_without_a_guide_has_no_match(store):
    class Panning(Following):
        def generate(self, recipes, parents, aborted):
            for recipe in recipes:
                yield Made(recipe, np.random.default_rng(1).integers(0, 255, (9, 96, 160, 3), np.uint8), 0.1)

    rows = worked_off(store, Panning(None), clip_space())
    assert all("motion_match" not in row.scores for row in rows)


def test_a_guide_drawn_as_flow_and_one_drawn_as_a_clip_say_the_same(store, guide):
    materials = NodeMaterials(store)
    as_flow = clip_space(replace(guide, way="flow")).recipe(0)
    as_clip = clip_space(guide).recipe(0)
    flows = GuideFlows(materials)
    from ancestra_farm.filters.motion_match import correlation

    assert correlation(flows(as_clip), flows(as_flow)) > 0.95
    assert flows(as_flow) is flows(as_flow)


def test_a_guide_whose_material_is_gone_is_the_candidates_failure(store, guide):
    materials, space = NodeMaterials(store), clip_space(replace(guide, digest=f"sha256:{'0' * 64}"))
    rows = worked_off(store, Following(materials), space)
    assert {row.cause for row in rows} == {"exception"}
    assert all("hand the batch in again" in row.message for row in rows)
