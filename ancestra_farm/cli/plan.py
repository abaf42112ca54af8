"""``ancestra plan``: what a batch will make, how much of it, and what that may cost, before a device is used."""

import json
import math
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ancestra_farm.cli.listing import column, number, print_json, print_rows
from ancestra_farm.cli.options import CardsOption, FileArgument, JsonOption
from ancestra_farm.cli.summary import duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ancestra_farm.batch.card import ModelCard
    from ancestra_farm.batch.farm_settings import FarmSettings
    from ancestra_farm.plan.estimate import Estimate
    from ancestra_farm.plan.plan import Plan, StagePlan
    from ancestra_farm.scheduler.prices import HostPrice
    from ancestra_farm.scheduler.settings import Settings
    from ancestra_farm.scheduler.state import FarmState

PricesOption = Annotated[
    str | None,
    typer.Option("--store", envvar="ANCESTRA_STORE", help="Whose settings it is held against.", show_default=False),
]
FarmOption = Annotated[
    Path | None, typer.Option("--farm", help="A file of farm settings (ancestra/farm/v1).", show_default=False)
]

EPILOG = (
    "JSON keys: batch, show, digest, candidates, device_hours, cost, currency, at_most, budget_ends_it, "
    "stages (shot, stage, model, variants, drafts, full, at_most, device_hours, node_type, price_per_hour, cost, "
    "makes, segments, overlap_frames, trim_frames, rate), notes (where spending by yield changes nothing), refusals "
    "(why the farm would not take it)."
)


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage of one shot. ``segments``: frames of each at ``rate``.

    ``price_per_hour``: of a host of its model, on ``node_type`` where node types have prices, else by the budget.
    """

    shot: str = column("shot")
    stage: str = column("stage")
    model: str = column("model")
    variants: int = column("wordings", number)
    drafts: int = column("drafts", number, quiet=True)
    full: int = column("candidates", number)
    at_most: bool = column("", lambda most: "at most" if most else "", quiet=True)
    device_hours: float = column("device time", lambda hours: duration(hours * 3600))
    node_type: str = column("on", quiet=True)
    price_per_hour: float | None = column("an hour", number, quiet=True)
    cost: float | None = column("cost", number, quiet=True)
    makes: str = column("makes")
    segments: tuple[int, ...] = ()
    overlap_frames: int = 0
    trim_frames: int = 0
    rate: str = ""


def plan(
    file: FileArgument,
    store: PricesOption = None,
    farm: FarmOption = None,
    cards: CardsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what a batch will make: candidates, device-hours and cost per shot and stage, and the exact frames.

    Money is counted by node type where --store or --farm says what those cost, else by the budget's own price.
    """
    from ancestra_farm.api.afar import is_door
    from ancestra_farm.api.batchfile import planned
    from ancestra_farm.plan.estimate import estimate
    from ancestra_farm.plan.spending import idle_by_yield

    made = planned(file, cards)
    whole = estimate(made)
    state = _standing(store, farm, made.batch.show)
    bill = _bill(whole, made.cards, state.settings.farm)
    refused = _refusals(made, state, alone=store is None or is_door(store))
    rows = _rows(whole, made, bill)
    if as_json:
        print_json(
            {"batch": made.batch.batch, "show": made.batch.show, "digest": made.digest}
            | _totals(whole, bill)
            | {"stages": rows, "notes": idle_by_yield(made), "refusals": refused}
        )
        return
    print_rows(StageRow, rows)
    for shot in made.shots:
        handles = f" and {shot.handles} on each side" if shot.handles else ""
        typer.echo(f"{shot.name}: {shot.frames:,} frames{handles} at {shot.rate} per second")
    if any(row.overlap_frames or row.trim_frames for row in rows):
        typer.echo("clips: frames of each segment, less those that neighbours share, less what is cut off the end")
    typer.echo(total_line(whole, bill))
    for note in idle_by_yield(made):
        typer.echo(f"note: {note}")
    for why in refused:
        typer.echo(f"the farm would not take it: {why}")


@dataclass(frozen=True, slots=True)
class Bill:
    """What an hour costs: of a host of each model, by node type, or ``flat``, by the batch's own budget."""

    hosts: "dict[str, HostPrice]"
    flat: float | None
    currency: str
    total: float | None

    def node_type(self, model: str) -> str:
        """Where a model is cheapest; empty where node types say nothing."""
        return self.hosts[model].node_type if model in self.hosts else ""

    def price(self, model: str) -> float | None:
        """Of an hour of a host of the model."""
        return self.hosts[model].per_hour if model in self.hosts else self.flat


def _bill(whole: "Estimate", cards: "Mapping[str, ModelCard]", farm: "FarmSettings") -> Bill:
    """By node types where these have prices, else by the budget."""
    from ancestra_farm.scheduler.prices import prices_of

    prices = {model: price for model, price in prices_of(cards, farm).items() if price.per_hour}
    if not prices:
        budget = whole.budget
        return Bill({}, budget.price_per_device_hour, budget.currency, whole.cost)
    total = whole.cost_at({model: price.per_hour for model, price in prices.items()})
    return Bill(prices, None, farm.currency, total)


