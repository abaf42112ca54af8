"""The picture of a story: nodes that come and go, what waits by class, and what the nodes did. Counts nothing anew."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from ancestra_farm.simulate.plot import CLASS_COLOURS, COLOURS, INK, PAPER, RULE
from tests.cluster_demo.story import DOING, Mark, Sample, Story, clock

#: Node types: spot nodes are the usual ones, on-demand nodes the dear ones.
NODE_COLOURS = ("#8fbcd4", "#e8a33d", "#7f8a94", "#c8473c")
DOING_WORDS = {
    "busy": "generating",
    "loading": "loading a model",
    "idle": "idle",
    "empty": "no host yet, or no more",
}
#: What nodes did is averaged over so many seconds: a farm of four nodes knows five values otherwise.
AVERAGED_S = 12.0
SIZE_INCHES, DPI = (13.0, 10.5), 120


def draw(story: Story, path: Path) -> None:
    """Draw it as a PNG."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        3, 1, height_ratios=(1.15, 1.0, 1.0), left=0.075, right=0.925, top=0.765, bottom=0.06, hspace=0.42
    )
    figure.text(0.075, 0.965, "Three batches of two people, on a farm that began without a node", fontsize=17,
                fontweight="bold", color=INK, va="center")  # fmt: skip
    figure.text(0.075, 0.928, facts(story), fontsize=11.5, color=INK, va="center")
    samples = [sample for sample in story.samples if sample.at >= story.began - 3]
    seconds = [sample.at - story.began for sample in samples]
    nodes = figure.add_subplot(grid[0])
    rows = [nodes, *(figure.add_subplot(grid[row], sharex=nodes) for row in (1, 2))]
    _nodes(rows[0], samples, seconds)
    _queue(rows[1], samples, seconds)
    _did(rows[2], samples, seconds)
    for axes in rows:
        _events(axes, story)
        axes.set_xlim(min(0.0, seconds[0]), seconds[-1])
        axes.xaxis.set_major_locator(MultipleLocator(30))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda second, _: clock(second)))
    _labels(rows[0], story, seconds[-1])
    rows[-1].set_xlabel("minutes since the first submission", fontsize=11, color=INK)
    figure.savefig(path)


def facts(story: Story) -> str:
    """The story in one line."""
    bill = story.bill
    killed, drained = (len({mark.of for mark in story.marks if mark.what == what}) for what in ("killed", "drained"))
    return "  ·  ".join(
        (
            f"{clock(story.samples[-1].at - story.began)} min from nothing to nothing",
            f"{story.nodes_came} nodes came, {killed} killed, {drained} drained",
            f"{story.judged:,} candidates judged, {story.survivors:,} survive",
            f"hosts {bill.share('busy'):.0%} busy",
            f"{bill.money:.3f} {bill.currency}",
        )
    )


