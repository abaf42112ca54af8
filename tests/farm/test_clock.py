"""The time that decisions are told never steps, and comes to agree with the machine's clock."""

import itertools
import time

import pytest

from ancestra_farm.farm import control
from ancestra_farm.farm.clock import SLEW, SteadyClock
from ancestra_farm.ledger.store import Store
from ancestra_farm.scheduler.world import Happening, Instruction
from tests.farm.batches import batch_document
from tests.farm.logs import attempts_of
from tests.farm.threads import ThreadFarm, submission


class Machine:
    """A machine whose clock people put right. ``up_s``: since it was started; ``off_s``: its clock is off."""

    def __init__(self) -> None:
        self.up_s, self.off_s = 100.0, 0.0

    def clock(self) -> SteadyClock:
        return SteadyClock(lambda: 1e9 + self.up_s + self.off_s, lambda: self.up_s)


def test_while_nobody_touches_the_machines_clock_it_is_the_same():
    machine = Machine()
    now = machine.clock()
    for _ in range(10):
        machine.up_s += 7.5
        assert now() == pytest.approx(1e9 + machine.up_s)


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
def test_a_step_of_the_machines_clock_is_caught_up_with_slowly(step_s):
    machine = Machine()
    now = machine.clock()
    machine.off_s = step_s
    before = now()
    for _ in range(3600):
        machine.up_s += 1.0
        passed, before = now() - before, before + (now() - before)
        assert 1.0 - SLEW - 1e-6 <= passed <= 1.0 + SLEW + 1e-6
    for _ in range(21):
        machine.up_s += 3600.0
        now()
    assert now() == pytest.approx(1e9 + machine.up_s + step_s)


def test_a_farm_whose_clock_is_put_right_goes_on_as_if_nothing_were(tmp_path, monkeypatch):
    reads = itertools.count()

    def wall() -> float:
        return time.time() + (3600.0 if next(reads) % 2 else -3600.0)

    monkeypatch.setattr(control, "SteadyClock", lambda: SteadyClock(wall))
    store = Store.open(str(tmp_path / "store"), create=True)
    farm, heard = ThreadFarm(store), []
    handle = farm.loop._scheduler.handle

    def noted(happening: Happening, now: float) -> list[Instruction]:
        heard.append(now)
        return handle(happening, now)

    monkeypatch.setattr(farm.loop._scheduler, "handle", noted)
    assert farm.loop.run([submission(tmp_path, batch_document())]).how == "done"
    assert heard == sorted(heard)
    assert heard[-1] - heard[0] < 3600.0
    assert {event.cause for event in attempts_of(store.url)} == {"judged"}
