"""One attached run: from a batch file, or from where a store was left, until nothing is left to do.

`run_batch` is what ``ancestra run`` and ``ancestra resume`` call. A batch that is refused leaves no trace: everything
about it is checked, and Ray is there, before the store is made. The first Ctrl-C (or SIGTERM) stops cleanly, the
second at once; both leave a store that `resume` goes on from, since nothing lives only in a process.
"""

import getpass
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ancestra_farm.api.batchfile import Prepared, prepared
from ancestra_farm.api.server import parsed_address
from ancestra_farm.farm.cluster import ray_cluster
from ancestra_farm.farm.control import Ending
from ancestra_farm.farm.controller import Controller, Settings
from ancestra_farm.farm.upkeep import Picture
from ancestra_farm.ledger.errors import StoreMissing
from ancestra_farm.ledger.liveness import who_would_be_ended
from ancestra_farm.ledger.store import Store
from ancestra_farm.scheduler.progress import ShotProgress
from ancestra_farm.scheduler.tunables import Tunables
from ancestra_farm.scheduler.world import Submit

How = Literal["done", "failed", "waiting", "timed_out", "interrupted", "superseded"]

#: Progress is shown so often, and signals are noticed so soon.
LOOK_S = 0.25


class AlreadyAtWork(Exception):
    """A controller is alive in the store; the message says who and where."""


class RunBroke(Exception):
    """The controller itself ended without being asked. The store is as of its last commit; `resume` goes on."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of a run.

    ``how``: ``done``; ``failed`` (something could not be made, or work is left that cannot run: ``message`` says what);
    ``waiting`` (for people, see ``waiting``: batch, shot, stage; or for a pause to end); ``timed_out`` and
    ``interrupted`` (clean, `resume` goes on); ``superseded`` (somebody else took the store over). ``seconds``: wall
    clock.
    """

    how: How
    shots: tuple[ShotProgress, ...]
    waiting: tuple[tuple[str, str, str], ...]
    message: str
    epoch: int
    seconds: float


def run_batch(
    batch: Path | str | None,
    store_url: str,
    *,
    who: str = "",
    cards: Path | None = None,
    address: str | None = None,
    cpus: int | None = None,
    hosts: int | None = None,
    metrics_port: int | None = None,
    metrics_host: str = "127.0.0.1",
    timeout_s: float | None = None,
    verbose: bool = False,
    on_progress: Callable[[Picture], None] = lambda _picture: None,
    on_message: Callable[[str], None] = lambda _message: None,
    tunables: Tunables | None = None,
    faults: str = "",
    listen: str = "127.0.0.1:0",
    stay: bool = False,
    certificate: str = "",
    key: str = "",
    plain_http: bool = False,
    insecure: bool = False,
) -> Summary:
    """Run a batch file to its end in the store at ``store_url`` (made if need be); without one, go on with the store.

    ``who``: the name in the log, the user's if empty. ``cards``: a folder of further model cards. ``address``: a Ray to
    join; None: a local one with ``cpus`` CPUs. ``hosts``: at most so many on CPU slots. ``timeout_s``: stop cleanly
    after that. ``on_progress`` is called a few times a second, ``on_message`` with sentences for whoever watches.
    ``faults``: what hosts do wrong on purpose, see `farm.faults`. ``listen``: where the controller takes orders.
    ``stay``: stay for people when nothing is left to do, until somebody stops it. ``certificate``, ``key`` and
    ``plain_http``: as of `Settings`. ``insecure``: join a Ray that asks for no token, too.

    Raises BatchRefused, CatalogRefused or PlanRefused for the batch, StoreMissing or StoreRefused for the store,
    SourceChanged where a file changed meanwhile, AlreadyAtWork, AddressTaken, CertificateRefused, ClusterOpen,
    ClusterUnreachable, LogDamaged, StoreUnavailable, and RunBroke.
    """
    began, who = time.monotonic(), who or _user()
    ready = None if batch is None else prepared(Path(batch), cards)
    store = _opened(store_url, may_miss=ready is not None)
    settings = Settings(
        who=who, purpose="resume" if batch is None else "run", hosts=hosts, metrics_port=metrics_port,
        metrics_host=metrics_host, tunables=tunables or Tunables(), faults=faults, listen=listen, stay=stay,
        certificate=certificate, key=key, plain_http=plain_http, local=address is None and not ray.is_initialized(),
    )  # fmt: skip
    parsed_address(listen)
    until = None if timeout_s is None else began + timeout_s
    watch = _Watch(until, metrics_port is not None, on_progress, on_message)
    with _signals(on_message) as asked, ray_cluster(address, cpus=cpus, verbose=verbose, insecure=insecure):
        store = store or Store.open(store_url, create=True)
        if ready is not None:
            ready.upload(store)
        controller = _controller(store, settings)
        ending, timed_out = _attend(controller, None if ready is None else _submission(ready, who), asked, watch)
        picture = ray.get(controller.picture.remote())
        on_progress(picture)
    return _summary(ending, picture, timed_out=timed_out, seconds=time.monotonic() - began, url=store.url)


