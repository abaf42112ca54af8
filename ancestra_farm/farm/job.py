"""The thin Ray job that keeps a store's farm at work on a cluster: ``python -m ancestra_farm.farm.job --store URL …``.

It runs on the head and holds nothing: it starts the controller, which goes on with every unfinished batch of the store,
and begins anew where the controller breaks. Batches, orders and questions never come this way; they go through the
controller's door. When the cluster is lost the job is lost with it, and the next cluster's job goes on from the store.

`bring_up` is the side of whoever wants a farm up, and knows the cluster by its HTTP side only.
"""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ancestra_farm.farm.head import Head, HeadNotReady, HeadRefused, Job
from ancestra_farm.ledger.errors import StoreError, StoreRefused, StoreUnavailable
from ancestra_farm.ledger.liveness import HEARTBEAT_S, Presence, who_is_alive
from ancestra_farm.ledger.store import Store

if TYPE_CHECKING:
    from ancestra_farm.farm.run import Summary

#: Where the controller takes orders unless told otherwise: a fixed port of the head's loopback, so that a tunnel can be
#: written down.
LISTEN = "127.0.0.1:8470"
#: Names the store that a job is for, in the job's metadata: by its id, or by its address where a manifest was written
#: before there was a store.
STORE_KEY = "ancestra_store"
#: What ids of jobs begin with that are begun from here.
PREFIX = "ancestra-"
#: A controller that breaks is begun anew after so many seconds each, as long as that suffices.
AGAIN_S = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)
#: One that held so long before it broke begins at the first of them again.
HELD_S = 600.0
#: A head that just started takes tens of seconds until it takes jobs, and for its first one; a long log takes more to
#: fold.
READY_S = 120.0
UP_S = 300.0
LOOK_S = 0.5
#: Lines of a job's log that are shown where it did not come up.
LAST_LINES = 20


class JobBroke(Exception):
    """The job that was to bring the farm up did not. ``problems``: the last lines that it said, below the message."""

    def __init__(self, message: str, log: str = "") -> None:
        self.problems = tuple(log.splitlines()[-LAST_LINES:])
        super().__init__("\n".join((message, *self.problems)))


class JobLeft(JobBroke):
    """The job ended before the farm was up, and as it should: somebody had it stop."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a farm on a cluster is to work; see `ancestra_farm.farm.controller.Settings`.

    ``python``: the interpreter on the head, which has this package. ``insecure``: the cluster asks for no token, and is
    used nevertheless. ``certificate`` and ``key``: files on the head, as PEM; both or none.
    """

    who: str
    listen: str = LISTEN
    hosts: int | None = None
    metrics_port: int | None = None
    python: str = "python"
    insecure: bool = False
    certificate: str = ""
    key: str = ""
    plain_http: bool = False

    def command(self, store: Store) -> str:
        """A line for the head's shell. Every word is quoted: a store's address is somebody's text."""
        words = [self.python, "-m", "ancestra_farm.farm.job", "--store", store.url, "--store-id", store.id]
        words += ["--as", self.who, "--listen", self.listen]
        if self.hosts is not None:
            words += ["--hosts", str(self.hosts)]
        if self.metrics_port is not None:
            words += ["--metrics-port", str(self.metrics_port)]
        if self.certificate:
            words += ["--certificate", self.certificate, "--key", self.key]
        words += ["--plain-http"] * self.plain_http
        words += ["--insecure"] * self.insecure
        return shlex.join(words)


# ---- the side of whoever wants a farm up ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begun:
    """A job that keeps a store's farm at work. ``new``: it was not there before."""

    job: Job
    new: bool


def bring_up(
    head: Head,
    store: Store,
    wanted: Wanted,
    *,
    patience_s: float = UP_S,
    on_message: Callable[[str], None] = lambda _message: None,
) -> Presence:
    """Have the farm of a store come up: its controller, which has opened its door.

    A job that is there already may be about to leave, where somebody stopped it a moment ago. When it is gone the next
    one is begun, once. Raises JobBroke, and what `begin_job` raises.
    """
    begun = begin_job(head, store, wanted)
    on_message(f"bringing the farm up: job {begun.job.submission_id} at {head.address}")
    try:
        return wait_until_up(head, store, begun.job, patience_s=patience_s, on_message=on_message)
    except JobLeft:
        if begun.new:
            raise
    left, begun = begun.job.submission_id, begin_job(head, store, wanted)
    on_message(f"job {left} was just leaving; the next one is {begun.job.submission_id}")
    return wait_until_up(head, store, begun.job, patience_s=patience_s, on_message=on_message)


