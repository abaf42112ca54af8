"""``ancestra submit`` and ``up``: batches for the farm of a store; with nobody at work it comes up on a cluster."""

import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ancestra_farm.cli.failures import FAILED, CommandFailed
from ancestra_farm.cli.handed_in import at_rest, hand_over
from ancestra_farm.cli.moments import StartOption, moment
from ancestra_farm.cli.options import CardsOption, FileArgument, PersonOption, PlainOption, StoreOption, person
from ancestra_farm.cli.run import CODES, HostsOption, MetricsOption, end_as, left_behind
from ancestra_farm.cli.summary import shell_word
from ancestra_farm.cli.uploading import upload

if TYPE_CHECKING:
    from ancestra_farm.api.batchfile import Prepared
    from ancestra_farm.api.client import Client
    from ancestra_farm.farm.job import Wanted
    from ancestra_farm.ledger.liveness import Presence
    from ancestra_farm.ledger.store import Store
    from ancestra_farm.plan.plan import Plan

HeadOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        envvar="RAY_API_SERVER_ADDRESS",
        help="The cluster's head, where nobody is at work yet: http://HOST:8265, or a tunnel to it.",
        show_default=False,
    ),
]
InsecureOption = Annotated[
    bool,
    typer.Option("--insecure", help="Use a cluster that asks for no token, or send it its token in the clear."),
]
ListenOption = Annotated[
    str | None,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        help="Where the controller takes orders, on the head; by default 127.0.0.1:8470, for tunnels.",
        show_default=False,
    ),
]
HeadCertificateOption = Annotated[
    str,
    typer.Option(
        "--certificate",
        metavar="FILE",
        help="What the controller shows beyond loopback, as PEM: a file on the head; by default one of its own.",
        show_default=False,
    ),
]
HeadKeyOption = Annotated[
    str,
    typer.Option(
        "--key", metavar="FILE", help="The certificate's key, as PEM: a file on the head.", show_default=False
    ),
]
PythonOption = Annotated[str, typer.Option("--python", help="The head's Python that has this package.")]
WaitOption = Annotated[
    bool, typer.Option("--wait", help="Watch the batch until nothing of it is left to do for now; Ctrl-C stops that.")
]
PatienceOption = Annotated[
    float | None,
    typer.Option(
        "--timeout", help="With --wait: so many seconds at most, exit code 3 then.", min=0.001, show_default=False
    ),
]

#: Controllers that end in the middle of a submission; more than one is rare.
TRIES = 3
LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Coming:
    """On which cluster the farm comes up, and how, as given on the command line. Raises CommandFailed.

    ``certificate`` and ``key`` are files on the cluster's head, which nobody can look at from here.
    """

    address: str | None
    listen: str | None
    hosts: int | None
    metrics_port: int | None
    python: str
    insecure: bool
    certificate: str
    key: str
    plain_http: bool

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            raise CommandFailed("--certificate and --key come together")
        if self.certificate and self.plain_http:
            raise CommandFailed("--plain-http shows no certificate; say one or the other")

    def wanted(self, who: str) -> "Wanted":
        """The same as what a job is asked for. Raises ValueError for an address that is none."""
        from ancestra_farm.api.server import parsed_address
        from ancestra_farm.farm.job import LISTEN, Wanted

        listen = self.listen or LISTEN
        parsed_address(listen)
        return Wanted(
            who,
            listen,
            self.hosts,
            self.metrics_port,
            self.python,
            self.insecure,
            self.certificate,
            self.key,
            self.plain_http,
        )