@dataclass(frozen=True, slots=True)
class _Watch:
    """How a run is watched. ``until``: it is stopped then, in seconds of the monotonic clock; None: never.

    ``serves_metrics``: that the controller does, so that people are told where. The others as of `run_batch`.
    """

    until: float | None
    serves_metrics: bool
    on_progress: Callable[[Picture], None]
    on_message: Callable[[str], None]


def _controller(store: Store, settings: Settings) -> Any:  # noqa: ANN401 - an actor handle
    """The controller of a store, beside whoever attends it.

    It asks for no resources, so Ray would put it on any node, also on one that leaves (and does so with soft affinity,
    too).
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return Controller.options(scheduling_strategy=here).remote(  # type: ignore[attr-defined] # an actor class
        store.url, settings
    )


def checked_submission(batch: Path | str, who: str, cards: Path | None = None) -> Submit:
    """A batch file as the controller takes it in. Raises BatchRefused, CatalogRefused, PlanRefused."""
    return _submission(prepared(Path(batch), cards), who)


def _submission(ready: Prepared, who: str) -> Submit:
    return Submit(ready.plan.document, dict(ready.plan.card_documents), who)


def _opened(url: str, *, may_miss: bool) -> Store | None:
    """The store, if nobody is at work there; None where there is none yet and that is allowed."""
    try:
        store = Store.open(url)
    except StoreMissing:
        if not may_miss:
            raise
        return None
    if (presence := who_would_be_ended(store)) is not None:
        raise AlreadyAtWork(
            f"{url}: {presence} is at work there; `ancestra watch` shows it, `ancestra stop` ends it, and "
            "`ancestra run FILE` hands it a batch"
        )
    return store


def _attend(
    controller: Any,  # noqa: ANN401 - an actor handle
    submit: Submit | None,
    asked_to_stop: threading.Event,
    watch: _Watch,
) -> tuple[Ending, bool]:
    """Watch the controller until its loop ends; (how it ended, whether time was up)."""
    running = controller.run.remote(submit)
    stopping = timed_out = False
    looking = controller.picture.remote()
    asking = controller.metrics_url.remote() if watch.serves_metrics else None
    try:
        while True:
            ready, _ = ray.wait([running, looking], num_returns=1, timeout=LOOK_S)
            if running in ready:
                return ray.get(running), timed_out
            if looking in ready:
                watch.on_progress(ray.get(looking))
                ray.wait([running], timeout=LOOK_S)
                looking = controller.picture.remote()
                asking = _tell_metrics(controller, asking, watch.on_message)
            if not stopping and watch.until is not None and time.monotonic() >= watch.until:
                timed_out = True
                watch.on_message("Time is up: finishing what is being written.")
            if not stopping and (timed_out or asked_to_stop.is_set()):
                stopping = True
                controller.stop.remote()
    except RayTaskError as error:
        raise error.cause from error
    except RayActorError as error:
        raise RunBroke(
            "the controller ended without being asked (killed, or out of memory?); everything committed is safe, "
            "`ancestra resume` goes on from there"
        ) from error


def _tell_metrics(controller: Any, asking: Any, on_message: Callable[[str], None]) -> Any:  # noqa: ANN401 - Ray's
    """Say once where metrics are; the next question, None when it was answered."""
    if asking is None or not ray.wait([asking], timeout=0)[0]:
        return asking
    url = ray.get(asking)
    if url is None:
        return controller.metrics_url.remote()
    on_message(f"metrics at {url}")
    return None


def _summary(ending: Ending, picture: Picture, *, timed_out: bool, seconds: float, url: str) -> Summary:
    how: How
    message = ""
    go_on = f"`ancestra resume --store {url}` goes on from here"
    unmade = [shot.shot for shot in picture.shots if shot.state in {"failed", "starved"}]
    if ending.how == "superseded":
        how, message = "superseded", ending.message
    elif ending.how == "stopped":
        how, message = ("timed_out" if timed_out else "interrupted"), go_on
    elif ending.stuck and any("running" in _states(shot) for shot in picture.shots):
        how, message = "failed", "; ".join(ending.stuck)
    elif unmade:
        how, message = "failed", f"not delivered: {', '.join(unmade)} (`ancestra explain --store {url} SHOT` says why)"
    elif ending.waiting:
        how, message = "waiting", f"{'; '.join((*ending.stuck, 'to be picked and closed'))}; then {go_on}"
    elif ending.stuck:  # only because it is paused, which is no failure
        how, message = "waiting", f"{'; '.join(ending.stuck)}; `ancestra unpause`, then {go_on}"
    else:
        how = "done"
    return Summary(how, picture.shots, ending.waiting, message, picture.epoch, seconds)


def _states(shot: ShotProgress) -> set[str]:
    """The states of a shot and of its stages."""
    return {shot.state, *(stage.state for stage in shot.stages)}


@contextmanager
def _signals(on_message: Callable[[str], None]) -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second raises KeyboardInterrupt where the program is."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def handle(_number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        on_message("Stopping: finishing what is being written. Once more stops at once; nothing committed is lost.")

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, handle)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"