def jobs_of(head: Head, store_id: str, url: str) -> list[Job]:
    """The jobs of a store, the oldest first. Raises HeadUnreachable, HeadRefused."""
    return [job for job in head.jobs() if job.metadata.get(STORE_KEY) in {store_id, url}]


def begin_job(head: Head, store: Store, wanted: Wanted) -> Begun:
    """A job that keeps this store's farm at work: the one there is, or a new one.

    Of people who submit at once one starts it: the id of a job follows from the store and how many jobs it has had.
    Raises HeadUnreachable, HeadRefused, and StoreRefused for a store that no cluster could see.
    """
    if store.url.startswith("memory://"):
        raise StoreRefused(f"{store.url} lives in this process; no cluster can see it")
    ours = jobs_of(head, store.id, store.url)
    at_work = [job for job in ours if not job.ended]
    if at_work:
        return Begun(at_work[-1], new=False)
    submission_id = f"{PREFIX}{store.id[:13]}-{1 + max(map(_number, ours), default=0)}"
    begin(head, wanted.command(store), submission_id, {STORE_KEY: store.id, "ancestra_url": store.url})
    found = head.job(submission_id)
    if found is None or found.metadata.get(STORE_KEY) != store.id:
        raise HeadRefused(f"{head.address} did not begin the job {submission_id}, and did not say why")
    return Begun(found, new=True)


def begin(head: Head, command: str, submission_id: str, metadata: Mapping[str, str]) -> None:
    """Have a job begun, by us or by somebody else under this id. A head that has just started is waited for."""
    until = time.monotonic() + READY_S
    while True:
        try:
            head.submit(command, submission_id, metadata)
        except HeadNotReady:
            if time.monotonic() >= until:
                raise
            time.sleep(LOOK_S)
        else:
            return


def _number(job: Job) -> int:
    """Which job of its store it is, from 1; 0: one of a manifest, whose ids are others'."""
    last = job.submission_id.rpartition("-")[2]
    return int(last) if job.submission_id.startswith(PREFIX) and last.isdecimal() else 0


def wait_until_up(
    head: Head,
    store: Store,
    job: Job,
    *,
    before: int = 0,
    patience_s: float = UP_S,
    on_message: Callable[[str], None] = lambda _message: None,
) -> Presence:
    """Until the controller of a store has opened its door. ``before``: an epoch that is known to be over, 0: none.

    Raises JobBroke where the job ended without, or nothing came up within ``patience_s``; HeadUnreachable.
    """
    until = time.monotonic() + patience_s
    status = job.status
    while time.monotonic() < until:
        presence = who_is_alive(store)
        if presence is not None and presence.endpoint and presence.epoch > before:
            return presence
        now = head.job(job.submission_id)
        if now is None:
            raise JobBroke(f"{head.address} knows no job {job.submission_id} any more: was the cluster started anew?")
        if now.ended:
            said = head.log(job.submission_id) or now.message
            ending = JobLeft if now.status == "SUCCEEDED" else JobBroke
            raise ending(
                f"the job {job.submission_id} ended ({now.status.lower()}) before the farm was up; it said:", said
            )
        if now.status != status:
            status = now.status
            on_message(f"job {job.submission_id}: {status.lower()}")
        time.sleep(LOOK_S)
    raise JobBroke(
        f"the job {job.submission_id} has not brought the farm up within {patience_s:.0f} s and goes on; it said:",
        head.log(job.submission_id),
    )


