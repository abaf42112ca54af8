"""The words that dashboards are written in: boards of rows of panels, each panel with its queries and one unit.

A panel says what a person reads off it (``about``, shown behind its ⓘ); colours have one meaning everywhere: green is
well, orange wants a look, red wants a person now, blue is a plain number. How this becomes JSON is in `grafana`.
"""

from dataclasses import dataclass
from typing import Literal

#: Grafana's names of units: ``percentunit`` is a part of 1, ``dtdurations`` seconds told as days, hours and minutes.
Unit = Literal["short", "percentunit", "s", "dtdurations", "celsius", "watt", "percent", "mbytes"]
#: ``share``: stacked up to 100 %. ``bars``: one bar for each line of the answer, the longest first where it is sorted.
Kind = Literal["stat", "bars", "lines", "stack", "share", "table", "text", "heatmap"]
Colour = Literal["green", "orange", "red", "dark-red", "blue", "purple", "yellow", "text"]

#: Colours of what devices do, of how candidates end and of where shots stand, the same on every panel.
COLOURS: dict[str, Colour] = {
    "busy": "green",
    "loading": "blue",
    "starved": "red",
    "idle": "orange",
    "no host": "purple",
    "survivor": "green",
    "rejected": "orange",
    "failed": "red",
    "done": "green",
    "running": "blue",
    "waiting_for_people": "yellow",
    "paused": "text",
    "dailies": "red",
    "shot": "blue",
    "backfill": "text",
}


@dataclass(frozen=True, slots=True)
class Query:
    """One question to Prometheus. ``legend``: with ``{{label}}``.

    Variables of the board stand in it as ``$name``; ``$__rate_interval`` is Grafana's own.
    """

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Threshold:
    """From ``at`` on, in the panel's unit, it has this colour."""

    at: float
    colour: Colour


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: what ``query`` (from 0) answered, under a name, in a unit; coloured by its thresholds."""

    query: int
    name: str
    unit: Unit = "short"
    decimals: int | None = None
    thresholds: tuple[Threshold, ...] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. ``width`` of 24 columns, ``height`` in Grafana's rows of 30 pixels.

    ``base``: the colour below the first threshold. ``columns`` and ``keys`` are of tables: what was answered, and the
    labels that name its lines, in order. ``low`` and ``high``: ends of the axis. ``empty``: shown where there is no
    data. ``paint``: names of lines that have their colour in `COLOURS`. ``text``: Markdown, of a text panel.
    ``by_name``: a stat that shows the name of each line beside its number.
    """

    title: str
    about: str
    kind: Kind
    queries: tuple[Query, ...] = ()
    unit: Unit = "short"
    width: int = 12
    height: int = 8
    decimals: int | None = None
    base: Colour = "blue"
    thresholds: tuple[Threshold, ...] = ()
    columns: tuple[Column, ...] = ()
    keys: tuple[str, ...] = ()
    low: float | None = 0.0
    high: float | None = None
    empty: str = ""
    text: str = ""
    paint: tuple[str, ...] = ()
    by_name: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading, laid out from left to right. ``folded``: closed until somebody opens it."""

    title: str
    panels: tuple[Panel, ...]
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of a board: the values of ``label`` in a ``series``, which may hold a selector.

    ``every``: the regular expression that "All" stands for. ``many``: several can be chosen.
    """

    name: str
    label: str
    series: str
    caption: str
    about: str
    every: str = ".*"
    many: bool = True


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard. ``uid``: its address, which never changes."""

    uid: str
    title: str
    about: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    since: str = "now-6h"
    refresh: str = "30s"
