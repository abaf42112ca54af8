"""``ancestra simulate``: how a farm would do, in virtual time, with the very scheduler that runs it."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ancestra_farm.cli.failures import CommandFailed
from ancestra_farm.cli.listing import column, number, print_json, print_rows
from ancestra_farm.cli.options import CardsOption, JsonOption
from ancestra_farm.cli.summary import duration

if TYPE_CHECKING:
    from ancestra_farm.batch.faults import FaultProfile
    from ancestra_farm.plan.plan import Plan
    from ancestra_farm.simulate.farm import VirtualFarm
    from ancestra_farm.simulate.report import Report
    from ancestra_farm.simulate.scenario import NodeKind, Scenario

EPILOG = (
    "--faults takes none, calm, rough, storm, or a YAML or JSON file with rates. The same arguments and seed tell the "
    "same story. What the scheduler must never do ends it with exit code 1 and the moment at which it did."
)
#: Seconds between two looks at the progress line on a terminal, and between two lines in a log.
PROGRESS_S, LOG_EVERY_S = 0.5, 10.0


FilesArgument = Annotated[
    list[Path] | None, typer.Argument(help="Batch files (YAML, schema ancestra/v1).", show_default=False)
]
HostsOption = Annotated[int, typer.Option("--hosts", min=1, help="Device slots.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Another seed, another story.")]
FaultsOption = Annotated[str, typer.Option("--faults", help="What goes wrong: a name, or a file with rates.")]
PerNodeOption = Annotated[int, typer.Option("--per-node", min=1, help="Slots of one machine.")]
NodesOption = Annotated[
    list[str] | None,
    typer.Option("--nodes", help="A kind of machine, NAME:SHARE:FACTOR (seconds as a multiple); several times."),
]
AutoscaleOption = Annotated[
    int | None, typer.Option("--autoscale", min=1, help="Machines come and go; so many slots always stay.")
]
CopiesOption = Annotated[int, typer.Option("--copies", min=1, help="Submit each file so often, under other names.")]
EveryOption = Annotated[float, typer.Option("--every", min=0, help="Mean seconds between two submissions.")]
MixOption = Annotated[
    str | None, typer.Option("--mix", help="Classes by lot, such as dailies=1,shot=3.", show_default=False)
]
ScaleOption = Annotated[int, typer.Option("--scale", min=1, help="So many times the shots and the budget.")]
YieldsOption = Annotated[
    list[str] | None, typer.Option("--yield", help="STAGE=PART that passes (STAGE/draft too); several times.")
]
SecondsOption = Annotated[
    list[str] | None, typer.Option("--seconds", help="MODEL=SECONDS of one candidate; several times.")
]
LoadOption = Annotated[list[str] | None, typer.Option("--load", help="MODEL=SECONDS to load it; several times.")]
WordingsOption = Annotated[float, typer.Option("--wordings", min=0, help="Spread of yields between wordings.")]
PeopleOption = Annotated[float, typer.Option("--people", min=0, help="Mean seconds until a person picks.")]
OrdersOption = Annotated[float, typer.Option("--orders", min=0, help="Orders at random, an hour.")]
StitchesOption = Annotated[int, typer.Option("--stitches", min=1, help="Stitches at once.")]
PriceOption = Annotated[float | None, typer.Option("--price", min=0, help="Of a device hour, instead of the batch's.")]
CheckOption = Annotated[str, typer.Option("--check", help="Look at invariants: every, sampled, end.")]
PlotOption = Annotated[Path | None, typer.Option("--plot", help="Draw it as a PNG.", show_default=False)]
TrialsOption = Annotated[
    int | None, typer.Option("--trials", min=1, help="Random small farms instead, from --seed on; no files.")
]


@dataclass(frozen=True, slots=True)
class Given:
    """The story that is to be told, as given on the command line."""

    files: list[Path]
    cards: Path | None
    seed: int
    hosts: int
    per_node: int
    nodes: list[str] | None
    faults: str
    autoscale: int | None
    copies: int
    every: float
    mix: str | None
    scale: int
    yields: list[str] | None
    seconds: list[str] | None
    load: list[str] | None
    wordings: float
    people: float
    orders: float
    stitches: int
    price: float | None
    check: str

    def scenario(self) -> "Scenario":
        """What `simulate.run` tells. Raises CommandFailed, BatchRefused, CatalogRefused, PlanRefused."""
        from ancestra_farm.api.batchfile import planned
        from ancestra_farm.simulate.crowd import crowd
        from ancestra_farm.simulate.scenario import Autoscaling, Scenario

        if self.check not in ("every", "sampled", "end"):
            raise CommandFailed(f"--check: {self.check} is none of every, sampled, end")
        true_seconds = _pairs("--seconds", self.seconds)
        plans = [_guessing(planned(file, self.cards), true_seconds) for file in self.files]
        chances = {"default_yield": 0.05} | _price(plans, self.price)
        mix = _pairs("--mix", [self.mix or ""])
        return Scenario(
            arrivals=crowd(plans, seed=self.seed, copies=self.copies, scale=self.scale, every_s=self.every, mix=mix),
            seed=self.seed,
            hosts=self.hosts,
            per_node=min(self.per_node, self.hosts),
            kinds=_kinds(self.nodes),
            faults=profile(self.faults),
            autoscaling=None if self.autoscale is None else Autoscaling(floor=min(self.autoscale, self.hosts)),
            yields=_pairs("--yield", self.yields),
            seconds=true_seconds,
            load_s=_pairs("--load", self.load),
            wordings=self.wordings,
            people_s=self.people,
            orders_per_hour=self.orders,
            stitches=self.stitches,
            check=self.check,  # type: ignore[arg-type] # one of them
            **chances,
        )

    def title(self) -> str:
        """What stands above its picture."""
        parts = [" + ".join(file.name for file in self.files)]
        if self.copies > 1:
            parts.append(f"{self.copies} copies")
        if self.scale > 1:
            parts.append(f"{self.scale} times the shots")
        parts += [f"{self.hosts:,} slots", f"faults {Path(self.faults).name}", f"seed {self.seed}"]
        return ", ".join(parts)


def simulate(
    files: FilesArgument = None,
    hosts: HostsOption = 8,
    seed: SeedOption = 0,
    faults: FaultsOption = "none",
    per_node: PerNodeOption = 8,
    nodes: NodesOption = None,
    autoscale: AutoscaleOption = None,
    copies: CopiesOption = 1,
    every: EveryOption = 0.0,
    mix: MixOption = None,
    scale: ScaleOption = 1,
    yields: YieldsOption = None,
    seconds: SecondsOption = None,
    load: LoadOption = None,
    wordings: WordingsOption = 0.0,
    people: PeopleOption = 900.0,
    orders: OrdersOption = 0.0,
    stitches: StitchesOption = 4,
    price: PriceOption = None,
    check: CheckOption = "sampled",
    plot: PlotOption = None,
    trials: TrialsOption = None,
    cards: CardsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell how batches would fare on a farm of so many hosts, in virtual time, with faults, people and a seed."""
    if trials is not None:
        _trials(trials, seed, files or [])
        return
    if not files:
        raise CommandFailed("name a batch file to simulate, or --trials N for random ones")
    given = Given(
        files, cards, seed, hosts, per_node, nodes, faults, autoscale, copies, every, mix, scale, yields, seconds,
        load, wordings, people, orders, stitches, price, check,
    )  # fmt: skip
    _tell(given, plot, as_json=as_json)


