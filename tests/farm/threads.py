"""A farm without Ray: hosts are pipelines on threads of this process, stitches run where they are asked for."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.farm.control import ControlLoop
from ancestra_farm.farm.news import Asked, Inbox
from ancestra_farm.farm.pipeline import Pipeline
from ancestra_farm.farm.run import checked_submission
from ancestra_farm.farm.stitching import stitched
from ancestra_farm.farm.upkeep import Upkeep
from ancestra_farm.ledger.liveness import Presence
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.models.build import build_generator
from ancestra_farm.plan.events import Event, WaveReleased
from ancestra_farm.scheduler.scheduler import Scheduler
from ancestra_farm.scheduler.world import (
    BlockNodes,
    Dispatch,
    DrainNode,
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
from ancestra_farm.telemetry.metrics import Metrics
from tests.farm.batches import write_batch

#: The node that all hosts are on.
NODE = "ab12" * 14


class ThreadHands:
    """Carries instructions out in this process. ``dispatched``: every ticket, in order."""

    def __init__(self, inbox: Inbox, store: Store, cpus: int = 2) -> None:
        self.inbox = inbox
        self.store = store
        self.cpus = cpus
        self.pipelines: dict[str, Pipeline] = {}
        self.dispatched: list[Dispatch] = []
        self.owed: list[bool] = []
        self.held: dict[str, str] = {}
        self.words: list[Event] = []
        self.blocked: tuple[str, ...] = ()
        self.drained: list[str] = []
        self.closed = False
        self.hold = threading.Event()
        self.hold.set()

    def slots(self) -> SlotsChanged:
        return SlotsChanged(cpu_slots=self.cpus, gpu_slots=0, closed=(*self.blocked, *self.drained))

    def start(self, order: StartHost) -> None:
        card = ModelCard.model_validate_json(order.card)
        pipeline = Pipeline(order.host, order.model, build_generator(card), self.store)
        self.pipelines[order.host] = pipeline
        placed = HostPlaced(order.host, NODE)
        self.inbox.put(lambda: placed)
        ready = HostReady(order.host, pipeline.setup())
        self.inbox.put(lambda: ready)

    def stop(self, order: StopHost) -> None:
        self.words.append(self.pipelines.pop(order.host).close())

    def kill(self, order: KillHost) -> None:
        self.pipelines.pop(order.host).close()
        lost = HostLost(order.host, "deadline", order.why)
        self.inbox.put(lambda: lost)

    def dispatch(self, order: Dispatch, *, owed: bool) -> None:
        released = {e.branch for c in read_commits(self.store) for e in c.events if isinstance(e, WaveReleased)}
        assert order.ticket.branch in released, "a ticket was handed out before its release was durable"
        self.dispatched.append(order)
        self.owed.append(owed)
        self.held[order.ticket.ticket] = order.host
        threading.Thread(target=self._work, args=(order, owed), daemon=True).start()

    def _work(self, order: Dispatch, owed: bool) -> None:
        started = TicketStarted(order.host, order.ticket.ticket)
        self.inbox.put(lambda: started)
        reply = self.pipelines[order.host].work(order.ticket, owed=owed)
        self.hold.wait(120)
        self.inbox.put(lambda: self._ended(reply))

    def _ended(self, reply: TicketEnded) -> TicketEnded:
        self.held.pop(reply.ticket, None)
        return reply

    def block(self, order: BlockNodes) -> None:
        self.blocked = order.nodes

    def drain(self, order: DrainNode) -> None:
        self.drained.append(order.node)

    def revoke(self, order: Revoke) -> None:
        self.pipelines[order.host].revoke(order.ticket)

    def stitch(self, job: StitchJob) -> None:
        result = StitchReturned(stitched(job, self.store, 0.0))
        self.inbox.put(lambda: result)

    def look_after(self) -> None:
        pass

    def last_words(self) -> Sequence[Event]:
        words, self.words = self.words, []
        return words

    @property
    def unfinished(self) -> int:
        return len(self.held)

    @property
    def hosts(self) -> dict[str, tuple[int, int]]:
        return {"procedural/stills": (len(self.pipelines), 0)}

    @property
    def tickets(self) -> dict[str, int]:
        return {"procedural/stills": len(self.held)}

    def let_go(self) -> bool:
        for host in list(self.pipelines):
            self.stop(StopHost(host, "the run is over"))
        return True

    def close(self) -> None:
        self.closed = True
        self.hold.set()
        for host in list(self.pipelines):
            self.pipelines.pop(host).close()


class ThreadFarm:
    """One loop with everything it needs: the real scheduler, log and upkeep, and hosts on threads."""

    def __init__(self, store: Store, cpus: int = 2) -> None:
        self.store = store
        self.inbox = Inbox()
        self.hands = ThreadHands(self.inbox, store, cpus)
        self.writer = Writer.begin(store, "tester", "run")
        self.metrics = Metrics()
        self.upkeep = Upkeep(store, Presence.here("tester", self.writer.epoch), self.metrics)
        self.loop = ControlLoop(Scheduler(self.writer.epoch), self.writer, self.hands, self.inbox, self.upkeep)

    def run_in_thread(self, first: Sequence[Asked]) -> tuple[threading.Thread, list[Any]]:
        """Run it on a thread; the list gets how it ended, or what it raised."""
        box: list[Any] = []

        def run() -> None:
            try:
                box.append(self.loop.run(first))
            except Exception as error:  # noqa: BLE001 - looked at by the test
                box.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread, box


def submission(folder: Path, document: dict[str, Any]) -> Asked:
    """A batch to run, as the controller takes it in."""
    return Asked(checked_submission(write_batch(folder, document), "tester"))
