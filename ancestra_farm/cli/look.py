"""``ancestra look``: style adapters, from photographs with a ledger to a file that batches name."""

import datetime as dt
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ancestra_farm.batch.numbers import counted
from ancestra_farm.cli.failures import FAILED, CommandFailed, on_terminal
from ancestra_farm.cli.listing import print_json, print_rows
from ancestra_farm.cli.options import CardsOption, JsonOption, NoteOption, PersonOption, StoreOption, person
from ancestra_farm.cli.summary import duration

if TYPE_CHECKING:
    from ancestra_farm.batch.card import ModelCard
    from ancestra_farm.batch.look import LocatedLook
    from ancestra_farm.ledger.store import Store
    from ancestra_farm.models.looks.dataset import Dataset
    from ancestra_farm.models.looks.training import Progress
    from ancestra_farm.telemetry.metrics import Metrics

app = typer.Typer(
    name="look",
    help="Looks: train a style on photographs whose rights are written down, check, and show what one was made of.",
    no_args_is_help=True,
)
FilesArgument = Annotated[
    list[Path], typer.Argument(help="Look files (YAML, schema ancestra/look/v1).", show_default=False)
]
MaybeStoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="ANCESTRA_STORE",
        help="Train as a job of the farm, with everything in this store; without one here, beside the look file.",
        show_default=False,
    ),
]
AddressOption = Annotated[
    str | None, typer.Option("--address", help="Join this Ray instead of starting a local one.", show_default=False)
]
MetricsOption = Annotated[
    int | None,
    typer.Option(
        "--metrics-port", help="Serve metrics on this port of loopback; 0: any.", min=0, max=65535, show_default=False
    ),
]
DigestArgument = Annotated[
    str, typer.Argument(help="sha256:… of a photograph, or of a look's file.", show_default=False)
]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="Show what Ray and its workers log.")]

#: A line of progress in a log so often, in seconds; on a terminal the line is written anew each time.
LOG_EVERY_S = 10.0


@app.command("check")
def check_looks(files: FilesArgument, cards: CardsOption = None, as_json: JsonOption = False) -> None:
    """Check look files with their photographs and ledgers; every problem with its line.

    JSON keys, for each file: file, look, show, model, photographs, data, ledger.
    """
    rows: list[dict[str, Any]] = []
    for file in files:
        located, card, dataset = _checked(file, cards)
        rows.append(
            {
                "file": str(file),
                "look": located.look.look,
                "show": located.look.show,
                "model": card.id,
                "photographs": len(dataset.photos),
                "data": dataset.data,
                "ledger": dataset.ledger,
            }
        )
    if as_json:
        print_json(rows)
        return
    for row in rows:
        photographs = counted(row["photographs"], "photograph")
        typer.echo(f"{row['file']}: good. Look {row['look']} of show {row['show']} on {row['model']}, {photographs}")