def submit(
    file: FileArgument,
    store: StoreOption,
    address: HeadOption = None,
    wait: WaitOption = False,
    timeout: PatienceOption = None,
    start_at: StartOption = "",
    cards: CardsOption = None,
    who: PersonOption = "",
    listen: ListenOption = None,
    hosts: HostsOption = None,
    metrics_port: MetricsOption = None,
    python: PythonOption = "python",
    insecure: InsecureOption = False,
    certificate: HeadCertificateOption = "",
    key: HeadKeyOption = "",
    plain_http: PlainOption = False,
) -> None:
    """Hand a batch, with the files it names, to the farm of a store; on return it is in the log.

    Where nobody is at work in the store, a Ray job brings the farm up on the cluster at --address first. What was
    uploaded before, parts of large files too, is not uploaded again, and the same batch again changes nothing: repeat
    it when it was cut off.
    """
    from ancestra_farm.api.afar import is_door
    from ancestra_farm.api.batchfile import prepared
    from ancestra_farm.api.client import EndpointGone
    from ancestra_farm.ledger.store import Store

    who = person(who)
    coming = Coming(address, listen, hosts, metrics_port, python, insecure, certificate, key, plain_http)
    begins = moment(start_at, "--start-at")
    ready = prepared(file, cards)
    if is_door(store):
        with through(store, who) as client:
            ask_early(client, ready, begins)
            upload(ready, client)
            hand_in(client, ready, wait, timeout, begins)
        return
    if not is_store(store):  # nothing is made where nothing could come of it
        look_at(coming, store)
    opened = Store.open(store, create=True)
    found = at_work(opened, who)
    if found is None:
        said, work_left = at_rest(ready.plan, store, alone=True)
        if said is not None and not work_left:
            if begins is not None:
                raise CommandFailed(f"{ready.plan.batch.batch} is here just so; nothing of it is left that could begin")
            typer.echo(said)
            if wait:
                end_as(left_behind(store, ready.plan.batch.batch), store, ready.plan.batch.batch)
            return
        refuse_early(opened, ready.plan)
        look_at(coming, store)
    else:
        with suppress(EndpointGone):  # the next one is asked when the batch is handed in
            ask_early(found, ready, begins)
    upload(ready, opened)
    order_id = uuid.uuid4().hex  # one for all tries: the controller may end after it took the batch
    taken_by(opened, found, who, coming, lambda client: hand_in(client, ready, wait, timeout, begins, order_id))


def up(
    store: StoreOption,
    address: HeadOption = None,
    who: PersonOption = "",
    listen: ListenOption = None,
    hosts: HostsOption = None,
    metrics_port: MetricsOption = None,
    python: PythonOption = "python",
    insecure: InsecureOption = False,
    certificate: HeadCertificateOption = "",
    key: HeadKeyOption = "",
    plain_http: PlainOption = False,
) -> None:
    """Bring the farm of a store up on a cluster: it goes on with every unfinished batch, and waits for more.

    After the loss of a whole cluster, this on a new one is all that is needed.
    """
    from ancestra_farm.ledger.store import Store

    coming = Coming(address, listen, hosts, metrics_port, python, insecure, certificate, key, plain_http)
    opened = Store.open(store, create=True)
    client = at_work(opened, person(who))
    if client is not None:
        with client:
            typer.echo(f"{client.presence} is at work there already")
        return
    with risen(opened, person(who), coming) as client:
        unfinished = sum(shot.state == "running" for shot in client.status().shots)
        typer.echo(f"{client.presence} is at work; {unfinished:,} unfinished shots")
    typer.echo(f"to watch: ancestra watch --store {shell_word(store)}")
    typer.echo(f"to end it: ancestra stop --store {shell_word(store)}")


def taken_by(
    store: "Store", found: "Client | None", who: str, coming: Coming, hand: "Callable[[Client], None]"
) -> None:
    """Hand something to the controller that was ``found`` at work, or else to one that is brought up for it.

    Raises what `risen` and ``hand`` raise.
    """
    from ancestra_farm.api.client import EndpointGone

    for last in [False] * (TRIES - 1) + [True]:
        client = found or at_work(store, who) or risen(store, who, coming)
        found = None
        with client:
            try:
                hand(client)
            except EndpointGone as gone:
                if last or gone.presence is not None:
                    raise
                continue  # it has just ended: the batch brings up the next one
            return


def through(door: str, who: str) -> "Client":
    """The client of the farm behind a door. Raises DoorClosed, EndpointGone, NotAllowed."""
    from ancestra_farm.api.afar import farm_at
    from ancestra_farm.api.client import Client, EndpointGone

    client = Client.of(farm_at(door), who)
    if client is None:
        raise EndpointGone(f"{door}: nobody answers there any more")
    return client


def hand_in(
    client: "Client",
    ready: "Prepared",
    wait: bool,
    timeout: float | None,
    start_at: float | None = None,
    order_id: str = "",
) -> None:
    """Submit a batch whose files are in the store, and watch it to its end if that is wanted, which ends the command.

    Raises EndpointGone where the controller ended before it took the batch.
    """
    name, store = ready.plan.batch.batch, client.store.url
    commit = hand_over(client, ready.plan, start_at, order_id)
    if wait:
        _watch(client, name, commit, timeout, store)
    else:
        typer.echo(f"to watch: ancestra watch --store {shell_word(store)} --batch {shell_word(name)}")


