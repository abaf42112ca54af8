"""A store that is full or away is nobody's fault: whoever it failed waits, says why, and goes on by itself."""

from dataclasses import dataclass, field, replace
from itertools import pairwise

from ancestra_farm.api.nodes import whereabouts
from ancestra_farm.plan.events import AttemptEnded, CandidateGivenUp, StitchEnded
from ancestra_farm.scheduler.world import Revoke, StitchReturned
from tests.scheduler.timed import TimedWorld
from tests.scheduler.world import CLIPS, STILLS, Fate, batch_of, finished

BATCH = batch_of(f"{{still: {STILLS}}}", shots=2)
SAYS = "not written: StoreFull: No space left on device"


@dataclass
class Full(Fate):
    """The store takes nothing from these hosts; ``everywhere``: from none. ``rejects``: all that is judged is."""

    hosts: set[str] = field(default_factory=set)
    everywhere: bool = False
    rejects: bool = False

    def attempt(self, ticket, position, host, now, number, of):
        made = super().attempt(ticket, position, host, now, number, of)
        if not (self.everywhere or host in self.hosts) or (made.media is None and not self.rejects):
            return (
                replace(made, passed=False, reasons=("dull",), media=None, thumbnail="s#xywh=0,0,8,8")
                if self.rejects
                else made
            )
        return replace(made, cause="store", passed=False, scores={}, filter_s={}, media=None, message=SAYS)


def unwritten(world):
    return [event for event in world.log if isinstance(event, AttemptEnded) and event.cause == "store"]


def test_a_full_disk_charges_nobody_and_the_work_goes_on_when_there_is_space():
    world = TimedWorld(cpus=4, fate=Full(everywhere=True))
    world.submit(BATCH)
    assert world.run_for(3600.0) is None
    results = [
        result
        for branch in world.scheduler.state.batches["b"].branches.values()
        for result in branch.results["full"].values()
    ]
    assert unwritten(world)
    assert not any(isinstance(event, CandidateGivenUp) for event in world.log)
    assert all((result.losses, result.strikes, result.cause) == (0, 0, None) for result in results)
    world.fate.everywhere = False
    assert world.run()
    calm = finished(BATCH)
    assert world.survivors() == calm.survivors()
    assert world.results() == calm.results()


def test_a_host_that_the_store_failed_waits_twice_as_long_each_time_and_the_reason_is_told():
    world = TimedWorld(cpus=1, fate=Full(everywhere=True))
    world.submit(BATCH)
    world.run_for(3600.0)
    tunables = world.scheduler.tunables
    gaps = [later.at - earlier.at for earlier, later in pairwise(world.begun)][1:]  # it held two tickets at first
    waits_s = [min(tunables.store_wait_s * 2**n, tunables.store_wait_most_s) for n in range(len(gaps))]
    assert len(gaps) > 20
    assert all(wait_s <= gap < wait_s + 5 for gap, wait_s in zip(gaps, waits_s, strict=True))
    (said,) = (text for text in world.scheduler.explain("b", "s000") if "No space left" in text)
    assert "the store failed 1 of 1 host" in said
    assert "nobody is charged" in said
    world.fate.everywhere = False
    world.run_for(2 * tunables.store_wait_most_s)
    assert not any("No space left" in text for text in world.scheduler.explain("b", "s000"))


def test_a_host_whose_thumbnails_are_written_again_has_its_next_ticket_though_all_it_makes_is_rejected():
    world = TimedWorld(cpus=1, fate=Full(everywhere=True, rejects=True))
    world.submit(BATCH)
    world.run_for(60.0)
    (host,) = world.scheduler.dispatcher.fleet.hosts.values()
    assert host.unstored or host.trying
    world.fate.everywhere = False
    began = len(world.begun)
    while len(world.begun) < began + 2:
        world.run_for(1.0)
    assert not host.unstored
    assert not host.trying


def test_one_host_that_cannot_write_holds_up_nobody_and_hands_on_what_it_has_not_begun():
    world = TimedWorld(cpus=3, fate=Full())
    world.submit(BATCH)
    world.run_for(5.5)  # they have come up, and hold two tickets each
    ((broken, _), *_) = world.machines.items()
    world.fate.hosts.add(broken)
    told = []
    carry_out = world.carry_out
    world.carry_out = lambda instructions: (told.extend(instructions), carry_out(instructions))
    assert world.run_for(600.0)
    calm = finished(BATCH)
    assert world.survivors() == calm.survivors()
    assert {event.host for event in unwritten(world)} == {broken}
    assert any(isinstance(instruction, Revoke) and instruction.host == broken for instruction in told)
    began = [begun for begun in world.begun if begun.host == broken]
    assert len(began) < len(world.begun) / 4


@dataclass
class Stitching(TimedWorld):
    """``full``: what is stitched cannot be written."""

    full: bool = True

    def _stitched(self, stitch):
        job = stitch.job
        if not self.full:
            super()._stitched(stitch)
            return
        ended = StitchEnded(job.batch, job.shot, job.stitch_id, job.version, False, 0, self.now, message=SAYS)
        self.tell(StitchReturned(ended, unstored=SAYS))


def test_a_stitch_that_cannot_be_written_is_not_given_up_and_waits():
    clips = batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=1)
    world = Stitching(cpus=2)
    world.submit(clips)
    assert world.run_for(3600.0) is None
    assert not any(isinstance(event, StitchEnded) for event in world.log)
    assert any("waits to be stitched again" in text and SAYS in text for text in world.scheduler.explain("b", "s000"))
    (said,) = whereabouts(world.scheduler).unstored
    assert said == f"the store failed 1 stitch ({SAYS}); they try again"
    world.full = False
    assert world.run_for(2 * world.scheduler.tunables.store_wait_most_s)
    assert all(event.ok for event in world.log if isinstance(event, StitchEnded))
    assert whereabouts(world.scheduler).unstored == ()
    assert world.scheduler.progress()[0].versions == finished(clips).scheduler.progress()[0].versions != ()