def _tell(given: Given, plot: Path | None, *, as_json: bool) -> None:
    """Tell a story, draw it, and say how it went."""
    from ancestra_farm.simulate.run import simulate as tell

    report = tell(given.scenario(), _progress())
    if plot is not None:
        from ancestra_farm.simulate.plot import draw

        draw(report, given.title(), plot)
    if as_json:
        print_json({key: value for key, value in asdict(report).items() if not _is_curve(key)} | _speed(report))
        return
    _print(report)
    if plot is not None:
        typer.echo(f"\ndrawn       {plot}")


def profile(name: str) -> "FaultProfile":
    """The fault profile of that name, or in that file. Raises CommandFailed, BatchRefused."""
    from ancestra_farm.batch.faults import PRESETS
    from ancestra_farm.batch.load import load_faults

    if name in PRESETS:
        return PRESETS[name]
    if not Path(name).is_file():
        raise CommandFailed(f"--faults: {name} is no file and none of {', '.join(PRESETS)}")
    return load_faults(name)


def _trials(count: int, first: int, files: Sequence[Path]) -> None:
    if files:
        raise CommandFailed("--trials makes up its own batches; name no files")
    from ancestra_farm.simulate.trial import tried

    before = time.perf_counter()
    for done, seed in enumerate(range(first, first + count), start=1):
        tried(seed)
        if sys.stderr.isatty():
            typer.echo(f"\r{done:,} of {count:,} farms, none broke a law", err=True, nl=False)
    if sys.stderr.isatty():
        typer.echo("", err=True)
    typer.echo(f"{count:,} farms, seeds {first} to {first + count - 1}: no law was broken")
    typer.echo(f"{time.perf_counter() - before:,.1f} s")


