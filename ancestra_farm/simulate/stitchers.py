"""Stitch tasks in virtual time: a few at once, each a while, some failing, some finding a seam that does not hold."""

from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import pairwise

from ancestra_farm.plan.events import StitchEnded
from ancestra_farm.scheduler.world import Happening, Stitch, StitchJob, StitchReturned
from ancestra_farm.simulate.chance import Chance, lognormal
from ancestra_farm.simulate.clock import Clock
from ancestra_farm.simulate.scenario import Scenario
from ancestra_farm.simulate.shelves import SAYS, Shelves


class VirtualStitchers:
    """The stitches of one controller; the next one has its own. ``tries``: of each stitch so far, whoever asked."""

    def __init__(
        self,
        scenario: Scenario,
        clock: Clock,
        tries: dict[str, int],
        shelves: Shelves,
        tell: Callable[[Happening], None],
    ) -> None:
        self._scenario = scenario
        self._clock = clock
        self._tries = tries
        self._shelves = shelves
        self._tell = tell
        self._chance = Chance(scenario.seed, "stitches")
        self._queue: deque[StitchJob] = deque()
        self._running = 0
        self._open = True

    def close(self) -> None:
        """The controller is gone: nothing that still comes back is heard."""
        self._open = False

    def stitch(self, order: Stitch) -> None:
        """Stitch as soon as there is room."""
        self._queue.append(order.job)
        self._start()

    def _start(self) -> None:
        while self._queue and self._running < self._scenario.stitches:
            job = self._queue.popleft()
            self._running += 1
            name = f"{job.batch}/{job.stitch_id}"
            tried = self._tries[name] = self._tries.get(name, 0) + 1
            numbers = self._chance.several(name, tried)
            seconds = self._scenario.stitch_s * lognormal(numbers[0], numbers[1], self._scenario.spread)
            self._clock.after(seconds, partial(self._ended, job, numbers[2], seconds))

    def _ended(self, job: StitchJob, lot: float, seconds: float) -> None:
        if not self._open:
            return
        self._running -= 1
        self._start()
        faults = self._scenario.faults
        unstored = "" if self._shelves.take(self._clock.now) else SAYS
        bad = next((pair for pair in pairwise(job.chain) if self._chance.of(*pair) < faults.bad_seams), None)
        failed = bad is None and lot < faults.failed_stitches
        ok = bad is None and not failed
        self._tell(
            StitchReturned(
                StitchEnded(
                    batch=job.batch,
                    shot=job.shot,
                    stitch_id=job.stitch_id,
                    version=job.version,
                    ok=ok,
                    frames=job.frames if ok else 0,
                    at=self._clock.now,
                    bad_pair=bad,
                    message="simulated failure" if failed else "",
                    seconds=seconds,
                ),
                unstored,
            )
        )
