import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.telemetry.metrics import Metrics
from tests.scheduler.world import CLIPS, STILLS, Fate, World, batch_of


def folded(log, metrics: Metrics, after: int = 0) -> list[str]:
    for number, event in enumerate(log, 1):
        if number > after:
            metrics.fold_commit(number, [event])
    return sorted(metrics.render().decode().splitlines())


@given(seed=st.integers(0, 1000), steps=st.integers(0, 60))
@settings(max_examples=8, deadline=None)
def test_to_go_on_from_what_was_dumped_is_to_have_folded_it_all(seed: int, steps: int):
    world = World(seed=seed, fate=Fate(hashes=50), crash_rate=0.05, check=False)
    world.submit(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}"))
    world.run(steps)
    before = len(world.log)
    metrics, again = Metrics(), Metrics()
    shown = folded(world.log, metrics)
    again.load(json.loads(json.dumps(metrics.dump())))
    assert sorted(again.render().decode().splitlines()) == shown
    world.submit(batch_of(f"{{still: {STILLS}}}", shots=3))
    world.run()
    assert folded(world.log, again, before) == folded(world.log, metrics, before)


@pytest.mark.parametrize("data", [None, [], [1, [[["no_such_metric", []], 1.0]], [[], [], [], None]], ["x"]])
def test_what_was_not_dumped_is_refused_and_nothing_is_shown(data):
    metrics = Metrics()
    before = metrics.render()
    with pytest.raises((ValueError, TypeError, KeyError, IndexError)):
        metrics.load(data)
    assert metrics.render() == before