def _axes(axes: Axes, heading: str, up: str) -> None:
    axes.set_ylabel(up, fontsize=11, color=INK)
    axes.text(0.016, 1.04, heading, transform=axes.transAxes, fontsize=13, fontweight="bold", color=INK)
    axes.tick_params(labelsize=10.5, colors=INK)
    axes.grid(visible=True, axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylim(bottom=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _legend(axes: Axes) -> None:
    axes.legend(fontsize=10.5, facecolor=PAPER, edgecolor="none", framealpha=0.85, loc="lower right",
                bbox_to_anchor=(1.0, 0.98), ncol=4, columnspacing=1.2, handlelength=1.2)  # fmt: skip


def _nodes(axes: Axes, samples: Sequence[Sample], seconds: Sequence[float]) -> None:
    """Nodes that are up, by type, and how many there are to be."""
    kinds = sorted({kind for sample in samples for kind in sample.nodes}, key=lambda kind: -_most(samples, kind))
    axes.stackplot(
        seconds,
        *([sample.nodes.get(kind, 0) for sample in samples] for kind in kinds),
        labels=[f"{kind} up" for kind in kinds],
        colors=NODE_COLOURS,
        step="post",
        linewidth=0,
    )
    planned = [sample.planned for sample in samples]
    axes.step(seconds, planned, where="post", color=INK, linewidth=1.4, linestyle=(0, (3, 2)), label="wanted")
    _axes(axes, "Nodes", "nodes")
    axes.set_ylim(0, max([1.0, *planned, *(sum(sample.nodes.values()) for sample in samples)]) + 0.4)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes)


def _most(samples: Sequence[Sample], kind: str) -> int:
    return max(sample.nodes.get(kind, 0) for sample in samples)


def _queue(axes: Axes, samples: Sequence[Sample], seconds: Sequence[float]) -> None:
    for of, colour in CLASS_COLOURS.items():
        if any(of in sample.queue for sample in samples):
            waiting = [sample.queue.get(of, 0) for sample in samples]
            axes.step(seconds, waiting, where="post", color=colour, linewidth=2, label=of)
    _axes(axes, "Candidates in line, by class", "candidates")
    _legend(axes)


def _did(axes: Axes, samples: Sequence[Sample], seconds: Sequence[float]) -> None:
    """Utilisation: of the nodes that were up, what part did what."""
    shares = averaged(samples)
    axes.stackplot(
        seconds,
        *([100 * share[what] for share in shares] for what in DOING),
        labels=[DOING_WORDS[what] for what in DOING],
        colors=[COLOURS[what] for what in DOING],
        linewidth=0,
    )
    _axes(axes, "Utilisation of the nodes that were up", "%")
    axes.set_ylim(0, 100)
    _legend(axes)


def averaged(samples: Sequence[Sample]) -> list[dict[str, float]]:
    """For each sample, what part of the nodes around it did what, 0 to 1; all nought where there were none."""
    found = []
    for sample in samples:
        near = [other.doing for other in samples if abs(other.at - sample.at) <= AVERAGED_S / 2]
        sums = {what: sum(doing[what] for doing in near) for what in DOING}
        whole = sum(sums.values()) if sum(sample.doing.values()) else 0
        found.append({what: number / whole if whole else 0.0 for what, number in sums.items()})
    return found


def _colour(mark: Mark) -> str:
    """That of its class; what happens to nodes is in ink."""
    return CLASS_COLOURS.get(mark.of, INK)


def _told(story: Story) -> list[tuple[Mark, str]]:
    """What is worth a line in the picture, with a word for it, in order."""
    words = {
        "submitted": "{} submitted",
        "done": "{} done",
        "killed": "{} is killed",
        "lost": "its loss is noticed",
        "drained": "{} is drained",
    }
    found = [
        (mark, words[mark.what].format(mark.of))
        for mark in sorted(story.marks, key=lambda mark: mark.at)
        if mark.what in words
    ]
    first_loss = next((mark for mark, _ in found if mark.what == "lost"), None)
    return [(mark, word) for mark, word in found if mark.what != "lost" or mark is first_loss]


def _events(axes: Axes, story: Story) -> None:
    for mark, _ in _told(story):
        style = (0, (4, 2)) if mark.what == "done" else "-"
        axes.axvline(mark.at - story.began, color=_colour(mark), linewidth=1.1, alpha=0.8, linestyle=style, zorder=3)


def _labels(axes: Axes, story: Story, last_s: float) -> None:
    """Words above the lines, slanted, and moved apart where lines are close together."""
    least_apart = last_s / 28
    before = -last_s
    for mark, word in _told(story):
        at = mark.at - story.began
        before = max(at, before + least_apart)
        axes.annotate(
            word,
            xy=(at, 1.0),
            xytext=(before, 1.2),
            xycoords=("data", "axes fraction"),
            textcoords=("data", "axes fraction"),
            rotation=32,
            fontsize=10.5,
            color=_colour(mark),
            ha="left",
            va="bottom",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": _colour(mark),
                "linewidth": 0.9,
                "alpha": 0.8,
                "shrinkA": 0,
                "shrinkB": 0,
                "relpos": (0, 0),
            },
        )
