"""The controller: the Ray actor around the one loop that owns a store's scheduler and log. The loop is in `control`.

One long call, `run`, is the loop; it returns how it ended. Everything else is asked for from other threads and reaches
the loop through its inbox, except for the picture of where things stand, which is replaced whole and read as it is.
People reach it through the HTTP door (`api/`), which is open as long as an epoch lasts; its address stands in the
presence file.
"""

import socket
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import ray

from ancestra_farm.api.app import LOOPBACK_NAMES, build_app
from ancestra_farm.api.register import Register
from ancestra_farm.api.server import endpoint_of, is_loopback, listening, serve_app
from ancestra_farm.api.standing import Standing
from ancestra_farm.api.tls import Shown, given_certificate, own_certificate
from ancestra_farm.farm.control import ControlLoop, Ending
from ancestra_farm.farm.crew import Crew
from ancestra_farm.farm.desk import LoopDesk, Recent
from ancestra_farm.farm.lifeline import end_with_parent
from ancestra_farm.farm.news import Asked, Inbox
from ancestra_farm.farm.notify import Messenger
from ancestra_farm.farm.upkeep import Picture, Upkeep
from ancestra_farm.ledger.commit import Commit
from ancestra_farm.ledger.errors import StoreUnavailable
from ancestra_farm.ledger.liveness import Presence
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.store import Store
from ancestra_farm.scheduler.scheduler import DEFAULTS, Scheduler
from ancestra_farm.scheduler.tunables import Tunables
from ancestra_farm.scheduler.world import NoticeTried, StopRequested, Submit
from ancestra_farm.telemetry.exporter import serve
from ancestra_farm.telemetry.metrics import Metrics

