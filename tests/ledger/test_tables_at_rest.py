"""Tables that are gone on from as they lie in the store, against tables that were folded from the beginning."""

import json
import random
import uuid

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tables import PartLost, Projection, decode_part, part_path
from ancestra_farm.ledger.verify import same_rows
from ancestra_farm.plan.events import Event
from ancestra_farm.scheduler.world import OrderRefused
from tests.scheduler.world import CLIPS, STILLS, Fate, World, batch_of, number_of

DRAFTS = "{role: text_to_image, model: test/stills, candidates: 40, wave: 10, keep: 6, draft: {promote: 0.5}}"


def trouble(candidate_id: str, attempt: int) -> str | None:
    return "exception" if number_of(candidate_id, "trouble") < 0.1 else None


def eventful(seed: int, still: str) -> list[Event]:
    """A run with picks, rejects restored, things tried again, and the batch edited in the middle."""
    world = World(seed=seed, fate=Fate(hashes=60, trouble=trouble), crash_rate=0.05, check=False)
    rng = random.Random(seed)
    world.submit(batch_of(f"{{still: {still}, animate: {CLIPS}}}", shots=3))
    for _ in range(5):
        world.run(rng.randrange(25))
        shot = f"s{rng.randrange(3):03d}"
        known = world.survivors().get((shot, "still")) or []
        try:
            match rng.randrange(5):
                case 0 if known:
                    world.order("pick", shot, "still", rng.choice(known))
                case 1:
                    world.order("retry", shot, "")
                case 2:
                    world.order("cancel", shot, "")
                case 3:
                    world.submit(batch_of(f"{{still: {rng.choice([STILLS, DRAFTS])}}}", shots=3))
                case _:
                    pass
        except OrderRefused:
            pass
    world.run()
    return world.log


def commits_of(log: list[Event], rng: random.Random) -> list[tuple[int, list[Event]]]:
    commits, place = [], 0
    while place < len(log):
        size = rng.randrange(1, 30)
        commits.append((len(commits) + 1, log[place : place + size]))
        place += size
    return commits


def parts(store: Store) -> dict[str, pa.Table]:
    return {path: decode_part(store.read(path))[0] for path in store.list("tables") if path.endswith(".parquet")}


def folded(commits: list[tuple[int, list[Event]]], projection: Projection) -> Projection:
    for number, events in commits:
        projection.fold_events(number, events)
    return projection


@given(seed=st.integers(0, 10_000), still=st.sampled_from([STILLS, DRAFTS]))
@settings(max_examples=15, deadline=None)
def test_to_go_on_from_parts_is_to_have_folded_everything(seed: int, still: str):
    rng = random.Random(seed)
    commits = commits_of(eventful(seed, still), rng)
    store = Store.open(f"memory://{uuid.uuid4().hex}", create=True)
    projection = Projection(store)
    kept, kept_at = json.dumps(projection.kept()), 0
    for number, events in commits:
        projection.fold_events(number, events)
        if rng.random() < 0.3:
            projection.refresh(store)  # parts are ahead of what was kept, as after a kill
        if rng.random() < 0.15:
            projection.refresh(store)
            kept, kept_at = json.dumps(projection.kept()), number
        if rng.random() < 0.1:
            projection = folded(commits[kept_at:number], Projection.of_kept(store, json.loads(kept)))
    projection.refresh(store)
    expected_store = Store.open(f"memory://{uuid.uuid4().hex}", create=True)
    folded(commits, Projection()).refresh(expected_store)
    found, expected = parts(store), parts(expected_store)
    assert found.keys() == expected.keys()
    for path in expected:
        assert same_rows(found[path], expected[path]), path
    assert projection.oddities == []


def test_rows_that_nothing_happens_to_are_not_held():
    store = Store.open(f"memory://{uuid.uuid4().hex}", create=True)
    log = eventful(3, STILLS)
    projection = folded(commits_of(log, random.Random(1)), Projection(store))
    projection.refresh(store)
    projection.refresh(store)
    shots = [shot for batch in projection._batches.values() for shot in batch.shots.values() if shot.has("candidates")]
    assert len(shots) == 3
    assert all(shot.at_rest and not shot._waves and not shot._places for shot in shots)
    for shot in shots:
        assert projection.table("candidates", "b", shot.name).num_rows


@pytest.mark.parametrize("spoil", ["gone", "cut", "old"])
def test_a_part_that_is_not_as_it_was_is_found(spoil: str):
    store = Store.open(f"memory://{uuid.uuid4().hex}", create=True)
    commits = commits_of(eventful(5, STILLS), random.Random(1))
    projection = folded(commits[:3], Projection(store))
    projection.refresh(store)
    path = part_path("candidates", "b", "s000")
    old = store.read(path) if store.exists(path) else b""
    folded(commits[3:], projection)
    projection.refresh(store)
    kept = json.loads(json.dumps(projection.kept()))
    if spoil == "gone":
        store.delete(path)
    else:
        store.replace(path, old if spoil == "old" else store.read(path)[:-4])
    with pytest.raises(PartLost, match="s000"):
        Projection.of_kept(store, kept).table("candidates", "b", "s000")
