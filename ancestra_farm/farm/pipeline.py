"""What a host does with tickets: generate ∥ judge ∥ write, so that the device never waits for a disk.

While one candidate is generated, earlier ones are judged and written on threads behind bounded queues; while the last
of a ticket are, the next ticket generates already. Nothing here knows Ray: `host` puts an actor around it.

It decides nothing about candidates beyond the call size that fits the device's memory: what failed and why goes back
as rows, and the scheduler decides. An exception of one candidate is that one's row; the rest of the ticket goes on.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from queue import Queue
from typing import NamedTuple

import numpy as np

from ancestra_farm.farm.judging import cascade_of, unguided
from ancestra_farm.farm.lease import Judge, Lease
from ancestra_farm.farm.parents import ParentFrames
from ancestra_farm.farm.stretch import StretchClock
from ancestra_farm.filters.protocol import Flow
from ancestra_farm.ledger.errors import StoreError, StoreUnavailable
from ancestra_farm.ledger.points import reached
from ancestra_farm.ledger.store import Store
from ancestra_farm.models.protocol import Aborted, Frames, Generator, Made, OutOfMemory
from ancestra_farm.plan.events import AttemptEnded, Cause
from ancestra_farm.plan.farm_events import HostTimed
from ancestra_farm.plan.recipe import Recipe
from ancestra_farm.scheduler.world import Ticket, TicketEnded
from ancestra_farm.stitch.codec import encode_frames
from ancestra_farm.stitch.thumbnails import SHEET_SUFFIX, thumbnail, thumbnail_sheet

#: What waits between two steps: enough to smooth over a slow one, few enough that 4K clips fit in memory.
QUEUE_DEPTH = 4
#: Candidates that are made faster than this are handed on together: threads that wake each other for every single one
#: would take longer over that than over a small picture.
HAND_ON_S = 0.02
#: A candidate that was broken off has a row, for what it cost, if the device was held for it for so long.
LEAST_CHARGED_S = 0.1
#: Revoked and ended tickets that are remembered: calls about a ticket may overtake it, or come after it.
REMEMBERED = 256
#: Seconds before each further try to write; where the store is in trouble for longer, what was made is made again.
WRITE_RETRIES_S = (0.2, 1.0, 3.0)


class _Judging(NamedTuple):
    lease: Lease
    made: list[tuple[int, Made]]


class _Writing(NamedTuple):
    lease: Lease
    position: int
    recipe: Recipe
    row: AttemptEnded
    frames: Frames


class Pipeline:
    """One model on one device, and the threads around it.

    ``host`` and ``pool`` name it in rows. ``judge_of`` makes a ticket's judge. ``writers``: threads that encode and
    write; judging has one thread of its own. ``guide_of``: how a recipe's clip is to move. ``asks``: a generation
    begins when it is confirmed, and not before.
    """

    def __init__(
        self,
        host: str,
        pool: str,
        generator: Generator,
        store: Store,
        *,
        judge_of: Callable[[Ticket], Judge] = cascade_of,
        guide_of: Callable[[Recipe], Flow | None] = unguided,
        writers: int = 2,
        asks: bool = False,
        at: Callable[[], float] = time.time,
    ) -> None:
        self._host = host
        self._generator = generator
        self._store = store
        self._judge_of = judge_of
        self._guide_of = guide_of
        self._asks = asks
        self._at = at
        self._clock = StretchClock(pool, host)
        self._parents = ParentFrames(store)
        self._turn = threading.Condition()
        self._generating = False
        self._leases: dict[str, Lease] = {}
        self._revoked: deque[str] = deque(maxlen=REMEMBERED)
        self._past: deque[str] = deque(maxlen=REMEMBERED)
        self._closing = False
        self._store_failed = False
        self._call_sizes: dict[tuple[tuple[int, int], int], int] = {}
        self._judging: Queue[_Judging | None] = Queue(QUEUE_DEPTH)
        self._writing: Queue[_Writing | None] = Queue(QUEUE_DEPTH)
        work = [self._judge_all, *[self._write_all] * writers]
        self._threads = [threading.Thread(target=target, daemon=True) for target in work]
        for thread in self._threads:
            thread.start()

    # ---- what the host is told -------------------------------------------------------------------------------------

    def setup(self) -> float:
        """Load the model and warm up; the seconds it took. Raises whatever the generator raises."""
        self._clock.switch("loading")
        before = time.monotonic()
        try:
            self._generator.setup()
        finally:
            self._clock.switch("idle")
        return time.monotonic() - before

    def work(self, ticket: Ticket, *, owed: bool = False) -> TicketEnded:
        """Work off one ticket and return its rows; blocks. Called from one thread per ticket, in the order of tickets.

        ``owed``: the pool had work while this host waited for this ticket. A ticket revoked before its turn comes back
        without rows, and so does what a revoked or aborted ticket had not begun. What it broke off has a row that says
        how long the device was held for it.
        """
        if owed:
            self._clock.owed()
        lease = Lease(ticket, self._host, self._at)
        with self._turn:
            self._leases[ticket.ticket] = lease
            self._clock_rest()
            self._turn.notify_all()
        device_s = 0.0
        try:
            if self._take_turn(ticket):
                reached("host.before_ticket")
                device_s = self._generate_in_turn(lease)
            lease.wait()
            rows = lease.reply(device_s, self._write_sheet(lease))
            reached("host.before_reply")
        finally:
            with self._turn:
                lease.over()
                del self._leases[ticket.ticket]
                self._past.append(ticket.ticket)
                self._clock_rest()
                self._turn.notify_all()
        return TicketEnded(self._host, ticket.ticket, rows, self._clock.take(ticket.batch, self._at()))

    def wait_started(self, ticket: str, patience_s: float = 30.0) -> bool | None:
        """Wait until generation of a ticket begins: True; False when it is over, or never came here; None: not yet."""
        with self._turn:
            # The question may overtake the ticket on its way here.
            if not self._turn.wait_for(lambda: ticket in self._leases or ticket in self._past, patience_s):
                return None
            lease = self._leases.get(ticket)
        return False if lease is None else lease.wait_started(patience_s)

    def confirm(self, ticket: str) -> None:
        """It is known that this ticket's generation begins: if it ends this process, no other ticket is blamed.

        Not said of a ticket that is being taken back, so that what was revoked in time never begins.
        """
        self._answer(ticket, begin=True)

    def revoke(self, ticket: str) -> None:
        """Take a ticket back: one that waits does not start; one that runs stops at its next step."""
        with self._turn:
            self._revoked.append(ticket)
            self._turn.notify_all()
        self._answer(ticket, begin=False)

    def _answer(self, ticket: str, *, begin: bool) -> None:
        with self._turn:
            lease = self._leases.get(ticket)
        if lease is not None:
            lease.answer(begin)

    def clock(self) -> HostTimed:
        """What the clock has come to since it was last read, charged to no batch."""
        return self._clock.take("", self._at())

    def close(self, batch: str = "") -> HostTimed:
        """Stop the threads, free the device; the last stretch of the clock. Running tickets are aborted first."""
        with self._turn:
            self._closing = True
            for lease in self._leases.values():
                lease.answer(begin=False)
            self._turn.notify_all()
            self._turn.wait_for(lambda: not self._leases)
        self._judging.put(None)
        for _ in self._threads[1:]:
            self._writing.put(None)
        for thread in self._threads:
            thread.join()
        self._generator.close()
        return self._clock.take(batch, self._at())

    # ---- generating ------------------------------------------------------------------------------------------------

    def _take_turn(self, ticket: Ticket) -> bool:
        """Wait for the device; False if the ticket was taken back first."""
        with self._turn:
            self._turn.wait_for(lambda: not self._generating or self._is_revoked(ticket.ticket))
            if self._is_revoked(ticket.ticket):
                return False
            self._generating = True
            return True

    def _generate_in_turn(self, lease: Lease) -> float:
        """Generate a whole ticket; seconds the device was held for it."""
        self._clock.switch("starved")
        before = time.monotonic()
        try:
            lease.start()
            if not self._asks or lease.wait_answered():
                self._generate(lease)
        finally:
            with self._turn:
                self._generating = False
                self._clock_rest()
                self._turn.notify_all()
        return time.monotonic() - before

    def _generate(self, lease: Lease) -> None:
        waiting: deque[tuple[int, Recipe]] = deque()
        try:
            waiting.extend(lease.recipes())
            lease.judge = self._judge_of(lease.ticket)
            parents = self._parents.frames(lease.ticket.parents)
            while waiting and not self._is_over(lease):
                self._call(lease, waiting, parents)
        except Aborted:
            return
        except Exception as error:  # noqa: BLE001 - whatever it was, it is a row of each candidate it kept from being made
            for position, recipe in waiting:
                lease.expect({position: 0.0})
                lease.fail(position, recipe, _whose(error), _told(error))

    def _call(self, lease: Lease, waiting: deque[tuple[int, Recipe]], parents: dict[str, Frames]) -> None:
        """One call of the generator; takes from ``waiting`` what has an end: made, or an exception of its own."""
        shape = (waiting[0][1].size, waiting[0][1].frames)
        size = min(len(waiting), self._call_sizes.get(shape, len(waiting)))
        call = [waiting[n][1] for n in range(size)]
        needed = {name: parents[name] for recipe in call for name in recipe.parents}
        since = handed_on = time.monotonic()
        done: list[tuple[int, Made]] = []
        count = 0
        made_all = self._generator.generate(call, needed, lambda: self._is_over(lease))
        try:
            for recipe in call:
                made = self._next(made_all, recipe)
                position, _ = waiting.popleft()
                done.append((position, made))
                count += 1
                since = time.monotonic()
                if since - handed_on >= HAND_ON_S:
                    self._hand_on(lease, done)
                    done, since = [], time.monotonic()
                    handed_on = since
        except (OutOfMemory, MemoryError) as error:
            if size == 1 or (isinstance(error, OutOfMemory) and error.alone):
                self._failed(lease, waiting, "out_of_memory", error, since)
            else:  # nobody is charged: what does not fit together is tried again in halves, here and from now on
                self._call_sizes[shape] = max(1, (size - count) // 2)
        except Aborted as broken_off:
            if time.monotonic() - since >= LEAST_CHARGED_S:
                self._failed(lease, waiting, "aborted", broken_off, since)
            raise
        except Exception as error:  # noqa: BLE001 - a generator may raise anything; it is this candidate's row
            self._failed(lease, waiting, _whose(error), error, since)
        finally:
            if done:
                self._hand_on(lease, done)
            if hasattr(made_all, "close"):
                made_all.close()

    def _hand_on(self, lease: Lease, made: list[tuple[int, Made]]) -> None:
        lease.expect({position: each.generate_s for position, each in made})
        self._judging.put(_Judging(lease, made))

    def _next(self, made_all: Iterator[Made], expected: Recipe) -> Made:
        self._clock.switch("busy")
        try:
            made = next(made_all, None)
        finally:
            self._clock.switch("starved")
        if made is None:
            raise RuntimeError("the generator ended before this candidate, without saying why")
        if made.recipe.candidate_id != expected.candidate_id:
            raise RuntimeError(f"the generator made {made.recipe.candidate_id} where this candidate was next")
        return made

    def _failed(
        self, lease: Lease, waiting: deque[tuple[int, Recipe]], cause: Cause, error: BaseException, since: float
    ) -> None:
        position, recipe = waiting.popleft()
        lease.expect({position: time.monotonic() - since})
        lease.fail(position, recipe, cause, _told(error))

    def _is_over(self, lease: Lease) -> bool:
        """Nothing more is to be generated for a ticket: it was taken back, or what comes of it cannot be kept."""
        return lease.unstored or self._is_revoked(lease.ticket.ticket)

    def _is_revoked(self, ticket: str) -> bool:
        return self._closing or ticket in self._revoked

    def _clock_rest(self) -> None:
        """While nothing is generated, the device is starved if a ticket is here, else idle."""
        if not self._generating:
            self._clock.switch("starved" if self._leases else "idle")

    # ---- judging and writing ---------------------------------------------------------------------------------------

    def _judge_all(self) -> None:
        while (item := self._judging.get()) is not None:
            done = []
            for position, made in item.made:
                try:
                    row = self._judge(item.lease, position, made)
                except Exception as error:  # noqa: BLE001 - a filter that fails is this candidate's row, not this thread's end
                    item.lease.fail(position, made.recipe, _whose(error), _told(error))
                else:
                    done.extend([] if row is None else [row])
            item.lease.finish(*done)

    def _judge(self, lease: Lease, position: int, made: Made) -> AttemptEnded | None:
        """The row of a candidate that is done with; None: it is being written."""
        assert lease.judge is not None
        before = time.monotonic()
        guide = self._guide_of(made.recipe)
        given = (made.recipe.candidate_id, made.frames)
        judgement = lease.judge(*given) if guide is None else lease.judge(*given, guide)
        row = lease.judged(position, made, judgement, time.monotonic() - before)
        lease.show(position, thumbnail(made.frames))
        wanted = row.passed or lease.ticket.keep_rejects or lease.ticket.by_word
        if wanted and bool(np.isfinite(made.frames).all()):
            self._writing.put(_Writing(lease, position, made.recipe, row, made.frames))
            return None
        if row.passed:
            return replace(row, passed=False, reasons=("nan",), message="the frames are not finite")
        return row

    def _write_all(self) -> None:
        while (item := self._writing.get()) is not None:
            try:
                data, suffix = encode_frames(item.frames, item.recipe.rate)
                path = self._put(data, suffix)
            except StoreError as error:
                # Not the candidate's doing: it goes back, to be tried when, and where, the store can be written to.
                item.lease.fail(item.position, item.recipe, "store", f"not written: {_told(error)}")
            except Exception as error:  # noqa: BLE001 - what cannot be encoded is this candidate's row
                item.lease.fail(item.position, item.recipe, "exception", _told(error))
            else:
                reached("host.after_media_before_row")
                item.lease.finish(replace(item.row, media=path))

    def _write_sheet(self, lease: Lease) -> dict[int, str]:
        """One picture with a thumbnail of each judged candidate; its place by position. Empty if it was not written."""
        positions, pictures = lease.thumbnails()
        if not positions:
            return {}
        with contextlib.suppress(StoreError):
            # Without thumbnails the candidates are still good, and both can be made again.
            sheet, places = thumbnail_sheet(pictures)
            path = self._put(sheet, SHEET_SUFFIX)
            return {
                position: f"{path}#xywh={x},{y},{width},{height}"
                for position, (x, y, width, height) in zip(positions, places, strict=True)
            }
        return {}

    def _put(self, data: bytes, suffix: str) -> str:
        # Where the last write failed to the end, the next is tried once: a ticket of hundreds must not miss its
        # deadline over it.
        for wait_s in (*(() if self._store_failed else WRITE_RETRIES_S), None):
            try:
                path = self._store.put_media(data, suffix)
            except StoreError:
                if wait_s is None:
                    self._store_failed = True
                    raise
                time.sleep(wait_s)
            else:
                self._store_failed = False
                return path
        raise AssertionError("the last try returns or raises")


def _whose(error: Exception) -> Cause:
    """What an error is laid to: inputs and guides are read from the store as well."""
    return "store" if isinstance(error, StoreUnavailable) else "exception"


def _told(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