def _standing(store: str | None, farm: Path | None, show: str) -> "FarmState":
    """How a store stands; without one, or before anybody submitted anything there, as new. ``farm``: its settings.

    Through a door no more than its settings and those of the show are known.
    """
    from ancestra_farm.api.afar import is_door
    from ancestra_farm.scheduler.state import FarmState

    state = FarmState()
    if store is not None and is_door(store):
        _ask(store, show, state.settings)
    elif store is not None:
        from ancestra_farm.cli.reading import Reading
        from ancestra_farm.ledger.errors import StoreMissing

        with suppress(StoreMissing):
            state = Reading.open(store).scheduler.state
    if farm is not None:
        from ancestra_farm.batch.farm_settings import load_farm_settings

        state.settings.farm = load_farm_settings(farm)
    return state


def _ask(door: str, show: str, settings: "Settings") -> None:
    """Take in what a farm tells of its settings through its door, to whoever may ask for them."""
    from ancestra_farm.api.people import NotAllowed
    from ancestra_farm.batch.farm_settings import farm_settings_of
    from ancestra_farm.batch.show_settings import show_settings_of
    from ancestra_farm.cli.live import live

    found = live(door)
    assert found is not None, "a door at which nobody answers is an error"
    with suppress(NotAllowed):  # somebody of one show is told of that alone
        of_farm = found.client.farm_settings().document
        settings.farm = settings.farm if of_farm is None else farm_settings_of(json.dumps(of_farm))
    for told in found.client.show_settings(show).settings:
        settings.spent[show] = told.spent
        if told.document is not None:  # of webhooks not everybody is told all
            settings.shows[show] = show_settings_of(json.dumps(told.document | {"notify": []}))


def _refusals(made: "Plan", state: "FarmState", *, alone: bool) -> list[str]:
    """Why the farm would not take a batch. ``alone``: nobody said which farm, so that other batches are not known."""
    from ancestra_farm.scheduler import after
    from ancestra_farm.scheduler.rules import refusals

    known = state.batches.get(made.batch.batch)
    follows = [] if alone else after.faults(made, state.batches)
    return [*follows, *refusals(made, state.settings, time.time(), 0.0 if known is None else known.money)]


def _rows(whole: "Estimate", made: "Plan", bill: Bill) -> list[StageRow]:
    stages = {(shot.name, stage.name): stage for shot in made.shots for stage in shot.stages}
    rows = []
    for one in whole.stages:
        stage = stages[one.shot, one.stage]
        hours = one.device_s / 3600
        rows.append(
            StageRow(
                shot=one.shot,
                stage=one.stage,
                model=one.model,
                variants=len(stage.variants),
                drafts=one.drafts,
                full=one.full,
                at_most=one.at_most,
                device_hours=hours,
                node_type=bill.node_type(one.model),
                price_per_hour=(price := bill.price(one.model)),
                cost=None if price is None else hours * price,
                segments=tuple(segment.frames for segment in stage.segments),
                overlap_frames=stage.overlap_frames,
                trim_frames=stage.trim_frames if stage.makes_clips else 0,
                rate=str(stage.rate),
                makes=makes(stage),
            )
        )
    return rows


def makes(stage: "StagePlan") -> str:
    """What a stage makes, down to the frame: ``256×144, 81+57−4−1 = 133 frames at 16``.

    The lengths of the segments, less the frames that neighbours share, less what is cut off the end.
    """
    size = f"{stage.size[0]}×{stage.size[1]}"
    lengths = [segment.frames for segment in stage.segments]
    if not stage.makes_clips:
        return f"{size} stills" + (f", {len(lengths)} keys" if len(lengths) > 1 else "")
    sum_of = "+".join(str(length) for length in lengths)
    less = [count for count in (stage.overlap_frames * (len(lengths) - 1), stage.trim_frames) if count]
    total = f" = {stage.needed_frames}" if less or len(lengths) > 1 else ""
    return f"{size}, {sum_of}{''.join(f'−{count}' for count in less)}{total} frames at {stage.rate}"


def total_line(whole: "Estimate", bill: Bill) -> str:
    """The sum of it all in one sentence."""
    most = "at most " if whole.at_most else ""
    line = f"{most}{whole.candidates:,} candidates, {whole.device_hours:,.3g} device-hours"
    if bill.total is not None:
        line += f", about {roughly(bill.total)} {bill.currency}"
    if whole.budget_ends_it:
        line += f"; {whole.budget_ends_it}"
    line += " (by the model cards' guesses)"
    if bill.hosts:
        line += "; at farm.yaml's prices, without loads, idle nodes and the head"
    return line


def roughly(money: float) -> str:
    """Money to two digits that count, which is more than guessed seconds bear out: ``1,200``, ``48``, ``0.12``."""
    digits = 0 if money == 0 else 1 - math.floor(math.log10(abs(money)))
    return f"{round(money, digits):,.{max(0, digits)}f}"


def _totals(whole: "Estimate", bill: Bill) -> dict[str, Any]:
    return {
        "candidates": whole.candidates,
        "device_hours": whole.device_hours,
        "cost": bill.total,
        "currency": bill.currency,
        "at_most": whole.at_most,
        "budget_ends_it": whole.budget_ends_it,
    }
