"""How boards ask: selectors by the choices at the top of a board, and the few shapes that questions have.

Device time and candidates are counted when a ticket comes back, in steps of up to some minutes; so rates look back ten
minutes, and numbers for a first glance a quarter of an hour.
"""

from ancestra_farm.telemetry.boards.board import Colour, Panel, Query, Threshold, Unit, Variable

RATE = "10m"
GLANCE = "15m"

FARM = 'farm=~"$farm"'
MODEL = f'{FARM}, model=~"$model"'
SHOW = f'{FARM}, show=~"$show", class=~"$class"'
BATCH = f'{SHOW}, batch=~"$batch"'
#: As in Ray's own dashboards, by the same names.
RAY_SESSION = 'SessionName=~"$SessionName", ray_io_cluster=~"$Cluster"'
RAY_NODE = f'{RAY_SESSION}, instance=~"$Instance"'

OF_FARM = Variable("farm", "farm", "ancestra_epoch", "Farm", "Which store's farm, as its scrape target names it.")
OF_MODEL = Variable("model", "model", f"ancestra_device_wall_seconds_total{{{FARM}}}", "Pool", "The hosts of a model.")
OF_SHOW = Variable("show", "show", f"ancestra_batches{{{FARM}}}", "Show", "One show, or all.")
OF_CLASS = Variable("class", "class", f"ancestra_batches{{{FARM}}}", "Class", "dailies, shot or backfill.")
OF_BATCH = Variable("batch", "batch", f"ancestra_shots{{{SHOW}}}", "Batch", "Batches with something left to do.")
OF_LOOK = Variable("look", "look", f"ancestra_look_steps{{{FARM}}}", "Look", "Looks in training.")
#: Ray's dashboards have these three, by these names and with these values for "All".
OF_SESSION = Variable(
    "SessionName", "SessionName", "ray_node_cpu_count", "Ray session", "One Ray session.", ".+", many=False
)
OF_NODE = Variable(
    "Instance",
    "instance",
    'ray_node_cpu_count{SessionName=~"$SessionName"}',
    "Ray node",
    "Ray nodes by their address.",
    ".+",
)
OF_CLUSTER = Variable("Cluster", "ray_io_cluster", "ray_node_cpu_count", "Ray cluster", "One Ray cluster.", many=False)


def total(metric: str, where: str, *by: str) -> str:
    """The sum over everything that is chosen, for each value of ``by``."""
    return f"{_sum(by)}({metric}{{{where}}})"


def per_second(metric: str, where: str, *by: str, window: str = RATE) -> str:
    """How much a counter grows in a second, of late."""
    return f"{_sum(by)}(rate({metric}{{{where}}}[{window}]))"


def growth(metric: str, where: str, *by: str, window: str = "1h") -> str:
    """How much a counter grew within ``window``."""
    return f"{_sum(by)}(increase({metric}{{{where}}}[{window}]))"


def over(part: str, whole: str) -> str:
    """A part of a whole; nothing where the whole is nought."""
    return f"{part} / ({whole} > 0)"


def over_all(parts: str, whole: str) -> str:
    """Each of several parts over one whole; nothing where the whole is nought."""
    return f"{parts} / on () group_left () ({whole} > 0)"


def share(part: str, whole: str, where: str, *by: str, window: str = RATE) -> str:
    """What part of a counter's growth another one is."""
    return over(per_second(part, where, *by, window=window), per_second(whole, where, *by, window=window))


def device_share(part: str, where: str, *by: str, window: str = RATE) -> str:
    """What part of the time that hosts held devices went into ``busy``, ``loading``, ``starved`` or ``idle``."""
    return share(
        f"ancestra_device_{part}_seconds_total", "ancestra_device_wall_seconds_total", where, *by, window=window
    )


def number(
    title: str,
    about: str,
    expr: str,
    *,
    unit: Unit = "short",
    decimals: int | None = 0,
    base: Colour = "blue",
    thresholds: tuple[Threshold, ...] = (),
    empty: str = "",
    high: float | None = None,
    width: int = 3,
    legend: str = "",
) -> Panel:
    """One big number for the first row of a board. ``legend``: shown beside it, where there may be several."""
    return Panel(
        title,
        about,
        "stat",
        (Query(expr, legend),),
        unit=unit,
        width=width,
        height=4,
        decimals=decimals,
        base=base,
        thresholds=thresholds,
        empty=empty,
        high=high,
        by_name=bool(legend),
    )


def _sum(by: tuple[str, ...]) -> str:
    return f"sum by ({', '.join(by)}) " if by else "sum"
