"""A host: a Ray actor that holds one model on one device and works off tickets. The work itself is in `pipeline`.

Two groups of threads: ``work`` has room for a ticket that runs and one that waits, so that the device always has its
next; ``control`` stays free for taking tickets back. The model is loaded in `setup`, never in ``__init__``, whose
exceptions Ray reports as the death of the actor and nothing else.
"""

import importlib
import os
import sys
import time

import ray

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.farm.agent import leaves_on_risk, wait_for_notice
from ancestra_farm.farm.faults import FaultyGenerator, Injection, hold_reply
from ancestra_farm.farm.judging import GuideFlows
from ancestra_farm.farm.lifeline import end_with_parent
from ancestra_farm.farm.materials import node_materials
from ancestra_farm.farm.notices import Notice, notices_here
from ancestra_farm.farm.pipeline import Pipeline
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.farm_events import HostTimed
from ancestra_farm.scheduler.world import Ticket, TicketEnded

#: Tickets a host may hold: one runs, one waits.
TICKETS = 2
#: Two questions whether a ticket has begun, the long `stay` and `notice`, and room for the calls that must get through.
CONTROL_THREADS = 7
#: One thread per library and process: several hosts share a machine, and pools that outnumber its cores slow all of
#: them down tenfold. Read by the libraries when they are first imported, so they are set before the process starts.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
}
#: A host without a GPU of its own must see none: Ray leaves the variable unset, which means all of them.
NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}
#: Exit code of a host whose model ended the process (EX_SOFTWARE).
EXITED = 70
#: How long `stay` lasts: longer than any farm runs.
FOR_EVER_S = 10.0**8


@ray.remote(  # type: ignore[call-overload] # Ray's own types do not know concurrency groups
    max_restarts=0,
    max_task_retries=0,
    concurrency_groups={"work": TICKETS, "control": CONTROL_THREADS},
)
class Host:
    """One model on one device. ``card``: canonical JSON of its model card; ``store_url``: where media are written.

    ``faults``: an `Injection` as JSON, for rehearsals; empty: none.

    Ray restarts nothing here: a host that dies is news for the scheduler, which decides what becomes of its tickets.
    """

    def __init__(self, host: str, card: str, store_url: str, faults: str = "") -> None:
        end_with_parent()
        self._host = host
        self._card = ModelCard.model_validate_json(card)
        self._store_url = store_url
        self._faults = Injection.model_validate_json(faults) if faults else None
        self._pipeline: Pipeline | None = None

    @ray.method(concurrency_group="work")
    def setup(self) -> float:
        """Open the store, load the model, warm up; the seconds it took. Raises whatever goes wrong."""
        before = time.monotonic()
        from ancestra_farm.models.build import build_generator  # noqa: PLC0415 - imports the model's libraries

        one_thread_each()
        notices_here(), leaves_on_risk()  # a variable that makes no sense is told now, not when a notice is missed
        store = Store.open(self._store_url)
        # Generation begins when the controller says that it knows, so that a crash is laid at the right ticket's door
        # and nothing begins that was taken back: a call there and back, a few milliseconds.
        materials = node_materials(store)
        generator = build_generator(self._card, materials)
        if self._faults is not None:
            generator = FaultyGenerator(generator, self._faults, self._host)
        guide_of = GuideFlows(materials)
        self._pipeline = Pipeline(self._host, self._card.id, generator, store, guide_of=guide_of, asks=True)
        self._pipeline.setup()
        one_thread_each()
        return time.monotonic() - before

    @ray.method(concurrency_group="work")
    def work(self, ticket: Ticket, owed: bool) -> TicketEnded:  # noqa: FBT001 - Ray calls are by position
        """Work off a ticket; see `Pipeline.work`."""
        try:
            reply = self._ready().work(ticket, owed=owed)
        except SystemExit:
            # Ray would wait for the other calls of this actor, of which one never ends, and nobody would be told.
            os._exit(EXITED)
        if self._faults is not None:
            hold_reply(self._faults, ticket, self._host)
        return reply

    @ray.method(concurrency_group="control")
    def where(self) -> str:
        """Ray's id of the node this host is on, in hex."""
        return _here()

    @ray.method(concurrency_group="control")
    def notice(self) -> tuple[str, Notice] | None:
        """Wait until this machine's cloud says that it goes away; (its id, what was said). None: nobody would say."""
        notices = notices_here()
        return None if notices is None else (_here(), wait_for_notice(notices, on_risk=leaves_on_risk()))

    @ray.method(concurrency_group="control")
    def wait_started(self, ticket: str) -> bool | None:
        """Wait until a ticket's generation begins; see `Pipeline.wait_started`."""
        return self._ready().wait_started(ticket)

    @ray.method(concurrency_group="control")
    def confirm(self, ticket: str) -> None:
        """It is known that a ticket's generation begins; see `Pipeline.confirm`."""
        self._ready().confirm(ticket)

    @ray.method(concurrency_group="control")
    def revoke(self, ticket: str) -> None:
        """Take a ticket back; see `Pipeline.revoke`."""
        self._ready().revoke(ticket)

    @ray.method(concurrency_group="control")
    def stay(self) -> None:
        """Never returns: the call fails when the host dies, whatever else it was doing, and that is the news."""
        time.sleep(FOR_EVER_S)

    @ray.method(concurrency_group="control")
    def clock(self) -> HostTimed | None:
        """What its clock has come to since it was last read; None: it has none yet."""
        return self._pipeline.clock() if self._pipeline is not None else None

    @ray.method(concurrency_group="control")
    def close(self) -> HostTimed | None:
        """Stop working and free the device; the last stretch of its clock."""
        return self._pipeline.close() if self._pipeline is not None else None

    def _ready(self) -> Pipeline:
        if self._pipeline is None:
            raise RuntimeError(f"host {self._host} was given work before it was set up")
        return self._pipeline


def _here() -> str:
    return str(ray.get_runtime_context().get_node_id())


def one_thread_each() -> None:
    """Hold libraries that are loaded to one thread, also where they do not read the environment."""
    cv2 = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
