"""The controller's hands on Ray: hosts and stitch tasks brought up, given work, watched, and let go.

Everything here runs on the controller's one thread, except for the moment when Ray completes a call: that puts a
function into the inbox, and confirms to a host that it may begin. Nothing is decided but how a death is told: which
ticket was being generated, and whether the process or its whole machine went.

Hosts are placed by Ray's own accounting of CPUs and GPUs. Stitch tasks ask for no resources at all, and the crew runs
only a few at a time: so a farm whose every slot holds a host still stitches, and stitching never crowds out hosts.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.placement_group import PlacementGroup

from ancestra_farm.farm.clocks import Clocks
from ancestra_farm.farm.draining import Drains
from ancestra_farm.farm.host import NO_GPU, ONE_THREAD, Host
from ancestra_farm.farm.news import Inbox
from ancestra_farm.farm.nodes import nodes_up, slots_of
from ancestra_farm.farm.notices import Notice
from ancestra_farm.farm.placing import give_back, options_of
from ancestra_farm.farm.stitching import failed_stitch, stitch_and_publish
from ancestra_farm.plan.events import Cause, Event
from ancestra_farm.scheduler.world import (
    BlockNodes,
    Dispatch,
    DrainNode,
    Happening,
    HostLost,
    HostPlaced,
    HostReady,
    KillHost,
    Revoke,
    SlotsChanged,
    StartHost,
    StitchJob,
    StitchReturned,
    StopHost,
    TicketEnded,
    TicketStarted,
)

#: A host that was let go gets so long to hand in the rest of its clock.
CLOSE_PATIENCE_S = 10.0
#: Ray tries a stitch again when its worker or node dies; publishing twice fills the same version.
STITCH_RETRIES = 2

Then = Callable[[Any, BaseException | None], Happening | None]


@dataclass(slots=True)
class _Member:
    """A host of ours. ``tickets``: dispatch time by ticket id, in order.

    ``started``: those whose generation began, in order; ``revoked``: those taken back. Both are looked at and changed
    under `Crew._starting`, since Ray's threads begin tickets; the rest is the loop's. ``timed_at``: when its clock was
    last read, or asked for.
    """

    name: str
    model: str
    actor: Any
    group: PlacementGroup | None
    timed_at: float
    node: str | None = None
    ready: bool = False
    stopping: bool = False
    closing_since: float | None = None
    tickets: dict[str, float] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)

    def generating(self) -> str | None:
        """The ticket it is generating: the last that began, else the first in line (the news may not be here yet)."""
        return next(
            (ticket for ticket in reversed(self.started) if ticket in self.tickets), next(iter(self.tickets), None)
        )


class Crew:
    """Hosts and stitches of one controller. ``at_most``: hosts on CPU slots, None: as many as there are CPUs.

    ``stitches``: how many run at once. ``faults``: an `Injection` as JSON for its hosts; empty: none. ``local``: Ray is
    one of our own, for the length of a run. ``on_ticket(model, stage, seconds)`` is told how long each ticket took.
    """

    def __init__(
        self,
        inbox: Inbox,
        store_url: str,
        *,
        at_most: int | None = None,
        stitches: int = 2,
        faults: str = "",
        local: bool = False,
        on_ticket: Callable[[str, str, float], None] = lambda _model, _stage, _seconds: None,
    ) -> None:
        self._inbox = inbox
        self._store_url = store_url
        self._at_most = at_most
        self._stitches = stitches
        self._faults = faults
        self._local = local
        self._on_ticket = on_ticket
        self._drains = Drains(ray.get_runtime_context().get_node_id(), inbox.put)
        self._members: dict[str, _Member] = {}
        self._starting = threading.Lock()
        self._last_words: list[Event] = []
        self._clocks = Clocks()
        self._stitch_queue: deque[StitchJob] = deque()
        self._stitching = 0

    # ---- hosts -----------------------------------------------------------------------------------------------------

    def slots(self) -> SlotsChanged:
        """The CPUs and GPUs that Ray counts now, on machines that stay and that nobody has blocked."""
        return slots_of(nodes_up(), self._drains.unusable, self._at_most, local=self._local)

    def start(self, order: StartHost) -> None:
        """Ask Ray for an actor and have it load its model."""
        environment = ONE_THREAD if order.gpus else ONE_THREAD | NO_GPU
        options, group = options_of(order, self._drains.avoided)
        actor = Host.options(  # type: ignore[attr-defined] # an actor class
            runtime_env={"env_vars": environment}, **options
        ).remote(order.host, order.card, self._store_url, self._faults)
        self._members[order.host] = _Member(order.host, order.model, actor, group, time.monotonic())
        self._watch(actor.where.remote(), lambda node, _: self._placed(order.host, node))
        self._watch(actor.notice.remote(), lambda heard, _: self._noticed(heard))
        self._watch(actor.setup.remote(), lambda load_s, error: self._set_up(order.host, load_s, error))
        self._watch(actor.stay.remote(), lambda _, error: self._gone(order.host, error))

    def stop(self, order: StopHost) -> None:
        """Let a host go when it holds nothing."""
        member = self._members.get(order.host)
        if member is not None:
            member.stopping = True
            self._release(member)

    def kill(self, order: KillHost) -> None:
        """End a host's process now; nothing it still does counts."""
        member = self._members.pop(order.host, None)
        if member is not None:
            ray.kill(member.actor, no_restart=True)
            give_back(member.group)
            lost = HostLost(order.host, "deadline", order.why, member.generating())
            self._inbox.put(lambda: lost)

    def block(self, order: BlockNodes) -> None:
        """Place no host on these machines from now on, and count none of their slots."""
        self._drains.blocked = frozenset(order.nodes)

    def drain(self, order: DrainNode) -> None:
        """Have Ray give a machine back once it is empty. Orders that stand are told again at every start."""
        self._drains.owe(order.node, order.why, None)

    def dispatch(self, order: Dispatch, *, owed: bool) -> None:
        """Send a ticket to a host, and ask to be told when its generation begins."""
        member = self._members.get(order.host)
        if member is None:
            return  # it died; the news is on its way
        ticket = order.ticket
        member.tickets[ticket.ticket] = time.monotonic()
        member.stages[ticket.ticket] = ticket.space.stage
        self._watch(
            member.actor.work.remote(ticket, owed),
            lambda reply, error: self._ticket_ended(order.host, ticket.ticket, reply, error),
        )
        self._ask_started(member, ticket.ticket)

    def revoke(self, order: Revoke) -> None:
        """Take a ticket back; its reply ends it. One that has not begun by now never does."""
        member = self._members.get(order.host)
        if member is not None:
            with self._starting:
                member.revoked.add(order.ticket)
            member.actor.revoke.remote(order.ticket)

    @property
    def unfinished(self) -> int:
        """Tickets that hosts hold."""
        return sum(len(member.tickets) for member in self._members.values())

    @property
    def hosts(self) -> dict[str, tuple[int, int]]:
        """(ready, starting) hosts by model."""
        counts: dict[str, tuple[int, int]] = {}
        for member in self._members.values():
            ready, starting = counts.get(member.model, (0, 0))
            counts[member.model] = (ready + member.ready, starting + (not member.ready))
        return counts

    @property
    def tickets(self) -> dict[str, int]:
        """Tickets that hosts hold, by model."""
        counts: dict[str, int] = {}
        for member in self._members.values():
            counts[member.model] = counts.get(member.model, 0) + len(member.tickets)
        return counts

    def look_after(self) -> None:
        """End hosts that were let go and do not close, hear of machines that go away, and read clocks."""
        self._drains.look()
        now = time.monotonic()
        self._read_clocks(now)
        for member in list(self._members.values()):
            if member.closing_since is not None and now - member.closing_since > CLOSE_PATIENCE_S:
                self._drop(member)

    def _read_clocks(self, now: float) -> None:
        """Ask hosts whose clocks stand still in the log."""
        placed = {
            member.name: member.timed_at
            for member in self._members.values()
            if member.node is not None and not member.closing_since
        }
        quiet = all(member.ready and not member.tickets for member in self._members.values())
        for name in self._clocks.to_ask(placed, now, quiet=quiet):
            member = self._members[name]
            member.timed_at = now
            self._watch(member.actor.clock.remote(), lambda timing, _error: self._clocks.answered(timing))

    def last_words(self) -> Sequence[Event]:
        """The clock stretches that came with no ticket since the last call."""
        words, self._last_words = self._last_words, []
        closing = all(member.stopping for member in self._members.values())
        return [*words, *self._clocks.take(time.monotonic(), last=closing)]

    def let_go(self) -> bool:
        """Ask every host that holds nothing to close; whether all are gone."""
        for member in list(self._members.values()):
            member.stopping = True
            self._release(member)
        return not self._members

    def close(self) -> None:
        """End every host at once."""
        for member in list(self._members.values()):
            self._drop(member)
        self._stitch_queue.clear()

    # ---- what comes back -------------------------------------------------------------------------------------------

    def _placed(self, host: str, node: str | None) -> Happening | None:
        member = self._members.get(host)
        if member is None or node is None:
            return None  # its death is told by `_gone`
        member.node = node
        return HostPlaced(host, node)

    def _noticed(self, heard: tuple[str, Notice] | None) -> Happening | None:
        return None if heard is None else self._drains.noticed(*heard)

    def _set_up(self, host: str, load_s: float, error: BaseException | None) -> Happening | None:
        member = self._members.get(host)
        if member is None or isinstance(error, RayActorError):
            return None  # its death is told by `_gone`
        if error is not None:
            self._drop(member)
            return HostLost(host, "crash", f"{member.model} did not come up: {_told(error)}")
        member.ready = True
        return HostReady(host, load_s)

    def _gone(self, host: str, error: BaseException | None) -> Happening | None:
        """The long call of a host failed: it is dead, or cannot be reached, which comes to the same."""
        member = self._members.get(host)
        if member is None:
            return None
        self._drop(member)
        lost = HostLost(host, cause_of_death(error), _told(error), member.generating())
        if member.node is None or lost.cause == "crash":
            return lost
        self._drains.lost(member.node, lambda: lost)  # told once it is known where another may come up
        return None

    def _ask_started(self, member: _Member, ticket: str) -> None:
        def noted(future: "Future[Any]") -> None:
            # At once, on Ray's thread: the host waits for it, and if the generation ends the host, this was before.
            if future.exception() is not None or not future.result():
                return
            with self._starting:
                if ticket in member.revoked:
                    return  # the host waits for an answer, and its revocation, which is on the way, is one
                member.started.append(ticket)
            member.actor.confirm.remote(ticket)

        ref = member.actor.wait_started.remote(ticket)
        ref.future().add_done_callback(noted)
        self._watch(ref, lambda began, error: self._ticket_started(member.name, ticket, began, error))

    def _ticket_started(
        self,
        host: str,
        ticket: str,
        began: bool | None,  # noqa: FBT001 - the reply of a call
        error: BaseException | None,
    ) -> Happening | None:
        member = self._members.get(host)
        if member is None or ticket not in member.tickets or error is not None:
            return None
        if began is None:
            self._ask_started(member, ticket)
        return TicketStarted(host, ticket) if ticket in member.started else None

    def _ticket_ended(
        self, host: str, ticket: str, reply: TicketEnded | None, error: BaseException | None
    ) -> Happening | None:
        member = self._members.get(host)
        if member is None:
            return reply  # too late to count, but what it cost is on its clock
        if isinstance(error, RayActorError):
            return None  # its death is told by `_gone`
        if error is not None or reply is None:
            # The pipeline turns every failure it knows into rows: what is raised here is a host out of order.
            self._drop(member)
            return HostLost(host, "crash", _told(error), member.generating())
        member.timed_at = time.monotonic()
        seconds = member.timed_at - member.tickets.pop(ticket)
        self._on_ticket(member.model, member.stages.pop(ticket), seconds)
        with self._starting:
            member.revoked.discard(ticket)
            if ticket in member.started:
                member.started.remove(ticket)
        self._release(member)
        return reply

    def _release(self, member: _Member) -> None:
        if not member.stopping or member.tickets or member.closing_since is not None:
            return
        if not member.ready:
            self._drop(member)
            return
        member.closing_since = time.monotonic()
        self._watch(member.actor.close.remote(), lambda timing, _error: self._closed(member, timing))

    def _closed(self, member: _Member, timing: Event | None) -> None:
        if timing is not None:
            self._last_words.append(timing)
        self._drop(member)

    def _drop(self, member: _Member) -> None:
        if self._members.pop(member.name, None) is not None:
            ray.kill(member.actor, no_restart=True)
            give_back(member.group)

    # ---- stitches --------------------------------------------------------------------------------------------------

    def stitch(self, job: StitchJob) -> None:
        """Stitch and publish as soon as there is room."""
        self._stitch_queue.append(job)
        self._start_stitches()

    def _start_stitches(self) -> None:
        while self._stitch_queue and self._stitching < self._stitches:
            job = self._stitch_queue.popleft()
            self._stitching += 1
            ref = stitch_and_publish.options(max_retries=STITCH_RETRIES).remote(job, self._store_url)
            self._watch(ref, partial(self._stitched, job))

    def _stitched(self, job: StitchJob, result: Any, error: BaseException | None) -> Happening:  # noqa: ANN401 - from Ray
        self._stitching -= 1
        self._start_stitches()
        return StitchReturned(failed_stitch(job, _told(error))) if error is not None else result

    def _watch(self, ref: Any, then: Then) -> None:  # noqa: ANN401 - an ObjectRef
        """Put ``then(result, error)`` into the inbox when the call is done."""

        def completed(future: "Future[Any]") -> None:
            error = future.exception()
            result = None if error is not None else future.result()
            self._inbox.put(lambda: then(result, error))

        ref.future().add_done_callback(completed)


def cause_of_death(error: BaseException | None) -> Cause:
    """Whether a process ended (``crash``: maybe its candidate's doing) or its machine went (``host_lost``: surely not).

    Ray tells by message only: `ActorDiedError` is raised for both, and for actors that restart, and its ``preempted``
    is never reset. Anything but the end of the process itself counts as the machine's loss, which charges nobody.
    """
    text = str(error)
    ended = "worker process has died" in text or "Worker exit type" in text
    return "crash" if ended and "node has died" not in text else "host_lost"


def _told(error: BaseException | None) -> str:
    """One line for a row. Ray's own messages run to a page; the cause of a remote exception is what matters."""
    cause = error.cause if isinstance(error, RayTaskError) and error.cause is not None else error
    text = next((line.strip() for line in reversed(str(cause).splitlines()) if line.strip()), "")
    if isinstance(error, RayError) and not isinstance(error, RayTaskError):
        text = " ".join(str(cause).split())
    return f"{type(cause).__name__}: {text}"[:500]