@app.command("train")
def train_looks(
    files: FilesArgument,
    store: MaybeStoreOption = None,
    cards: CardsOption = None,
    address: AddressOption = None,
    metrics_port: MetricsOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Train looks, one after another, and print what a batch says to use them. Ctrl-C stops; the same goes on.

    All files are checked before the first is trained. What is trained already is not trained again.
    """
    if address is not None and store is None:
        raise CommandFailed("--address is for training as a job of the farm; give its --store too")
    checked = [_checked(file, cards) for file in files]
    with _metrics(metrics_port) as metrics, _stopping() as stopped:
        for located, card, dataset in checked:
            shown = _Shown(located.look.look, metrics)
            if store is None:
                entry = _train_here(located, card, dataset, shown, stopped)
            else:
                entry = _train_there(located, card, dataset, store, address, verbose, shown, stopped)
            typer.echo(entry)


@app.command("show")
def show_look(
    file: Annotated[Path, typer.Argument(help="A look (safetensors).", show_default=False)], as_json: JsonOption = False
) -> None:
    """Show what a look was made of: base, photographs, ledger, settings."""
    import hashlib

    from ancestra_farm.models.looks.adapter import read_facts

    if not file.is_file():
        raise CommandFailed(f"{file}: no such file")
    facts = read_facts(file)
    digest = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    if as_json:
        print_json({"digest": digest, "facts": None if facts is None else facts.model_dump(mode="json", by_alias=True)})
        return
    typer.echo(f"digest    {digest}")
    if facts is None:
        typer.echo("it does not say what it was made of: it was not trained here")
        return
    typer.echo(f"look      {facts.look}, for show {facts.show}")
    typer.echo(f"base      {facts.model} ({facts.component}), {facts.base}")
    typer.echo(f"made of   {len(facts.assets)} photographs, {facts.data}")
    typer.echo(f"ledger    {facts.ledger}")
    typer.echo(f"licences  {', '.join(facts.licences)}")
    typer.echo(f"training  {facts.steps:,} steps, rank {facts.settings.rank}, seed {facts.settings.seed}, ", nl=False)
    typer.echo(f"loss {facts.loss:.4f}")


@app.command("descendants")
def descendants(digest: DigestArgument, store: StoreOption, as_json: JsonOption = False) -> None:
    """List what descends from a photograph or a look: stages with candidates made with it, and versions they are in.

    JSON keys: digest, revoked (null, or who, note, at), looks (name by digest), made (batch, shot, stage, look,
    candidates, survivors, versions).
    """
    from ancestra_farm.ledger.materials import sha256_of
    from ancestra_farm.ledger.store import Store

    sha256_of(digest)
    _show_descendants(Store.open(store), digest, as_json=as_json)


@app.command("revoke")
def revoke_asset(
    digest: DigestArgument,
    store: StoreOption,
    who: PersonOption = "",
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> None:
    """Revoke a photograph or a look: nothing is trained on it in this store any more; list what descends from it.

    Nothing is deleted, and looks that were trained on it are not stopped: withdraw what is listed. JSON keys as of
    descendants.
    """
    from ancestra_farm.api.door import own_name
    from ancestra_farm.ledger.revoked import revoke
    from ancestra_farm.ledger.store import Store

    opened = Store.open(store)
    revoke(opened, digest, person(who) or own_name(opened), note, time.time())
    _show_descendants(opened, digest, as_json=as_json)


def _show_descendants(store: "Store", digest: str, *, as_json: bool) -> None:
    from ancestra_farm.cli.descent import DescentRow, descents, trained_on
    from ancestra_farm.ledger.revoked import revocations

    revocation = revocations(store).get(digest)
    looks, rows = trained_on(store, digest), descents(store, digest)
    if as_json:
        print_json({"digest": digest, "revoked": revocation, "looks": looks, "made": rows})
        return
    if revocation is not None:
        typer.echo(str(revocation))
    for look, name in looks.items():
        typer.echo(f"look {name} was trained on it: {look}")
    print_rows(DescentRow, rows, none="nothing in this store was made with it")


def _checked(file: Path, cards: Path | None) -> "tuple[LocatedLook, ModelCard, Dataset]":
    """A look file and its photographs, if nothing is wrong with them. Raises BatchRefused with every problem."""
    from ancestra_farm.batch.look import checked_look
    from ancestra_farm.models.catalog import load_catalog
    from ancestra_farm.models.looks.dataset import load_dataset

    catalogue = load_catalog(cards)
    located = checked_look(file, catalogue)
    card = catalogue[located.look.model]
    today = dt.datetime.now(dt.UTC).date()
    return located, card, load_dataset(located, located.look.size or card.sizes.default, today)


def _train_here(
    located: "LocatedLook", card: "ModelCard", dataset: "Dataset", shown: "_Shown", stopped: threading.Event
) -> str:
    """Train in this process; what a batch says to use the look."""
    from ancestra_farm.models.build import no_materials
    from ancestra_farm.models.diffusion.generator import DiffusersGenerator
    from ancestra_farm.models.looks.shelf import FolderShelf
    from ancestra_farm.models.looks.training import Lesson, train, training_card

    look = located.look
    lesson = Lesson(look, card, dataset.photos, dataset.data, dataset.ledger, dataset.licences)
    shelf = FolderShelf(located.file.parent / f"{look.look}-{lesson.digest[:12]}")
    generator = DiffusersGenerator(training_card(card), no_materials)
    generator.setup()
    with _said():
        trained = train(lesson, generator, shelf, shown, stopped.is_set)
    file = located.file.parent / f"{look.look}.safetensors"
    FolderShelf(file.parent).write(file.name, trained.data)
    shown.end(str(trained.moved))
    typer.echo(f"samples   {shelf.folder}/samples", err=True)
    return _entry(look.look, str(file.absolute()), trained.digest)


def _train_there(
    located: "LocatedLook",
    card: "ModelCard",
    dataset: "Dataset",
    store: str,
    address: str | None,
    verbose: bool,
    shown: "_Shown",
    stopped: threading.Event,
) -> str:
    """Train as a job of the farm; what a batch says to use the look."""
    from ancestra_farm.batch.urls import check_store_url
    from ancestra_farm.farm.look_training import LookJob, train_on_farm

    job = LookJob.of(located.look, card, dataset)
    with _said():
        done = train_on_farm(
            job,
            dataset,
            store,
            address=address,
            verbose=verbose,
            tell=shown,
            say=lambda message: typer.echo(message, err=True),
            asked_to_stop=stopped.is_set,
        )
    shown.end(done.moved)
    url = check_store_url(store)
    typer.echo(f"samples   {url}/{done.path.rpartition('/')[0]}/samples", err=True)
    return _entry(located.look.look, f"{url}/{done.path}", done.digest)


def _entry(name: str, source: str, digest: str) -> str:
    """What stands in a batch file."""
    return f"looks:\n  {name}:\n    source: {json.dumps(source, ensure_ascii=False)}\n    digest: {digest}"


@contextmanager
def _said() -> Iterator[None]:
    """A training that was stopped ends the command with a sentence."""
    from ancestra_farm.models.protocol import Aborted

    try:
        yield
    except Aborted as error:
        raise CommandFailed(str(error), FAILED) from error


class _Shown:
    """Progress of one look, for whoever watches, and in the metrics."""

    def __init__(self, name: str, metrics: "Metrics | None") -> None:
        self._name = name
        self._metrics = metrics
        self._next = 0.0
        self._open = False

    def __call__(self, progress: "Progress") -> None:
        """Show a step."""
        if self._metrics is not None:
            self._metrics.set_look(
                self._name,
                steps=progress.step,
                wanted=progress.steps,
                loss=progress.loss,
                step_s=progress.step_s,
                samples=len(progress.samples),
            )
        now = time.monotonic()
        if now < self._next and progress.step < progress.steps:
            return
        self._next = now + (0.25 if on_terminal() else LOG_EVERY_S)
        left = duration((progress.steps - progress.step) * progress.step_s)
        line = (
            f"{self._name}: step {progress.step:,} of {progress.steps:,}, loss {progress.loss:.4f}, about {left} to go"
        )
        typer.echo(f"\r\x1b[K{line}" if on_terminal() else line, err=True, nl=not on_terminal())
        self._open = on_terminal()

    def end(self, moved: str) -> None:
        """Say how far the style went."""
        if self._open:
            typer.echo("", err=True)
        typer.echo(f"style     of the way to the photographs: {moved}", err=True)


@contextmanager
def _metrics(port: int | None) -> "Iterator[Metrics | None]":
    """Metrics of this process, served while it trains."""
    if port is None:
        yield None
        return
    from ancestra_farm.telemetry.exporter import serve
    from ancestra_farm.telemetry.metrics import Metrics

    metrics = Metrics()
    with closing(serve(metrics, port)) as exporter:
        typer.echo(f"metrics at {exporter.url}", err=True)
        yield metrics


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second ends the program where it is."""
    import signal

    asked = threading.Event()

    def handle(_number: int, _frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        typer.echo("stopping after this step; once more stops at once", err=True)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
