"""The picture of a story: what the slots did, what waited, and when shots got what they wanted. Counts nothing."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ancestra_farm.simulate.report import Curve, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours of what slots do: work is blue, getting ready amber, lost time red to grey. Told apart by the colour-blind.
COLOURS = {"busy": "#1f6f9f", "loading": "#e8a33d", "starved": "#c8473c", "idle": "#b9c0c8", "empty": "#e9ecef"}
WORDS = {
    "busy": "busy: generating",
    "loading": "loading a model",
    "starved": "starved: work waits, none here",
    "idle": "idle: no work for its model",
    "empty": "no host",
}
CLASS_COLOURS = {"dailies": "#c8473c", "shot": "#1f6f9f", "backfill": "#7f8a94"}
INK, PAPER, RULE = "#22282e", "#ffffff", "#d5dade"
SIZE_INCHES, DPI = (14.0, 10.5), 120


class PlotUnavailable(Exception):
    """There is no matplotlib here."""


def draw(report: Report, title: str, path: Path) -> None:
    """Draw a report as a PNG. ``title``: what was simulated. Raises PlotUnavailable without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - heavy, and an extra
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as missing:
        raise PlotUnavailable(
            "drawing needs matplotlib, which is not installed: pip install 'ancestra-farm[plot]'"
        ) from missing
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        3, 2, height_ratios=(1.5, 1.0, 1.0), left=0.07, right=0.975, top=0.86, bottom=0.06, hspace=0.42, wspace=0.2
    )
    unit, per = _unit(report.makespan_s)
    figure.text(0.07, 0.955, title, fontsize=17, fontweight="bold", color=INK, va="center")
    figure.text(0.07, 0.917, _facts(report), fontsize=11.5, color=INK, va="center")
    _slots(figure.add_subplot(grid[0, :]), report, unit, per)
    _queue(figure.add_subplot(grid[1, 0]), report, unit, per)
    _survivors(figure.add_subplot(grid[1, 1]), report, unit, per)
    _firsts(figure.add_subplot(grid[2, 0]), report)
    _waste(figure.add_subplot(grid[2, 1]), report)
    figure.savefig(path)


def _facts(report: Report) -> str:
    """The story in one line."""
    use = next(pool for pool in report.use if pool.pool == "all")
    parts = [
        f"{span(report.makespan_s)} from submission to the end" if report.ended else "broken off",
        f"slots {use.busy:.0%} busy",
        f"{report.judged:,} candidates judged",
        f"{report.survivors:,} survivors",
        f"{report.delivered:,} of {report.shots:,} shots",
    ]
    if report.cost is not None:
        parts.append(f"{report.cost:,.2f} {report.currency}")
    return "  ·  ".join(parts)


def span(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 72 * 3600 else f"{seconds / 86400:.1f} days"


def _unit(seconds: float) -> tuple[str, float]:
    if seconds < 300:
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < 3 * 3600 else ("hours", 3600.0)


def _axes(axes: "Axes", heading: str, across: str, up: str) -> None:
    axes.set_title(heading, loc="left", fontsize=13, fontweight="bold", color=INK, pad=8)
    axes.set_xlabel(across, fontsize=11, color=INK)
    axes.set_ylabel(up, fontsize=11, color=INK)
    axes.tick_params(labelsize=10.5, colors=INK)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(visible=True, axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _legend(axes: "Axes", **where: Any) -> None:  # noqa: ANN401 - as matplotlib has it
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=10.5, facecolor=PAPER, edgecolor="none", framealpha=0.85, **where)


def _slots(axes: "Axes", report: Report, unit: str, per: float) -> None:
    """Device slots over time, stacked by what they do."""
    curves = report.slots_over_time
    if curves:
        seconds = [second / per for second in curves[0].seconds]
        width = (curves[0].seconds[1] if len(seconds) > 1 else report.makespan_s) / per
        edges = [*seconds, seconds[-1] + width] if seconds else [0.0]
        axes.stackplot(
            edges,
            *([*curve.values, *curve.values[-1:]] for curve in curves),
            labels=[WORDS[curve.name] for curve in curves],
            colors=[COLOURS[curve.name] for curve in curves],
            step="post",
            linewidth=0,
        )
        axes.set_xlim(0, report.makespan_s / per)
    _axes(axes, "What the device slots did", unit, "slots")
    axes.set_ylim(bottom=0)
    _legend(axes, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncol=5, columnspacing=1.2, handlelength=1.2)


def _queue(axes: "Axes", report: Report, unit: str, per: float) -> None:
    for curve in report.queue_over_time:
        axes.plot(_over(curve, per), curve.values, color=CLASS_COLOURS[curve.name], label=curve.name, linewidth=1.8)
    _axes(axes, "Released candidates in line, by class", unit, "candidates")
    axes.set_xlim(0, report.makespan_s / per)
    axes.set_ylim(bottom=0)
    _legend(axes, loc="best")


def _survivors(axes: "Axes", report: Report, unit: str, per: float) -> None:
    for number, curve in enumerate(report.survivors_over_time):
        colour = CLASS_COLOURS.get(curve.name, f"C{number}")
        ends = [*_over(curve, per), report.makespan_s / per]
        values = [*curve.values, *curve.values[-1:]]
        axes.step(ends, values, where="post", label=curve.name, color=colour, linewidth=1.8)
    _axes(axes, "Survivors of first stages, as waves are decided", unit, "survivors")
    axes.set_xlim(0, report.makespan_s / per)
    axes.set_ylim(bottom=0)
    axes.margins(y=0.1)
    _legend(axes, loc="center right", ncol=1 if len(report.survivors_over_time) < 6 else 2)


def _firsts(axes: "Axes", report: Report) -> None:
    longest = max((curve.seconds[-1] for curve in report.first_survivors), default=1.0)
    unit, per = _unit(longest)
    for curve in report.first_survivors:
        ends = [*_over(curve, per), longest * 1.05 / per]
        values = [100 * value for value in (*curve.values, curve.values[-1])]
        axes.step(ends, values, where="post", label=curve.name, color=CLASS_COLOURS[curve.name], linewidth=1.8)
    _axes(axes, "Shots with a first survivor, by waiting time", f"{unit} since submission", "% of the class")
    axes.set_ylim(0, 104)
    axes.set_xlim(left=0)
    _legend(axes, loc="lower right")


def _waste(axes: "Axes", report: Report) -> None:
    """Device time that nothing came of, by cause, beside what it is a part of."""
    rows = sorted(report.wasted_hours.items(), key=lambda row: row[1])[-8:]
    share = 100 / report.busy_hours if report.busy_hours else 0.0
    bars = axes.barh(range(len(rows)), [hours * share for _, hours in rows], color=COLOURS["starved"])
    for bar, (_, hours) in zip(bars, rows, strict=True):
        axes.annotate(
            f" {hours * share:.2g} %, {span(hours * 3600)}",
            (bar.get_width(), bar.get_y() + bar.get_height() / 2),
            va="center",
            fontsize=10.5,
            color=INK,
        )
    _axes(axes, "Generation that nothing came of, by cause", "% of all generation", "")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.grid(visible=False)
    axes.margins(x=0.35)
    if not rows:
        axes.text(0.5, 0.5, "nothing was wasted", transform=axes.transAxes, ha="center", fontsize=12, color=INK)
        axes.set_xticks([])
        axes.set_yticks([])


def _over(curve: Curve, per: float) -> list[float]:
    return [second / per for second in curve.seconds]