def is_store(url: str) -> bool:
    """Whether there is a store at an address. Raises StoreRefused for what can be none."""
    from ancestra_farm.ledger.errors import StoreMissing
    from ancestra_farm.ledger.store import Store

    try:
        Store.open(url)
    except StoreMissing:
        return False
    return True


def look_at(coming: Coming, store: str) -> None:
    """Raise what keeps a farm from coming up there: nobody at the address, an open cluster, a wrong token, no name."""
    from ancestra_farm.farm.head import Head

    if coming.address is None:
        raise nobody(store)
    with Head(coming.address, insecure=coming.insecure) as head:
        head.jobs()


def nobody(url: str) -> CommandFailed:
    """What to say where nobody is at work and no cluster is named."""
    return CommandFailed(
        f"nobody is at work in {url}: say on which cluster the farm comes up with --address http://HOST:8265, or leave "
        "it to this machine with `ancestra resume --detach --stay`"
    )


def refuse_early(store: "Store", plan: "Plan") -> None:
    """Raise OrderRefused for what the farm would refuse, before files are sent or a cluster is put to work."""
    from ancestra_farm.api.standing import standing_of
    from ancestra_farm.scheduler.world import Submit

    submission = Submit(plan.document, dict(plan.card_documents), who="")
    standing_of(store)[0].scheduler.check(submission, time.time())


def ask_early(client: "Client", ready: "Prepared", start_at: float | None) -> None:
    """The same of the farm at work, where there are files that would be sent in vain. Raises NotAllowed, too."""
    if ready.materials:
        client.check(ready.plan.document, ready.plan.card_documents, start_at)


def at_work(store: "Store", who: str) -> "Client | None":
    """The client of the controller that is at work in a store and answers; None where none is.

    A controller whose machine is gone is believed to be there for some seconds. Raises EndpointGone where somebody is
    at work out of reach, with what to do about it.
    """
    from ancestra_farm.api.client import Client, EndpointGone
    from ancestra_farm.ledger.liveness import HEARTBEAT_S, who_is_alive

    client = Client.of(store, who)
    if client is None:
        return None
    try:
        client.health()
    except EndpointGone as gone:
        client.close()
        if gone.presence is None:
            return None
        before = gone.presence
        until = time.monotonic() + HEARTBEAT_S + 1.0
        typer.echo(f"{before} does not answer; waiting for a sign of life", err=True)
        while (found := who_is_alive(store)) is not None and time.monotonic() < until:
            if found.at != before.at:
                raise EndpointGone(f"{gone}{_how_to_reach(found)}", found) from gone
            time.sleep(LOOK_S)
        return None
    return client


def _how_to_reach(presence: "Presence") -> str:
    scheme, port = presence.endpoint.partition(":")[0], presence.endpoint.rpartition(":")[2]
    return (
        f". Or go through a tunnel: `ssh -L {port}:127.0.0.1:{port} {presence.host}` and "
        f"ANCESTRA_ENDPOINT={scheme}://127.0.0.1:{port}"
        if port.isdigit()
        else ""
    )


def risen(store: "Store", who: str, coming: Coming) -> "Client":
    """The client of a controller that a Ray job brings up. Raises what `bring_up` raises."""
    from ancestra_farm.api.client import Client
    from ancestra_farm.api.door import own_name
    from ancestra_farm.farm.head import Head
    from ancestra_farm.farm.job import bring_up

    if coming.address is None:
        raise nobody(store.url)
    wanted = coming.wanted(who or own_name(store))
    with Head(coming.address, insecure=coming.insecure) as head:
        bring_up(head, store, wanted, on_message=lambda text: typer.echo(text, err=True))
    client = Client.of(store, who)
    if client is None:
        raise CommandFailed(f"the farm of {store.url} came up and has ended again; `ancestra logs` says why", FAILED)
    client.health()
    return client


def _watch(client: "Client", batch: str, commit: int, timeout: float | None, store: str) -> None:
    """Follow a batch to its end; ends the command as the batch ended."""
    from ancestra_farm.api.afar import is_door
    from ancestra_farm.api.client import EndpointGone
    from ancestra_farm.cli.follow import follow

    try:
        followed = follow(client, batch, commit, timeout)
    except EndpointGone as gone:
        if gone.presence is not None or is_door(store):
            raise
        followed = left_behind(store, batch)
    if followed.at_work and followed.how in {"interrupted", "timed_out"}:
        raise typer.Exit(CODES[followed.how])
    if not is_door(store):
        end_as(followed, store, batch)
    typer.echo(followed.message or followed.how)
    raise typer.Exit(CODES[followed.how])
