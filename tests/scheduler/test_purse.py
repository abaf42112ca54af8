"""Money of shows: reserved when waves are released, bound when tickets are given out, settled when they end."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ancestra_farm.batch.farm_settings import FarmSettings
from ancestra_farm.batch.load import canonical
from ancestra_farm.plan.events import AttemptEnded, WaveReleased
from ancestra_farm.plan.farm_events import SettingsGiven
from ancestra_farm.scheduler import folded
from ancestra_farm.scheduler.fold import fold
from ancestra_farm.scheduler.snapshot import StateCodec
from ancestra_farm.scheduler.world import ChangeSettings, Dispatch, Instruction, OrderRefused, Record, SlotsChanged
from tests.scheduler.elastic import ElasticWorld, farm_of
from tests.scheduler.world import CLIPS, STILLS, Fate, World, batch_of, number_of, submission

#: Two hosts of the tests' models fit on it, so that an hour of a host is 1.80.
CPU = {"gpus": 0, "vram_gib": 0, "cpus": 2, "memory_gib": 8, "price_per_hour": 3.6, "max_nodes": 8}
PER_S = 1.8 / 3600
#: What a still of the tests is expected to cost, and one of its waves.
STILL = 0.1 * PER_S
WAVE = 10 * STILL
#: Rounding of sums of some hundred small prices.
NOTHING = 1e-9


def capped(money: float, **node_types: dict[str, Any]) -> FarmSettings:
    """A farm on which the show ``s`` may spend so much."""
    fields = farm_of(**(node_types or {"cpu": CPU})).model_dump(mode="json", by_alias=True, exclude_none=True)
    return FarmSettings.model_validate(
        {**fields, "show_caps": {"s": {"max_money": money}}}, by_alias=True, by_name=False
    )


def given_anew(farm: FarmSettings) -> ChangeSettings:
    return ChangeSettings(SettingsGiven("farm", "", canonical(farm), "bea", 5.0))


@dataclass
class Dear(Fate):
    """Candidates take up to so many times as long as their card says, by their id."""

    times: float = 1.0

    def attempt(self, *args: Any) -> AttemptEnded:
        ended = super().attempt(*args)
        return replace(ended, device_s=ended.device_s * self.times * number_of(ended.candidate_id, "seconds"))


@dataclass
class PaidWorld(World):
    """A world with prices that looks at what its show has spent whenever something happens.

    ``cap``: of its money. ``expected`` and ``cost``: what each ticket was thought to cost when it was given, and did.
    """

    cap: float = 1.0
    expected: dict[str, float] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)

    def start(self) -> None:
        super().start()
        if not self.log:
            self.tell(given_anew(capped(self.cap)))

    def tell(self, happening: object) -> None:
        if isinstance(happening, SlotsChanged):
            happening = replace(happening, local=True)  # so that hosts need no nodes to come
        super().tell(happening)
        over = sum(max(0.0, cost - self.expected[ticket]) for ticket, cost in self.cost.items())
        assert self.spent <= self.cap + over + NOTHING

    def carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Dispatch(host=host, ticket=ticket):
                    lease = self.scheduler.dispatcher.lease(host, ticket.ticket)
                    assert lease is not None
                    self.expected[ticket.ticket] = lease.cost
                case Record(AttemptEnded() as ended):
                    self.cost[ended.ticket] = self.cost.get(ended.ticket, 0.0) + ended.device_s * PER_S
        super().carry_out(instructions)

    @property
    def spent(self) -> float:
        """By the show, in all."""
        return self.scheduler.state.settings.spent.get("s", 0.0)

    def raise_to(self, money: float) -> None:
        """The show may spend more."""
        self.cap, self.done = money, None
        self.tell(given_anew(capped(money)))


def troubled(rate: float) -> Any:
    """Some attempts raise, crash their host, or run out of memory."""

    def trouble(candidate_id: str, number: int) -> str | None:
        drawn = number_of(candidate_id, f"trouble {number}")
        return ("exception", "crash", "out_of_memory")[int(drawn / rate * 3)] if drawn < rate else None

    return trouble


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    cpus=st.integers(1, 6),
    part=st.floats(0.02, 1.2),
    times=st.floats(0.2, 6.0),
    guess=st.sampled_from([0.02, 0.1, 0.3]),
    rate=st.sampled_from([0.0, 0.1]),
    crash_rate=st.sampled_from([0.0, 0.05]),
    restart=st.integers(0, 60),
)
@example(  # a lower class waited behind running tickets while a host was being freed for a higher one
    seed=766744959, cpus=6, part=0.4123702958402397, times=4.844776699600808,
    guess=0.3, rate=0.1, crash_rate=0.05, restart=25,
)  # fmt: skip
def test_a_cap_is_passed_by_no_more_than_what_tickets_cost_beyond_what_was_expected(
    seed, cpus, part, times, guess, rate, crash_rate, restart
):
    fate = Dear(trouble=troubled(rate), times=times)
    world = PaidWorld(seed=seed, cpus=cpus, fate=fate, crash_rate=crash_rate, cap=100.0)
    for name in ("one", "two", "three"):
        stages = f"{{still: {STILLS}, animate: {CLIPS}}}" if name == "one" else f"{{still: {STILLS}}}"
        priority = "backfill" if name == "two" else "shot"
        world.submit(batch_of(stages, batch=name, priority=priority), seconds_per_candidate=guess)
    world.raise_to(part * 200 * 0.1 * PER_S)  # lowered, that is: 200 stills and some clips are wanted
    world.run(restart)
    world.start()
    assert world.run() is not None
    done = all(shot.state == "done" for shot in world.scheduler.progress())
    assert done or world.scheduler.state.settings.broke("s")
    assert done or any("it may (max_money of show_caps)" in one for one in world.done.stuck)
    world.raise_to(100.0)
    assert world.run() is not None
    assert not world.done.stuck
    assert not world.scheduler.state.settings.short


def test_money_is_spent_to_the_last_candidate_that_it_pays_for():
    world = PaidWorld(cpus=3, cap=100.0)
    world.submit(batch_of(f"{{still: {STILLS}}}"))
    world.raise_to(37.5 * STILL)
    assert world.run() is not None
    assert world.spent == pytest.approx(37 * STILL)
    assert "one more candidate of test/stills may cost 5e-05 USD" in " ".join(world.done.stuck)
    assert [shot.state for shot in world.scheduler.progress()] == ["paused", "paused"]
    assert any("nothing of it starts until there is more" in one for one in world.scheduler.explain("b", "s000"))


@dataclass
class HoursWorld(PaidWorld):
    """A world that looks at the device-hours of batch ``b`` too. ``dearest_s``: the most that one still was to take."""

    hours: float = 1.0
    dearest_s: float = 0.0

    def carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            if isinstance(instruction, Dispatch):
                lease = self.scheduler.dispatcher.lease(instruction.host, instruction.ticket.ticket)
                assert lease is not None
                self.dearest_s = max(self.dearest_s, lease.expected_s / len(lease.ticket.positions))
        super().carry_out(instructions)

    def tell(self, happening: object) -> None:
        super().tell(happening)
        over_s = sum(max(0.0, cost - self.expected[ticket]) for ticket, cost in self.cost.items()) / PER_S
        batch = self.scheduler.state.batches.get("b")
        assert batch is None or batch.device_s <= self.hours * 3600 + over_s + self.dearest_s + NOTHING


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    cpus=st.integers(1, 6),
    part=st.floats(0.02, 1.2),
    times=st.floats(0.2, 6.0),
    guess=st.sampled_from([0.02, 0.1, 3.0]),
    rate=st.sampled_from([0.0, 0.1]),
    draft=st.sampled_from(["", ", draft: {by: quality, promote: 0.4}"]),
    restart=st.integers(0, 60),
)
def test_device_hours_are_passed_by_less_than_a_candidate_beyond_what_tickets_took_too_long(
    seed, cpus, part, times, guess, rate, draft, restart
):
    hours = part * 100 * 0.1 / 3600
    world = HoursWorld(seed=seed, cpus=cpus, fate=Dear(trouble=troubled(rate), times=times), cap=100.0, hours=hours)
    still = f"{{role: text_to_image, model: test/stills, candidates: 40, wave: 10{draft}}}"
    batch = batch_of(f"{{still: {still}, animate: {CLIPS}}}", priority="dailies", budget={"device_hours": hours})
    world.submit(batch, seconds_per_candidate=guess)
    world.submit(batch_of(f"{{still: {STILLS}}}", batch="other", priority="backfill"))
    world.run(restart)
    world.start()
    assert world.run() is not None
    assert not world.done.stuck
    assert {shot.state for shot in world.scheduler.progress()} <= {"done", "starved"}
    spent = world.scheduler.state.batches["b"]
    branches = spent.branches.values()
    assert all(branch.closed is not None and not branch.phases for branch in branches)
    if not spent.spent_out:
        assert all(branch.closed.why != "budget" for branch in branches)


def test_a_guess_that_is_far_too_high_keeps_no_batch_from_its_device_hours():
    world = HoursWorld(cpus=3, cap=100.0, hours=2 / 3600)
    world.submit(batch_of(f"{{still: {STILLS}}}", budget={"device_hours": 2 / 3600}), seconds_per_candidate=60.0)
    assert world.run() is not None
    batch = world.scheduler.state.batches["b"]
    assert 2.0 <= batch.device_s < 2.0 + 2 * 0.1


def test_why_a_batch_gets_nothing_more_says_that_its_device_hours_are_under_way():
    world = HoursWorld(cpus=3, cap=100.0, hours=0.0001)
    world.submit(batch_of(f"{{still: {STILLS}}}", budget={"device_hours": 0.0001}))
    for ready in list(world.todo):
        ready()
    assert sum(len(ticket.positions) for ticket in world.dispatched) == 3
    told = " ".join(world.scheduler.explain("b", "s001"))
    assert "what b has left of its 0.0001 device-hours may all go to what runs" in told


def released(world: World) -> int:
    return sum(event.stop - event.start for event in world.log if isinstance(event, WaveReleased))


def test_no_more_waves_are_released_than_would_be_paid_for():
    batch = submission(batch_of(f"{{still: {STILLS}}}", shots=8))
    for money, there in ((100.0, 80), (4.5 * WAVE, 40), (0.5 * WAVE, 10)):
        world = PaidWorld(cpus=50, cap=money)
        world.tell(replace(batch, accepted=True))
        assert released(world) == there, "one wave of each shot, or as many as there is money for, but one in any case"


def test_what_runs_is_bound_and_what_ended_is_settled():
    world = PaidWorld(cpus=2, cap=100.0)
    world.submit(batch_of(f"{{still: {STILLS}}}"))
    world.run(10)
    purse = world.scheduler.dispatcher.fleet.purse
    out = [lease for _, lease in world.scheduler.dispatcher.fleet.leases()]
    assert out
    assert purse.tabs["s"].cost == pytest.approx(sum(lease.cost for lease in out))
    assert world.run() is not None
    assert purse.tabs == {}
    assert world.spent == pytest.approx(80 * STILL)


def test_tickets_that_are_out_cost_more_when_prices_rise():
    world = PaidWorld(cpus=2, cap=100.0)
    world.submit(batch_of(f"{{still: {STILLS}}}"))
    world.run(10)
    purse = world.scheduler.dispatcher.fleet.purse
    before = purse.tabs["s"].cost
    World.tell(world, given_anew(capped(100.0, cpu={**CPU, "price_per_hour": 7.2})))
    tickets = [lease for _, lease in world.scheduler.dispatcher.fleet.leases() if lease.ticket.ticket in world.expected]
    assert purse.tabs["s"].cost == pytest.approx(sum(lease.cost for lease in tickets))
    assert purse.tabs["s"].cost >= 2 * before - NOTHING


def test_a_show_out_of_money_takes_what_is_cheap_enough():
    world = PaidWorld(cpus=3, cap=100.0)
    world.submit(batch_of("{shoot: {role: text_to_video, model: test/clips, candidates: 6, wave: 3}}", shots=1))
    world.raise_to(0.5 * PER_S)  # half a clip
    assert world.run() is not None
    assert world.scheduler.state.settings.broke("s")
    assert not world.dispatched
    with pytest.raises(OrderRefused, match="it may cost up to"):
        world.submit(batch_of(f"{{still: {STILLS}}}", batch="dear"))
    few = "{role: text_to_image, model: test/stills, candidates: 4, wave: 4}"
    world.submit(batch_of(f"{{still: {few}}}", batch="cheap", shots=1))
    assert world.run() is not None
    assert world.spent == pytest.approx(4 * STILL)
    assert world.scheduler.state.settings.broke("s"), "the clips still wait"


@pytest.mark.parametrize("money", [0.5 * STILL, 1.5 * STILL, 7.5 * STILL])
def test_a_high_class_that_cannot_be_paid_for_keeps_no_lower_class_waiting(money: float):
    world = PaidWorld(cpus=2, cap=100.0)
    world.submit(batch_of(f"{{still: {STILLS}}}", batch="high", priority="dailies"))
    world.raise_to(money)
    world.submit(batch_of(f"{{still: {STILLS}}}", batch="other", show="t", priority="backfill"))
    assert world.run() is not None
    assert {shot.batch: shot.state for shot in world.scheduler.progress()} == {"high": "paused", "other": "done"}
    assert world.spent == pytest.approx(int(money / STILL) * STILL)


def test_a_ticket_for_a_dear_node_is_bound_at_its_price():
    two = {"spot": {**CPU, "price_per_hour": 0.36, "market": "spot", "max_nodes": 1}, "dear": CPU}
    world = ElasticWorld(farm=capped(100.0, **two))
    world.submit(batch_of(f"{{still: {STILLS}}}", shots=4, priority="dailies"))
    costs: dict[str, set[float]] = {}
    for _ in range(300):
        world.run_for(0.25)
        for host, lease in world.scheduler.dispatcher.fleet.leases():
            kind = world.scheduler.state.settings.standing.get(host.name, "")
            costs.setdefault(kind, set()).add(round(lease.cost / lease.expected_s * 3600, 6))
    assert costs
    assert all(cost == {two[kind]["price_per_hour"] / 2} for kind, cost in costs.items())


def test_batches_that_state_other_needs_for_one_model_cost_the_same_live_and_folded():
    world = PaidWorld(cpus=4, cap=100.0)
    world.submit(batch_of(f"{{still: {STILLS}}}"))
    world.submit(batch_of(f"{{still: {STILLS}}}", batch="wide"), cpus=2)  # as much as a node has: one host on it
    assert world.run() is not None
    state = world.scheduler.state
    assert [batch.money for batch in state.batches.values()] == pytest.approx([80 * STILL, 160 * STILL])
    codec, again, half = StateCodec(), folded(world.log).state, folded(world.log[: len(world.log) // 2]).state
    for event in world.log[len(world.log) // 2 :]:
        fold(half := codec.read(codec.write(half)), event)
    for other in (again, half):
        assert other.settings.spent == pytest.approx(state.settings.spent)
        assert {name: batch.money for name, batch in other.batches.items()} == pytest.approx(
            {name: batch.money for name, batch in state.batches.items()}
        )