# ---- the side of the job -------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Keep the farm of a store at work until it is stopped; the exit code of the job."""
    parser = argparse.ArgumentParser(prog="ancestra_farm.farm.job", description=__doc__.partition("\n")[0])
    parser.add_argument("--store", required=True)
    parser.add_argument(
        "--store-id", help="the store's own id, which what is at the address has to have; without, one is made there"
    )
    parser.add_argument("--as", dest="who", required=True)
    parser.add_argument("--listen", default=LISTEN)
    parser.add_argument("--hosts", type=int)
    parser.add_argument("--metrics-port", type=int)
    parser.add_argument("--metrics-host", default="127.0.0.1", help="beyond loopback only behind a network policy")
    parser.add_argument("--certificate", default="", help="what is shown beyond loopback: a file here, as PEM")
    parser.add_argument("--key", default="", help="the certificate's key: a file here, as PEM")
    parser.add_argument("--plain-http", action="store_true", help="no TLS beyond loopback: for a proxy that has it")
    parser.add_argument("--insecure", action="store_true", help="work on a Ray that asks for no token, too")
    parser.add_argument("--address", default=os.environ.get("RAY_ADDRESS", "auto"), help="the Ray to work on")
    given = parser.parse_args(arguments)
    if bool(given.certificate) != bool(given.key) or (given.certificate and given.plain_http):
        parser.error("--certificate and --key come together, and not with --plain-http")
    try:
        store = Store.open(given.store, create=given.store_id is None)
    except StoreError as error:
        return _fail(f"the cluster does not see the store: {error}")
    if given.store_id not in {None, store.id}:
        return _fail(
            f"{store.url} is another store here (id {store.id}) than where the job was submitted (id {given.store_id})"
        )
    if (presence := _somebody_else(store)) is not None:
        _say(f"{presence} is at work in {store.url} already")
        return 0
    return keep_at_work(store, lambda: _run(store, given))


def _run(store: Store, given: argparse.Namespace) -> "Summary":
    from ancestra_farm.farm.run import run_batch  # noqa: PLC0415 - loads Ray, which the other side need not have

    return run_batch(
        None,
        store.url,
        who=given.who,
        address=given.address,
        hosts=given.hosts,
        metrics_port=given.metrics_port,
        metrics_host=given.metrics_host,
        listen=given.listen,
        certificate=given.certificate,
        key=given.key,
        plain_http=given.plain_http,
        insecure=given.insecure,
        stay=True,
        on_message=_say,
    )


def keep_at_work(store: Store, run: "Callable[[], Summary]", *, sleep: Callable[[float], None] = time.sleep) -> int:
    """Run, and again where the controller broke or the store stayed away; the exit code.

    ``run``: one life of a controller.

    Whoever breaks too often is left for a person to look at: the work is in the store, and a new job goes on with it.
    """
    from ancestra_farm.farm.cluster import ClusterUnreachable  # noqa: PLC0415 - as in `_run`
    from ancestra_farm.farm.run import AlreadyAtWork, RunBroke  # noqa: PLC0415

    waits = list(AGAIN_S)
    while True:
        began = time.monotonic()
        try:
            summary = run()
        except AlreadyAtWork as at_work:
            _say(str(at_work))
            return 0
        except (RunBroke, StoreUnavailable, ClusterUnreachable) as broke:
            if time.monotonic() - began >= HELD_S:
                waits = list(AGAIN_S)
            if not waits:
                return _fail(f"given up after {len(AGAIN_S)} tries: {broke}")
            _say(f"{broke}; it is begun anew in {waits[0]:.0f} s")
            sleep(waits.pop(0))
            with suppress(StoreUnavailable):  # the next life finds out, and counts
                if (presence := _somebody_else(store)) is not None:
                    _say(f"{presence} has taken {store.url} over")
                    return 0
        else:
            _say(f"{summary.how.replace('_', ' ')}: {summary.message}" if summary.message else summary.how)
            return 1 if summary.how == "failed" else 0


def _somebody_else(store: Store) -> Presence | None:
    """Who is at work there, once it is sure: a controller that was lost with its cluster is believed for a while."""
    until = time.monotonic() + HEARTBEAT_S + 1.0
    first = who_is_alive(store)
    while (found := who_is_alive(store)) is not None and first is not None:
        if (found.epoch, found.at) != (first.epoch, first.at) or time.monotonic() > until:
            return found
        time.sleep(LOOK_S)
    return None


def _say(text: str) -> None:
    print(text, flush=True)


def _fail(text: str) -> int:
    print(text, file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