def _pairs(option: str, texts: Sequence[str] | None) -> dict[str, float]:
    """NAME=NUMBER, several to a text with commas. Raises CommandFailed."""
    found: dict[str, float] = {}
    for pair in (part for text in texts or () for part in text.split(",") if part):
        name, separator, value = pair.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            separator = ""
        if not separator or not name.strip():
            raise CommandFailed(f"{option}: {pair!r} is not written as NAME=NUMBER")
    return found


def _kinds(texts: Sequence[str] | None) -> "tuple[NodeKind, ...]":
    from ancestra_farm.simulate.scenario import NodeKind

    kinds = []
    for text in texts or ["node:1:1"]:
        name, *numbers = text.split(":")
        try:
            share, factor = (float(one) for one in numbers)
        except ValueError:
            raise CommandFailed(f"--nodes: {text!r} is not written as NAME:SHARE:FACTOR, such as a10:3:2.5") from None
        kinds.append(NodeKind(name, share, factor))
    return tuple(kinds)


def _guessing(plan: "Plan", seconds: Mapping[str, float]) -> "Plan":
    """The plan with cards that say these seconds: a card that were so far out would be mended before a long run."""
    from ancestra_farm.plan.plan import Plan

    changed = {
        model: card.model_copy(update={"seconds_per_candidate": seconds[model]}) if model in seconds else card
        for model, card in plan.cards.items()
    }
    return Plan.of(plan.batch, changed) if seconds else plan


def _price(plans: "Sequence[Plan]", price: float | None) -> dict[str, Any]:
    """The price of a device hour: as given, or the first that a batch names."""
    budgets = [plan.batch.budget for plan in plans]
    named = next((budget for budget in budgets if budget.price_per_device_hour is not None), None)
    currency = budgets[0].currency if named is None else named.currency
    if price is None and named is not None:
        price = named.price_per_device_hour
    return {"price_per_device_hour": price, "currency": currency}


def _progress() -> "Callable[[VirtualFarm], None]":
    from ancestra_farm.simulate.clock import BEGIN_S

    began = time.perf_counter()
    live = sys.stderr.isatty()
    last = [began]

    def say(farm: "VirtualFarm") -> None:
        now = time.perf_counter()
        if now - last[0] >= (PROGRESS_S if live else LOG_EVERY_S):
            last[0] = now
            rate = farm.tally.judged / (now - began)
            line = f"{duration(farm.clock.now - BEGIN_S)} told, {farm.tally.judged:,} judged, {rate:,.0f} a second"
            typer.echo(f"\r{line:<78}" if live else line, err=True, nl=not live)

    return say


