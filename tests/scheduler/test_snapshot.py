import copy
import dataclasses
import json
import random
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.load import canonical
from ancestra_farm.plan.events import Event
from ancestra_farm.scheduler import Scheduler
from ancestra_farm.scheduler.duplicates import HashIndex
from ancestra_farm.scheduler.results import Results
from ancestra_farm.scheduler.settings import Settings
from ancestra_farm.scheduler.snapshot import StateCodec
from ancestra_farm.scheduler.state import BatchState, Branch, FarmState, ShotState, StageState
from ancestra_farm.scheduler.world import OrderRefused
from tests.scheduler import world as worlds
from tests.scheduler.world import CLIPS, STILLS, Fate, World, batch_of, finished, number_of

DRAFTS = "{role: text_to_image, model: test/stills, candidates: 40, wave: 10, keep: 6, draft: {promote: 0.5}}"
CHAIN = "{role: image_to_video, model: test/clips, from: still, best: 2, candidates: 6, wave: 3, keep: 2}"

BACK = {
    BatchState: {"plan", "branches", "batches"},
    ShotState: {"plan"},
    StageState: {"batch", "shot", "plan", "started_from"},
    Branch: {"stage"},
    Settings: {"prices"},
}


def spelled(value: Any) -> Any:
    """Everything that a state holds, field by field, whatever it holds it in."""
    if isinstance(value, Results):
        return sorted((position, spelled(result)) for position, result in value.items())
    if isinstance(value, HashIndex):
        return (value.bits, value._seen, value._slices)
    if isinstance(value, BaseModel):
        return canonical(value)
    if dataclasses.is_dataclass(value):
        skipped = BACK.get(type(value), set())
        names = [field.name for field in dataclasses.fields(value) if field.name not in skipped]
        return (type(value).__name__, [(name, spelled(getattr(value, name))) for name in names])
    if isinstance(value, dict):
        return [(spelled(key), spelled(inner)) for key, inner in value.items()]
    if isinstance(value, set):
        return ("set", sorted(value))
    if isinstance(value, tuple | list):
        return (type(value).__name__, [spelled(inner) for inner in value])
    assert value is None or isinstance(value, str | int | float | bool | bytes | range | Fraction), type(value)
    return (type(value).__name__, repr(value))


def restored(state: FarmState) -> FarmState:
    """Through text and bytes, as through a file, read by another process."""
    plain, blobs = StateCodec().write(state)
    return StateCodec().read((json.loads(json.dumps(plain)), [bytes(blob) for blob in blobs]))


def folded(log: list[Event]) -> FarmState:
    scheduler = Scheduler()
    for event in log:
        scheduler.apply(event)
    return scheduler.state


def trouble(candidate_id: str, attempt: int) -> str | None:
    fate = number_of(candidate_id, "trouble")
    if fate < 0.1 or (fate < 0.2 and attempt == 1):
        return "exception"
    return "crash" if fate < 0.25 else None


class Restarting(World):
    """A world whose scheduler starts from a snapshot instead of its log, when there is one."""

    snapshot: FarmState | None = None

    def start(self) -> None:
        if self.snapshot is None:
            super().start()
            return
        log, self.log = self.log, []
        kept = self.snapshot
        original = Scheduler.apply
        super_start = super().start

        class Started(Scheduler):
            def resume(self, now):
                self.state = kept
                return super().resume(now)

        import tests.scheduler.world as module

        before = module.Scheduler
        module.Scheduler = Started
        try:
            super_start()
        finally:
            module.Scheduler = before
        assert Scheduler.apply is original
        self.log = [*log, *self.log]


def meddle(world: World, rng: random.Random) -> None:
    """Orders and edits as people give them, now and then."""
    shot = f"s{rng.randrange(2):03d}"
    survivors = [c for (s, stage), ids in world.survivors().items() for c in ids if (s, stage) == (shot, "still")]
    kind = rng.randrange(8)
    try:
        if kind == 0 and survivors:
            world.order("pick", shot, "still", rng.choice(survivors), who=rng.choice(["ann", "ben"]))
        elif kind == 1:
            world.order("pause", shot, "")
        elif kind == 2:
            world.order("unpause", shot, "")
        elif kind == 3:
            world.order("retry", shot, "")
        elif kind == 4:
            world.order("cancel", shot, "")
        elif kind == 5:
            world.submit(batch_of(f"{{still: {rng.choice([STILLS, DRAFTS])}, animate: {CLIPS}}}", shots=2))
    except OrderRefused:
        pass


