"""``ancestra run`` and ``resume``: the farm at work until nothing is left to do, and what to look at then."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ancestra_farm.cli.display import display
from ancestra_farm.cli.failures import DONE, FAILED, TIMED_OUT, sentence
from ancestra_farm.cli.options import CardsOption, FileArgument, StoreOption
from ancestra_farm.cli.summary import duration, shell_word

if TYPE_CHECKING:
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


def run(
    file: FileArgument,
    store: StoreOption,
    metrics_port: MetricsOption = None,
    timeout: TimeoutOption = None,
    hosts: HostsOption = None,
    cpus: CpusOption = None,
    address: AddressOption = None,
    cards: CardsOption = None,
    who: WhoOption = "",
    verbose: VerboseOption = False,
) -> None:
    """Run a batch to its end, from candidates to finished clips. Ctrl-C stops cleanly; resume goes on."""
    _work(file, store, metrics_port, timeout, hosts, cpus, address, cards, who, verbose)


def resume(
    store: StoreOption,
    metrics_port: MetricsOption = None,
    timeout: TimeoutOption = None,
    hosts: HostsOption = None,
    cpus: CpusOption = None,
    address: AddressOption = None,
    who: WhoOption = "",
    verbose: VerboseOption = False,
) -> None:
    """Go on with everything in a store, from wherever it was left."""
    _work(None, store, metrics_port, timeout, hosts, cpus, address, None, who, verbose)


def _work(
    file: Path | None,
    store: str,
    metrics_port: int | None,
    timeout: float | None,
    hosts: int | None,
    cpus: int | None,
    address: str | None,
    cards: Path | None,
    who: str,
    verbose: bool,
) -> None:
    _check_first(file, store, cards)
    from ancestra_farm.farm.run import run_batch

    rate = Rate()
    with display() as shown:

        def show(picture: "Picture") -> None:
            if picture.at:
                shown.show(picture.shots, rate.of(picture), hosts_note(picture))

        summary = run_batch(
            file,
            store,
            who=who,
            cards=cards,
            address=address,
            cpus=cpus,
            hosts=hosts,
            metrics_port=metrics_port,
            timeout_s=timeout,
            verbose=verbose,
            on_progress=show,
            on_message=lambda message: typer.echo(message, err=True),
        )
    for line in ending_lines(summary, store):
        typer.echo(line)
    raise typer.Exit(CODES[summary.how])


def _check_first(file: Path | None, store: str, cards: Path | None) -> None:
    """Refuse what can be refused before Ray is loaded, which takes seconds."""
    if file is not None:
        from ancestra_farm.api.batchfile import planned

        planned(file, cards)
    else:
        from ancestra_farm.ledger.store import Store

        Store.open(store)


class Rate:
    """Judged candidates per second, from one picture to the next, over `WINDOW_S`."""

    WINDOW_S = 30.0

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def of(self, picture: "Picture") -> float:
        """The rate up to this picture."""
        judged = sum(stage.judged for shot in picture.shots for stage in shot.stages)
        self._seen.append((picture.at, judged))
        while len(self._seen) > 2 and self._seen[1][0] < picture.at - self.WINDOW_S:
            self._seen.pop(0)
        (began, before), span = self._seen[0], picture.at - self._seen[0][0]
        del began
        return max(judged - before, 0) / span if span > 0 else 0.0


def hosts_note(picture: "Picture") -> str:
    """``2 hosts, 1 starting``; empty while there are none."""
    ready = sum(counts[0] for counts in picture.hosts.values())
    starting = sum(counts[1] for counts in picture.hosts.values())
    parts = [f"{ready} host{'' if ready == 1 else 's'}"] if ready else []
    return ", ".join(parts + ([f"{starting} starting"] if starting else []))


def ending_lines(summary: "Summary", url: str) -> list[str]:
    """What a run says last: shot by shot, where to look, and what is wanted of whom."""
    from ancestra_farm.cli.reading import Reading
    from ancestra_farm.cli.status import shot_lines

    reading = Reading.open(url)
    lines = ["", *shot_lines(reading, reading.progress())]
    lines += ["", *_where_to_look(reading)]
    lines += waiting_lines(reading, summary.waiting)
    how = summary.how.replace("_", " ")
    lines.append(f"{how} after {duration(summary.seconds)}" + (f": {summary.message}" if summary.message else ""))
    return lines


def _where_to_look(reading: "Reading") -> list[str]:
    store, progress = reading.store, reading.progress()
    lines = [_sheet_line(reading, shot.batch, shot.shot) for shot in progress[:MOST_SHEETS]]
    if len(progress) > MOST_SHEETS:
        lines.append(f"contact sheets  of the other shots: ancestra sheet SHOT --store {shell_word(store.url)}")
    for end in sorted(reading.stitches.values(), key=by_shot_and_version):
        if end.ok:
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


def waiting_lines(reading: "Reading", waiting: Sequence[tuple[str, str, str]]) -> list[str]:
    """For each stage that waits for people: which, and the commands that carry on."""
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
            f"    ancestra pick CANDIDATE_ID {store} --as NAME{of}",
            f"    ancestra close {shot} {stage} {store} --as NAME{of}",
        ]
    return [*lines, f"  then: ancestra resume {store}"]