# ---- what is printed -----------------------------------------------------------------------------------------------


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


@dataclass(frozen=True, slots=True)
class UseRow:
    """What the slots of a model's hosts did, as parts of their hours."""

    pool: str = column("model")
    slot_hours: float = column("slot hours", number)
    busy: float = column("busy", _percent)
    loading: float = column("loading", _percent)
    starved: float = column("starved", _percent)
    idle: float = column("idle", _percent)
    empty: float = column("no host", _percent)


@dataclass(frozen=True, slots=True)
class WaitRow:
    """How long shots waited, by class."""

    priority: str = column("class")
    what: str = column("until the")
    shots: int = column("shots", number)
    p50: float = column("half", duration)
    p90: float = column("90 %", duration)
    p99: float = column("99 %", duration)
    p100: float = column("all", duration)


@dataclass(frozen=True, slots=True)
class StageRow:
    """Candidates of a stage, over all shots."""

    stage: str = column("stage")
    released: int = column("released", number)
    survivors: int = column("survivors", number)
    drafts: int = column("drafts", number, quiet=True)
    failed: int = column("failed", number, quiet=True)
    skipped: int = column("skipped", number, quiet=True)
    device_hours: float = column("device hours", number)


def _print(report: "Report") -> None:
    print_rows(StageRow, [StageRow(**asdict(stage)) for stage in report.stages])
    typer.echo("")
    print_rows(UseRow, [UseRow(**asdict(use)) for use in report.use])
    typer.echo("")
    print_rows(WaitRow, [WaitRow(**asdict(wait)) for wait in report.waits], none="no shot got as far as a ticket")
    typer.echo("")
    for name, line in _lines(report):
        if line:
            typer.echo(f"{name:<12}{line}")


def _lines(report: "Report") -> list[tuple[str, str]]:
    """What is left to say, a line each."""
    cost = ""
    if report.cost is not None:
        each = "" if report.cost_per_survivor is None else f", {report.cost_per_survivor:,.4f} a survivor"
        cost = f"{report.cost:,.2f} {report.currency} for {report.up_hours:,.2f} device-hours{each}"
    end = "to the end" if report.ended else "broken off at the limit"
    if report.waiting_for_people:
        end += f"; {report.waiting_for_people} stages wait for people"
    return [
        ("makespan", f"{duration(report.makespan_s)}, {end}"),
        ("stuck", "; ".join(report.stuck)),
        ("delivered", f"{report.delivered:,} of {report.shots:,} shots in {report.batches:,} batches"),
        ("cost", cost),
        ("tickets", f"{report.tickets:,} begun, {report.revoked:,} taken back"),
        ("hosts", _hosts(report)),
        ("tried again", _counts(report.retries)),
        ("given up", _counts(report.given_up)),
        ("wasted", ", ".join(f"{duration(hours * 3600)} {cause}" for cause, hours in report.wasted_hours.items())),
        ("orders", _counts(report.orders) + (f" ({report.refused} refused)" if report.refused else "")),
        ("told in", f"{report.wall_s:,.1f} s, {report.candidates_per_s:,.0f} candidates a second"),
    ]


def _hosts(report: "Report") -> str:
    parts = [f"{report.model_loads:,} model loads", f"{report.hosts_stopped:,} let go"]
    for count, words in ((report.hosts_killed, "killed"), (report.node_losses, "nodes lost")):
        if count:
            parts.append(f"{count:,} {words}")
    if report.restarts:
        parts.append(f"controller lost {report.restarts} times")
    return ", ".join(parts)


def _counts(counts: "Any") -> str:  # noqa: ANN401 - a mapping of counts
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())


def _is_curve(key: str) -> bool:
    return key.endswith("_over_time") or key == "first_survivors"


def _speed(report: "Report") -> dict[str, float]:
    return {"candidates_per_s": report.candidates_per_s}