@given(
    seed=st.integers(0, 10_000),
    still=st.sampled_from([STILLS, DRAFTS]),
    clips=st.sampled_from([CLIPS, CHAIN]),
    hashes=st.sampled_from([30, 1_000_000]),
    steps=st.lists(st.integers(0, 25), min_size=1, max_size=6),
)
@settings(max_examples=25, deadline=None)
def test_to_go_on_from_a_snapshot_is_to_go_on_from_the_log(seed, still, clips, hashes, steps):
    fate = Fate(hashes=hashes, trouble=trouble)
    world = Restarting(seed=seed, fate=fate, crash_rate=0.05, check=False)
    world.submit(batch_of(f"{{still: {still}, animate: {clips}}}", shots=2, frames=60 if clips == CHAIN else 20))
    rng = random.Random(seed)
    for some in steps:
        world.run(some)
        meddle(world, rng)
    state = world.scheduler.state
    again = restored(state)
    assert spelled(again) == spelled(state)
    assert spelled(restored(folded(world.log))) == spelled(folded(world.log))
    from_log, from_snapshot = copy.deepcopy((world.log, world.attempts)), again
    ends = []
    for snapshot in (None, from_snapshot):
        other = Restarting(seed=seed, fate=fate, crash_rate=0.05, check=True)
        other.log, other.attempts = copy.deepcopy(from_log)
        other.epoch = world.epoch
        other.snapshot = snapshot
        other.start()
        other.run()
        ends.append((other.log, other.survivors(), other.results(), spelled(other.scheduler.state)))
    assert ends[0] == ends[1]


def test_a_finished_batch_is_restored_with_its_survivors():
    world = World(fate=Fate(trouble=trouble))
    world.submit(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=2))
    assert world.run() is not None
    before = world.survivors()
    world.scheduler.state = restored(world.scheduler.state)
    assert world.survivors() == before
    assert world.scheduler.progress()
    world.scheduler.check_invariants()


def test_what_happens_later_does_not_change_a_snapshot():
    world = World(fate=Fate(trouble=trouble), check=False)
    world.submit(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=2))
    world.run(20)
    written = StateCodec().write(world.scheduler.state)
    kept = copy.deepcopy(written)
    world.run()
    assert written == kept


def test_the_version_changes_with_the_fields_and_with_the_folding(monkeypatch):
    from ancestra_farm.scheduler import snapshot

    before = StateCodec().version
    assert StateCodec().version == before
    monkeypatch.setattr(snapshot, "FOLDING", snapshot.FOLDING + 1)
    other = StateCodec().version
    monkeypatch.setattr(snapshot, "_WITHOUT", snapshot._WITHOUT | {FarmState: frozenset({"orders"})})
    assert len({before, other, StateCodec().version}) == 3


@pytest.mark.parametrize("data", [None, [], [[], {}], [[1, 2, 3, 4], {}], [["x"] * 4, {}]])
def test_what_is_no_state_is_refused(data):
    with pytest.raises((TypeError, ValueError, KeyError, IndexError, AttributeError)):
        StateCodec().read((data, []))


def test_how_interpolated_segments_read_their_parents_is_kept(monkeypatch):
    card = {**worlds.CARDS["test/clips"].model_dump(by_alias=True), "id": "test/between", "roles": ["interpolate"]}
    frames = {"step": 1, "offset": 0, "min": 1, "max": 999}
    between = ModelCard.model_validate({**card, "frames": frames, "rate": None})
    monkeypatch.setitem(worlds.CARDS, "test/between", between)
    stage = "{role: interpolate, model: test/between, from: animate, candidates: 1}"
    world = finished(batch_of(f"{{still: {STILLS}, animate: {CHAIN}, between: {stage}}}", shots=1, frames=60))
    state = world.scheduler.state
    steps = {b.space.reading.step for b in state.batches["b"].shots["s000"].stages["between"].branches.values()}
    assert steps == {Fraction(16, 24)}
    assert spelled(restored(state)) == spelled(state)
