"""``ancestra run`` and ``resume``: the farm at work until nothing is left to do, and what to look at then."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ancestra_farm.cli.display import display
from ancestra_farm.cli.failures import DONE, FAILED, TIMED_OUT, CommandFailed, sentence
from ancestra_farm.cli.follow import Rate, hosts_note
from ancestra_farm.cli.handed_in import at_rest, hand_over
from ancestra_farm.cli.options import (
    CardsOption,
    CertificateOption,
    FileArgument,
    InsecureOption,
    KeyOption,
    PlainOption,
    StoreOption,
)
from ancestra_farm.cli.summary import duration, shell_word, to_go_on

if TYPE_CHECKING:
    from ancestra_farm.cli.follow import Followed
    from ancestra_farm.cli.reading import Reading
    from ancestra_farm.farm.run import Summary
    from ancestra_farm.farm.upkeep import Picture
    from ancestra_farm.plan.events import StitchEnded

MetricsOption = Annotated[
    int | None,
    typer.Option(
        "--metrics-port", help="Serve metrics on this port of loopback; 0: any.", min=0, max=65535, show_default=False
    ),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--timeout", help="Stop cleanly after so many seconds, with exit code 3.", min=0.001, show_default=False
    ),
]
HostsOption = Annotated[
    int | None, typer.Option("--hosts", help="At most so many hosts on CPU slots.", min=1, show_default=False)
]
CpusOption = Annotated[
    int | None, typer.Option("--cpus", help="CPUs of the local Ray; by default all.", min=1, show_default=False)
]
AddressOption = Annotated[
    str | None, typer.Option("--address", help="Join this Ray instead of starting a local one.", show_default=False)
]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="Show what Ray and its workers log.")]
WhoOption = Annotated[str, typer.Option("--as", help="Name in the log; by default yours.", show_default=False)]
ListenOption = Annotated[
    str,
    typer.Option(
        "--listen", help="HOST:PORT where the controller takes orders; port 0: any free one.", metavar="HOST:PORT"
    ),
]
StayOption = Annotated[bool, typer.Option("--stay", help="Stay for people when nothing is left to do, until stopped.")]
DetachOption = Annotated[bool, typer.Option("--detach", help="Leave the farm at work in the background.")]

#: For rehearsals only, so it is not in the help: see `ancestra_farm.farm.faults`.
FaultsOption = Annotated[Path | None, typer.Option("--faults", help="What hosts do wrong on purpose.", hidden=True)]

#: Only this machine, any free port.
LOOPBACK = "127.0.0.1:0"

#: Exit code by how a run ended. What waits for people has not failed.
CODES = {
    "done": DONE,
    "waiting": DONE,
    "failed": FAILED,
    "interrupted": FAILED,
    "superseded": FAILED,
    "timed_out": TIMED_OUT,
}


#: A run draws so many contact sheets at its end; a second or so each.
MOST_SHEETS = 24


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a farm is to work, as given on the command line."""

    metrics_port: int | None
    timeout: float | None
    hosts: int | None
    cpus: int | None
    address: str | None
    cards: Path | None
    who: str
    verbose: bool
    listen: str
    stay: bool
    faults: Path | None
    certificate: Path | None = None
    key: Path | None = None
    plain_http: bool = False
    insecure: bool = False

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise CommandFailed("--certificate and --key come together")
        if self.certificate is not None and self.plain_http:
            raise CommandFailed("--plain-http shows no certificate; say one or the other")

    def words(self) -> list[str]:
        """The same as words of a command line."""
        values = {
            "--metrics-port": self.metrics_port,
            "--timeout": self.timeout,
            "--hosts": self.hosts,
            "--cpus": self.cpus,
            "--address": self.address,
            "--cards": self.cards,
            "--as": self.who or None,
            "--listen": self.listen,
            "--faults": self.faults,
            "--certificate": self.certificate,
            "--key": self.key,
        }
        words = [word for name, value in values.items() if value is not None for word in (name, str(value))]
        flags = {
            "--verbose": self.verbose,
            "--stay": self.stay,
            "--plain-http": self.plain_http,
            "--insecure": self.insecure,
        }
        return words + [name for name, given in flags.items() if given]


