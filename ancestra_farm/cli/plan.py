"""``ancestra plan``: what a batch will make, how much of it, and what that may cost, before a device is used."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from ancestra_farm.cli.listing import column, number, print_json, print_rows
from ancestra_farm.cli.options import CardsOption, FileArgument, JsonOption
from ancestra_farm.cli.summary import duration

if TYPE_CHECKING:
    from ancestra_farm.plan.estimate import Estimate
    from ancestra_farm.plan.plan import StagePlan

EPILOG = (
    "JSON keys: batch, show, digest, candidates, device_hours, cost, currency, at_most, budget_ends_it, "
    "stages (shot, stage, model, variants, drafts, full, at_most, device_hours, cost, makes, segments, overlap_frames, "
    "trim_frames, rate), notes (where spending by yield changes nothing)."
)


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage of one shot. ``segments``: frames of each at ``rate``; ``cost``: in the budget's currency."""

    shot: str = column("shot")
    stage: str = column("stage")
    model: str = column("model")
    variants: int = column("wordings", number)
    drafts: int = column("drafts", number, quiet=True)
    full: int = column("candidates", number)
    at_most: bool = column("", lambda most: "at most" if most else "", quiet=True)
    device_hours: float = column("device time", lambda hours: duration(hours * 3600))
    cost: float | None = column("cost", number, quiet=True)
    makes: str = column("makes")
    segments: tuple[int, ...] = ()
    overlap_frames: int = 0
    trim_frames: int = 0
    rate: str = ""


def plan(file: FileArgument, cards: CardsOption = None, as_json: JsonOption = False) -> None:
    """Print what a batch will make: candidates, device-hours and cost per shot and stage, and the exact frames."""
    from ancestra_farm.api.batchfile import planned
    from ancestra_farm.plan.estimate import estimate
    from ancestra_farm.plan.spending import idle_by_yield

    made = planned(file, cards)
    whole = estimate(made)
    price = whole.budget.price_per_device_hour
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
                cost=None if price is None else hours * price,
                segments=tuple(segment.frames for segment in stage.segments),
                overlap_frames=stage.overlap_frames,
                trim_frames=stage.trim_frames if stage.makes_clips else 0,
                rate=str(stage.rate),
                makes=makes(stage),
            )
        )
    if as_json:
        print_json(
            {"batch": made.batch.batch, "show": made.batch.show, "digest": made.digest}
            | _totals(whole)
            | {"stages": rows, "notes": idle_by_yield(made)}
        )
        return
    print_rows(StageRow, rows)
    for shot in made.shots:
        handles = f" and {shot.handles} on each side" if shot.handles else ""
        typer.echo(f"{shot.name}: {shot.frames:,} frames{handles} at {shot.rate} per second")
    if any(row.overlap_frames or row.trim_frames for row in rows):
        typer.echo("clips: frames of each segment, less those that neighbours share, less what is cut off the end")
    typer.echo(total_line(whole))
    for note in idle_by_yield(made):
        typer.echo(f"note: {note}")


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


def total_line(whole: "Estimate") -> str:
    """The sum of it all in one sentence."""
    most = "at most " if whole.at_most else ""
    line = f"{most}{whole.candidates:,} candidates, {whole.device_hours:,.3g} device-hours"
    if whole.cost is not None:
        line += f", {whole.cost:,.2f} {whole.budget.currency}"
    if whole.budget_ends_it:
        line += f"; {whole.budget_ends_it}"
    return line + " (by the model cards' guesses)"


def _totals(whole: "Estimate") -> dict[str, Any]:
    return {
        "candidates": whole.candidates,
        "device_hours": whole.device_hours,
        "cost": whole.cost,
        "currency": whole.budget.currency,
        "at_most": whole.at_most,
        "budget_ends_it": whole.budget_ends_it,
    }