#: Seconds before each new try after the store failed in the middle of a commit.
STORE_RETRIES_S = (1.0, 5.0, 15.0)
#: An epoch that held so long began well: a failure after it is the first one again.
EPOCH_HELD_S = 600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How a controller works. ``hosts``: at most so many on CPU slots, None: one per CPU.

    ``stitches``: how many run at once. ``metrics_port``: where metrics are served; None: nowhere, 0: any.
    ``metrics_host``: the address they are served on, to whoever asks: they name shows and batches, and no prompts.
    ``faults``: an `Injection` as JSON, for rehearsals; empty: none. ``listen``: ``HOST:PORT`` of the door, port 0 for
    any free one; beyond loopback it speaks TLS, with ``certificate`` and ``key`` (PEM files on the controller's
    machine) or one of its own, unless ``plain_http`` says that a proxy before it does. ``stay``: stay for people when
    nothing is left to do. ``local``: Ray is there for this run alone; its machine is all there is.
    """

    who: str
    purpose: str = "run"
    hosts: int | None = None
    stitches: int = 2
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    tunables: Tunables = DEFAULTS
    faults: str = ""
    listen: str = "127.0.0.1:0"
    stay: bool = False
    certificate: str = ""
    key: str = ""
    plain_http: bool = False
    local: bool = False


@ray.remote(  # type: ignore[call-overload] # Ray's own types do not know concurrency groups
    num_cpus=0, max_restarts=0, max_task_retries=0, concurrency_groups={"loop": 1, "ask": 8}
)
class Controller:
    """One controller of one store. It lives as long as whoever made it, or until its loop ends."""

    def __init__(self, store_url: str, settings: Settings) -> None:
        end_with_parent()
        self._store_url = store_url
        self._settings = settings
        self._inbox = Inbox()
        self._stopping = False
        self._upkeep: Upkeep | None = None
        self._metrics_url: str | None = None
        self._store_errors = 0
        self._register: Register | None = None

    @ray.method(concurrency_group="loop")
    def run(self, submit: Submit | None) -> Ending:
        """Take the store's next epoch, take in a batch if there is one, and work until nothing is left or a stop.

        Raises OrderRefused if the batch is refused, LogDamaged if the log cannot be trusted, and StoreUnavailable if
        the store stays away.
        """
        store = Store.open(self._store_url)
        self._register = Register(store)
        waits = list(STORE_RETRIES_S)
        while True:
            began = time.monotonic()
            try:
                return self._run_epoch(store, submit)
            except StoreUnavailable:
                # Whether the last commit took place is unknown; a new epoch folds whatever is there. A batch that was
                # taken in already is the same batch again, which changes nothing.
                if time.monotonic() - began >= EPOCH_HELD_S:
                    waits = list(STORE_RETRIES_S)
                if not waits:
                    raise
                self._store_errors += 1
                time.sleep(waits.pop(0))

    def _run_epoch(self, store: Store, submit: Submit | None) -> Ending:
        metrics = Metrics()
        metrics.count_store_errors("commit", self._store_errors)
        if self._settings.metrics_port is None:
            return self._run_loop(store, submit, metrics)
        exporter = serve(metrics, self._settings.metrics_port, self._settings.metrics_host)
        self._metrics_url = exporter.url
        try:
            return self._run_loop(store, submit, metrics)
        finally:
            self._metrics_url = None
            exporter.close()

    def _run_loop(self, store: Store, submit: Submit | None, metrics: Metrics) -> Ending:
        settings = self._settings
        listener = listening(settings.listen)  # before an epoch is taken: a taken port must not end somebody's work
        with closing(listener):
            shown = shown_on(listener, settings)
            standing = Standing(Scheduler(tunables=settings.tunables), metrics)
            recent = Recent()

            def fold(commit: Commit) -> None:
                standing.fold(commit)
                recent.add(commit.number, commit.events)

            writer = Writer.begin(store, settings.who, settings.purpose, tail=standing.begin(store), fold=fold)
            inbox = self._inbox = Inbox()
            scheduler = standing.scheduler
            scheduler.epoch = writer.epoch
            endpoint = endpoint_of(listener, tls=shown is not None)
            presence = Presence.here(settings.who, writer.epoch, endpoint, "" if shown is None else shown.fingerprint)
            upkeep = self._upkeep = Upkeep(store, presence, metrics, recent.add, standing, stays=settings.stay)
            crew = Crew(
                inbox,
                self._store_url,
                at_most=settings.hosts,
                stitches=settings.stitches,
                on_ticket=metrics.observe_ticket,
                faults=settings.faults,
                local=settings.local,
            )
            messenger = Messenger(
                store.url,
                lambda order, delivered: inbox.put(lambda: NoticeTried(order.notice, order.to, delivered)),
            )
            register = self._register or Register(store)
            register.tell(lambda seen: inbox.put(lambda: seen))
            loop = ControlLoop(
                scheduler,
                writer,
                crew,
                inbox,
                upkeep,
                stay=settings.stay,
                messenger=messenger,
                census=register.look,
            )
            desk = LoopDesk(store, writer.epoch, scheduler, inbox, metrics, recent, lambda: upkeep.picture, register)
            names = LOOPBACK_NAMES if is_loopback(listener) else None
            with ExitStack() as leaving:
                leaving.callback(serve_app(build_app(desk, names=names), listener, shown).close)
                leaving.callback(inbox.close)
                leaving.callback(upkeep.leave)
                return self._until_the_end(loop, inbox, submit)

    def _until_the_end(self, loop: ControlLoop, inbox: Inbox, submit: Submit | None) -> Ending:
        first = [] if submit is None else [Asked(submit)]
        if self._stopping:
            inbox.ask(StopRequested())
        ending = loop.run(first)
        for asked in first:
            if asked.answer.done():
                asked.answer.result()
        return ending

    @ray.method(concurrency_group="ask")
    def picture(self) -> Picture:
        """Where things stand, at most a second old or so."""
        return Picture() if self._upkeep is None else self._upkeep.picture

    @ray.method(concurrency_group="ask")
    def stop(self) -> None:
        """Stop cleanly: nothing new is begun, what is finished is committed, then `run` returns."""
        self._stopping = True
        self._inbox.ask(StopRequested())

    @ray.method(concurrency_group="ask")
    def metrics_url(self) -> str | None:
        """Where metrics are served; None while they are not."""
        return self._metrics_url


def shown_on(listener: socket.socket, settings: Settings) -> Shown | None:
    """What the door shows for itself; None: it speaks plain HTTP, which it does beyond loopback only when told to.

    Raises CertificateRefused.
    """
    if settings.certificate:
        return given_certificate(Path(settings.certificate), Path(settings.key))
    return None if settings.plain_http or is_loopback(listener) else own_certificate()