def run(
    file: FileArgument,
    store: StoreOption,
    detach: DetachOption = False,
    stay: StayOption = False,
    metrics_port: MetricsOption = None,
    timeout: TimeoutOption = None,
    hosts: HostsOption = None,
    cpus: CpusOption = None,
    address: AddressOption = None,
    listen: ListenOption = LOOPBACK,
    cards: CardsOption = None,
    who: WhoOption = "",
    verbose: VerboseOption = False,
    faults: FaultsOption = None,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    plain_http: PlainOption = False,
    insecure: InsecureOption = False,
) -> None:
    """Run a batch to its end, from candidates to finished clips. Ctrl-C stops cleanly; resume goes on.

    Where a farm is at work in the store already, the batch is handed to it and watched; Ctrl-C then stops watching.
    The same batch again changes nothing: the farm goes on with what is left, if anything is.
    """
    from ancestra_farm.api.batchfile import planned

    shown = (certificate, key, plain_http, insecure)
    wanted = Wanted(metrics_port, timeout, hosts, cpus, address, cards, who, verbose, listen, stay, faults, *shown)
    plan = planned(file, cards)  # what can be refused is refused before Ray is loaded, which takes seconds
    if _with_live(file, store, wanted, watch=not detach):
        return
    said, work_left = at_rest(plan, store, alone=False)
    if said is not None:
        typer.echo(said)
        if not (work_left or stay or faults):
            end_as(left_behind(store, plan.batch.batch), store, plan.batch.batch)
    _work(file, store, wanted, detach=detach)


def resume(
    store: StoreOption,
    detach: DetachOption = False,
    stay: StayOption = False,
    metrics_port: MetricsOption = None,
    timeout: TimeoutOption = None,
    hosts: HostsOption = None,
    cpus: CpusOption = None,
    address: AddressOption = None,
    listen: ListenOption = LOOPBACK,
    who: WhoOption = "",
    verbose: VerboseOption = False,
    faults: FaultsOption = None,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    plain_http: PlainOption = False,
    insecure: InsecureOption = False,
) -> None:
    """Go on with everything in a store, from wherever it was left."""
    from ancestra_farm.ledger.store import Store

    Store.open(store)
    shown = (certificate, key, plain_http, insecure)
    wanted = Wanted(metrics_port, timeout, hosts, cpus, address, None, who, verbose, listen, stay, faults, *shown)
    _work(None, store, wanted, detach=detach)


def end_as(followed: "Followed", store: str, batch: str) -> NoReturn:
    """End the command as the batch ended, with what there is to look at."""
    for line in ending_lines(followed, store, batch):
        typer.echo(line)
    raise typer.Exit(CODES[followed.how])


def _with_live(file: Path, store: str, wanted: Wanted, *, watch: bool) -> bool:
    """Hand the batch to the farm that is at work in the store, and watch it; False where none is."""
    from ancestra_farm.api.batchfile import prepared
    from ancestra_farm.api.client import Client, EndpointGone
    from ancestra_farm.cli.follow import follow
    from ancestra_farm.ledger.errors import StoreMissing
    from ancestra_farm.ledger.store import Store

    try:
        opened = Store.open(store)
        client = Client.of(opened, wanted.who)
    except StoreMissing:
        return False
    if client is None:
        return False
    if wanted.faults is not None:
        raise CommandFailed(f"--faults is for a farm of one's own; {client.presence} is at work there")
    with client:
        ready = prepared(file, wanted.cards)
        name = ready.plan.batch.batch
        ready.upload(opened)
        try:
            commit = hand_over(client, ready.plan)
        except EndpointGone as gone:
            if gone.presence is not None:
                raise
            return False  # it was just leaving: the batch gets a farm of its own
        if not watch:
            typer.echo(f"to watch: ancestra watch --store {shell_word(store)} --batch {name}")
            return True
        try:
            followed = follow(client, name, commit, wanted.timeout)
        except EndpointGone as gone:
            if gone.presence is not None:
                raise
            followed = left_behind(store, name)
    if followed.at_work and followed.how in {"interrupted", "timed_out"}:
        raise typer.Exit(CODES[followed.how])  # nobody watches any more, and there is no result to look at yet
    end_as(followed, store, name)


def left_behind(store: str, batch: str) -> "Followed":
    """How a batch stands whose farm has ended: with its work, or before."""
    from ancestra_farm.cli.follow import Followed, ending_of, goes_on
    from ancestra_farm.cli.reading import Reading

    shots = Reading.open(store).progress(batch)
    if any(map(goes_on, shots)):
        return Followed("interrupted", (), f"the farm was stopped; to go on: {to_go_on(store)}", 0.0, at_work=False)
    return replace(ending_of(shots, 0.0), at_work=False)


def _work(file: Path | None, store: str, wanted: Wanted, *, detach: bool) -> None:
    """A farm of one's own, here or in the background."""
    if detach:
        _leave(file, store, wanted)
        return
    from ancestra_farm.farm.run import run_batch

    rate = Rate()
    with display() as shown:

        def show(picture: "Picture") -> None:
            if picture.at:
                shown.show(picture.shots, rate.of(picture.shots, picture.at), hosts_note(picture.hosts))

        summary = run_batch(
            file,
            store,
            who=wanted.who,
            cards=wanted.cards,
            address=wanted.address,
            cpus=wanted.cpus,
            hosts=wanted.hosts,
            metrics_port=wanted.metrics_port,
            timeout_s=wanted.timeout,
            verbose=wanted.verbose,
            listen=wanted.listen,
            stay=wanted.stay,
            certificate=str(wanted.certificate or ""),
            key=str(wanted.key or ""),
            plain_http=wanted.plain_http,
            insecure=wanted.insecure,
            faults=injected(wanted.faults),
            on_progress=show,
            on_message=lambda message: typer.echo(message, err=True),
        )
    for line in ending_lines(summary, store):
        typer.echo(line)
    raise typer.Exit(CODES[summary.how])


