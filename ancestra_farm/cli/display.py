"""What `run` and `watch` show while work goes on: bars on a terminal, plain lines in a log.

Bars are drawn anew several times a second. A log gets one line of totals every so often, and a line whenever a stage or
shot changes its state, so that it can be read afterwards. Shows only; it counts nothing itself.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import typer

from ancestra_farm.cli.failures import on_terminal
from ancestra_farm.cli.summary import duration, shot_names

if TYPE_CHECKING:
    from rich.table import Table

    from ancestra_farm.scheduler import ShotProgress, StageProgress

#: Seconds between two lines of totals in a log.
LOG_EVERY_S = 10.0
#: Shots with a bar of their own; the others are counted. A terminal shows some tens of lines.
MOST_SHOTS = 30
#: States in which a stage tries nothing more, unless somebody orders it.
_ENDED = frozenset({"done", "starved", "cancelled", "waiting_for_people"})


@dataclass(frozen=True, slots=True)
class Totals:
    """All shots together. ``ended`` of ``wanted`` candidates; ``done``: shots that are done, and wait for nobody."""

    ended: int
    wanted: int
    survivors: int
    done: int
    shots: int

    def eta_s(self, rate: float) -> float | None:
        """Seconds to go at ``rate`` candidates per second; None where nothing moves."""
        return (self.wanted - self.ended) / rate if rate > 0 else None


def ended_of(stage: "StageProgress") -> int:
    """Full candidates of a stage that have an outcome; of a stage that has ended, all it may have released."""
    return stage.wanted if stage.state in _ENDED else stage.judged + stage.failed + stage.skipped


def totals_of(progress: "Sequence[ShotProgress]") -> Totals:
    """The sum over shots. What later stages want is a guess until their inputs are known."""
    stages = [stage for shot in progress for stage in shot.stages]
    return Totals(
        ended=sum(ended_of(stage) for stage in stages),
        wanted=sum(stage.wanted for stage in stages),
        survivors=sum(stage.survivors for stage in stages),
        done=sum(shot.state == "done" for shot in progress),
        shots=len(progress),
    )


class Display(Protocol):
    """Something that shows progress while it is entered."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the screen as a person expects it."""

    def show(self, progress: "Sequence[ShotProgress]", rate: float, note: str = "") -> None:
        """Show this now. ``rate``: judged candidates per second; ``note``: hosts, or who is at work."""


def display() -> Display:
    """Bars on a terminal, plain lines anywhere else."""
    return Bars() if on_terminal() else Lines()


class Lines:
    """Plain lines. ``now``: a clock in seconds, for tests."""

    def __init__(self, now: Callable[[], float] = time.monotonic, every_s: float = LOG_EVERY_S) -> None:
        self._now = now
        self._every_s = every_s
        self._next = 0.0
        self._states: dict[tuple[str, str, str], str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, progress: "Sequence[ShotProgress]", rate: float, note: str = "") -> None:
        """Say what changed, and the totals where it is time."""
        for line in self._changes(progress):
            typer.echo(line)
        if self._now() >= self._next:
            self._next = self._now() + self._every_s
            typer.echo(totals_line(totals_of(progress), rate, note))

    def _changes(self, progress: "Sequence[ShotProgress]") -> list[str]:
        lines = []
        for shot, name in zip(progress, shot_names(progress), strict=True):
            for stage in shot.stages:
                if self._is_new((shot.batch, shot.shot, stage.stage), stage.state, first="waiting_for_inputs"):
                    counts = (
                        f"{stage.survivors:,} survivors of {stage.released:,}"
                        if stage.released
                        else "nothing tried yet"
                    )
                    lines.append(f"{name} {stage.stage}: {_words(stage.state)}, {counts}")
            if self._is_new((shot.batch, shot.shot, ""), shot.state, first="running"):
                versions = f", {', '.join(shot.versions)}" if shot.versions else ""
                lines.append(f"{name}: {_words(shot.state)}{versions}")
        return lines

    def _is_new(self, what: tuple[str, str, str], state: str, first: str) -> bool:
        before = self._states.get(what, first)
        self._states[what] = state
        return state != before


def totals_line(totals: Totals, rate: float, note: str = "") -> str:
    """``1,234 of 4,004 candidates, 512 survivors, 1 of 4 shots; 31.0/s, about 1 min 29 s to go``."""
    line = f"{totals.ended:,} of {totals.wanted:,} candidates, {totals.survivors:,} survivors, "
    line += f"{totals.done} of {totals.shots} shots"
    if totals.ended < totals.wanted:
        eta = totals.eta_s(rate)
        line += f"; {rate:.1f}/s" + (f", about {duration(eta)} to go" if eta is not None else "")
    return line + (f"; {note}" if note else "")


class Bars:
    """Bars, drawn with rich."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console()
        self._live = Live(console=self._console, refresh_per_second=4, transient=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, progress: "Sequence[ShotProgress]", rate: float, note: str = "") -> None:
        """Draw anew."""
        self._live.update(bars_table(progress, rate, note))


def bars_table(progress: "Sequence[ShotProgress]", rate: float, note: str = "") -> "Table":
    """A row for each stage under way or ended, shots that still run first, and a last row of totals."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for justify in ("left", "left", "left", "right", "right", "left"):
        table.add_column(justify=justify)
    order = sorted(range(len(progress)), key=lambda at: (progress[at].state != "running", at))
    shown = sorted(order[:MOST_SHOTS])
    names = shot_names(progress)
    for shot, name in ((progress[at], names[at]) for at in shown):
        for at, stage in enumerate(shot.stages):
            table.add_row(
                Text(name if at == 0 else ""),
                Text(stage.stage),
                ProgressBar(total=max(stage.wanted, 1), completed=ended_of(stage), width=30),
                Text(f"{ended_of(stage):,}/{stage.wanted:,}"),
                Text(f"{stage.survivors:,} survivors"),
                Text(
                    _words(stage.state)
                    + (f" {', '.join(shot.versions)}" if shot.versions and at + 1 == len(shot.stages) else "")
                ),
            )
    if len(progress) > len(shown):
        table.add_row(Text(f"… and {len(progress) - len(shown):,} more shots"))
    whole = Table.grid()
    whole.add_row(table)
    whole.add_row(Text(totals_line(totals_of(progress), rate, note)))
    return whole


def _words(state: str) -> str:
    return state.replace("_", " ")
