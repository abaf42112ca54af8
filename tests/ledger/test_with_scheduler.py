"""What the scheduler really records, folded: the two read the same events and must come to the same."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.read import candidates
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tables import Projection, rebuild
from ancestra_farm.ledger.verify import verify
from tests.scheduler.world import CLIPS, STILLS, Fate, World, batch_of, number_of

DRAFTS = "{role: text_to_image, model: test/stills, candidates: 40, wave: 10, keep: 6, draft: {promote: 0.5}}"


def trouble(candidate_id: str, attempt: int) -> str | None:
    """One in ten fails for ever, one in ten once, one in twenty takes its host along."""
    fate = number_of(candidate_id, "trouble")
    if fate < 0.1 or (fate < 0.2 and attempt == 1):
        return "exception"
    return "crash" if fate < 0.25 else None


def folded(world: World) -> Projection:
    projection = Projection()
    for event in world.log:
        projection.apply(event)
    return projection


def survivors_of(projection: Projection) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for part in projection.parts():
        if part[0] == "candidates":
            for row in projection.table(*part).to_pylist():
                if row["outcome"] == "survivor":
                    found.setdefault((row["shot"], row["stage"]), set()).add(row["candidate_id"])
    return found


@given(seed=st.integers(0, 1000), still=st.sampled_from([STILLS, DRAFTS]), hashes=st.sampled_from([30, 1_000_000]))
@settings(max_examples=12, deadline=None)
def test_every_released_candidate_has_one_outcome_and_survivors_agree(seed: int, still: str, hashes: int):
    world = World(seed=seed, fate=Fate(hashes=hashes, trouble=trouble), crash_rate=0.05, check=False)
    world.submit(batch_of(f"{{still: {still}, animate: {CLIPS}}}", shots=2))
    assert world.run() is not None
    projection = folded(world)
    assert projection.oddities == []
    assert projection.undecided() == (0, [])
    expected = {key: set(ids) for key, ids in world.survivors().items() if ids}
    assert survivors_of(projection) == expected


@given(seed=st.integers(0, 1000), steps=st.integers(1, 40))
@settings(max_examples=12, deadline=None)
def test_a_batch_edited_while_it_runs_leaves_no_candidate_undecided(seed: int, steps: int):
    world = World(seed=seed, fate=Fate(trouble=trouble), check=False)
    world.submit(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=1))
    world.run(steps)
    world.submit(batch_of(f"{{still: {DRAFTS}, animate: {CLIPS}}}", shots=2))
    assert world.run() is not None
    projection = folded(world)
    assert projection.oddities == []
    assert projection.undecided() == (0, [])
    for key, ids in world.survivors().items():
        assert set(ids) <= survivors_of(projection).get(key, set())


@pytest.mark.parametrize("seed", range(3))
def test_a_recorded_run_makes_a_sound_store(local_store: Store, seed: int):
    world = World(seed=seed, fate=Fate(trouble=trouble), check=False)
    world.submit(batch_of(f"{{still: {STILLS}}}", shots=2))
    world.run()
    writer = Writer.begin(local_store, "ann", "run")
    rng = random.Random(seed)
    events = list(world.log)
    while events:
        size = rng.randrange(1, 40)
        writer.commit(events[:size])
        events = events[size:]
    rebuild(local_store)
    report = verify(local_store)
    assert candidates(local_store).num_rows == report.candidates == 80
    media = {f"media/{name}.png" for name in candidates(local_store)["candidate_id"].to_pylist()}
    # the world makes no pictures; nothing else may be wrong
    assert [p for p in report.problems if not any(path in p for path in media)] == []
    assert report.undecided == 0