def injected(faults: Path | None) -> str:
    """What hosts are to do wrong, as JSON; empty without a file. Raises CommandFailed for one that does not say it."""
    if faults is None:
        return ""
    from pydantic import ValidationError

    from ancestra_farm.farm.faults import Injection

    try:
        return Injection.model_validate_json(faults.read_bytes()).model_dump_json()
    except (OSError, ValidationError) as error:
        raise CommandFailed(f"--faults: {faults}: {error}") from error


def _leave(file: Path | None, store: str, wanted: Wanted) -> None:
    """The farm goes to the background; say where it is, or why it did not come up."""
    from ancestra_farm.cli.background import detach

    command = ["resume"] if file is None else ["run", str(file)]
    left = detach([*command, "--store", store, *wanted.words()], store)
    at = shell_word(store)
    if left.presence is None:
        typer.echo(f"the farm had nothing left to do and has ended; it said: {left.log}")
        return
    typer.echo(f"the farm is at work in the background: {left.presence}, log {left.log}")
    typer.echo(f"to watch: ancestra watch --store {at}")
    typer.echo(f"to end it: ancestra stop --store {at}")


def ending_lines(summary: "Summary | Followed", url: str, batch: str | None = None) -> list[str]:
    """What a run says last: shot by shot, where to look, and what is wanted of whom. ``batch``: only of this one."""
    from ancestra_farm.cli.reading import Reading
    from ancestra_farm.cli.status import shot_lines

    reading = Reading.open(url)
    lines = ["", *shot_lines(reading.progress(batch))]
    lines += ["", *_where_to_look(reading, batch)]
    lines += waiting_lines(reading, summary.waiting, at_work=getattr(summary, "at_work", False))
    how = summary.how.replace("_", " ")
    lines.append(f"{how} after {duration(summary.seconds)}" + (f": {summary.message}" if summary.message else ""))
    return lines


def _where_to_look(reading: "Reading", batch: str | None) -> list[str]:
    store, progress = reading.store, reading.progress(batch)
    lines = [_sheet_line(reading, shot.batch, shot.shot) for shot in progress[:MOST_SHEETS]]
    if len(progress) > MOST_SHEETS:
        lines.append(f"contact sheets  of the other shots: ancestra sheet SHOT --store {shell_word(store.url)}")
    for end in sorted(reading.stitches.values(), key=by_shot_and_version):
        if end.ok and batch in {None, end.batch}:
            film = end.files.get("mp4") or end.files.get("master") or next(iter(end.files.values()), "")
            lines.append(f"finished clip   {place(store.url, film)}")
    lines.append(f"manifest        {place(store.url, 'tables/candidates/part-*.parquet')}")
    return lines


def by_shot_and_version(end: "StitchEnded") -> tuple[str, str, str]:
    """Those that nobody picked first, in the order they were made; then v001 and so on."""
    return end.batch, end.shot, end.version if end.version.startswith("v") else ""


def _sheet_line(reading: "Reading", batch: str, shot: str) -> str:
    """Draw a shot's contact sheet and say where it is. The film is finished whether or not its sheet can be drawn."""
    from ancestra_farm.cli.sheet import make_sheet, sheet_path

    try:
        drawn = make_sheet(reading, batch, shot)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not turn a finished run into a failed one
        return f"contact sheet   of {shot} could not be drawn: {sentence(error)}"
    if drawn is None:
        return f"contact sheet   of {shot}: nothing judged yet"
    return f"contact sheet   {place(reading.store.url, sheet_path(batch, shot))}"


def place(url: str, path: str) -> str:
    """A file of a store as a person opens it: a plain path where it is on this machine."""
    return f"{url.removeprefix('file://').rstrip('/')}/{path}"


def waiting_lines(reading: "Reading", waiting: Sequence[tuple[str, str, str]], *, at_work: bool = False) -> list[str]:
    """For each stage that waits for people: which, and the commands that carry on. ``at_work``: a farm waits, too."""
    if not waiting:
        return []
    store = f"--store {shell_word(reading.store.url)}"
    several = len(reading.submissions) > 1
    lines = ["waiting for people:"]
    for batch, shot, stage in waiting:
        of = f" --batch {batch}" if several else ""
        lines += [
            f"  {shot} {stage}",
            f"    ancestra sheet {shot} {store}{of}",
            f"    ancestra pick CANDIDATE_ID {store}{of}",
            f"    ancestra close {shot} {stage} {store}{of}",
        ]
    return lines if at_work else [*lines, f"  then: ancestra resume {store}"]
