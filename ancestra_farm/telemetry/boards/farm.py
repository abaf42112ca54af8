"""The Farm board: is my fleet earning its money. What a wrangler looks at first, and where the money goes."""

from ancestra_farm.telemetry.boards.asked import (
    FARM,
    GLANCE,
    MODEL,
    OF_CLUSTER,
    OF_FARM,
    OF_MODEL,
    OF_NODE,
    OF_SESSION,
    device_share,
    growth,
    number,
    over,
    over_all,
    per_second,
    total,
)
from ancestra_farm.telemetry.boards.board import Board, Column, Panel, Query, Row, Threshold
from ancestra_farm.telemetry.boards.machines import GPUS, MACHINES

JUDGED = f'{MODEL}, cause="judged"'
PARTS = ("busy", "loading", "starved", "idle")
#: A pool that is busy four fifths of its time loads and waits for little; below half it costs twice what it makes.
EARNING = (Threshold(0.5, "orange"), Threshold(0.8, "green"))


_GLANCE = Row(
    "At a glance",
    (
        number(
            "Farms at work",
            "Controllers that answer. None: nobody is at work, or Prometheus cannot reach who is; see Trouble.",
            f"count(ancestra_epoch{{{FARM}}}) or vector(0)",
            base="red",
            thresholds=(Threshold(1, "green"),),
        ),
        number(
            "Busy",
            "Part of the time hosts held devices that went into generating, over the last quarter of an hour. The rest "
            "is loading, starved and idle: below.",
            device_share("busy", FARM, window=GLANCE),
            unit="percentunit",
            high=1.0,
            base="red",
            thresholds=EARNING,
            empty="no hosts",
        ),
        number(
            "GPUs with a host",
            "Part of the cluster's GPUs that a host holds. GPUs without one are paid for and make nothing.",
            over(
                total("ancestra_slots_held", f'{FARM}, device="gpu"'), total("ancestra_slots", f'{FARM}, device="gpu"')
            ),
            unit="percentunit",
            high=1.0,
            base="orange",
            thresholds=(Threshold(0.9, "green"),),
            empty="no GPUs",
        ),
        number(
            "Paid, last hour",
            "What machines cost, busy or not, at the prices of farm.yaml.",
            growth("ancestra_node_money_total", FARM, "currency"),
            legend="{{currency}}",
            decimals=2,
            empty="no prices",
        ),
        number(
            "Paid per survivor",
            "Of the last hour: what all machines cost, over survivors.",
            over_all(growth("ancestra_node_money_total", FARM, "currency"), growth("ancestra_survivors_total", FARM)),
            legend="{{currency}}",
            decimals=3,
            empty="no prices",
        ),
        number(
            "Survivors, last hour",
            "Candidates that passed every filter and that their wave's close declared distinct.",
            growth("ancestra_survivors_total", FARM),
            empty="none",
        ),
        number(
            "Waiting candidates",
            "Released, and not handed out to a host yet.",
            total("ancestra_class_queue_candidates", FARM),
            empty="0",
        ),
        number(
            "Alerts firing",
            "Of ours, whatever the farm; Trouble lists them.",
            'count(ALERTS{alertname=~"Ancestra.*", alertstate="firing"}) or vector(0)',
            base="green",
            thresholds=(Threshold(1, "red"),),
        ),
    ),
)

_LOW_IS_BAD = (Threshold(0.0, "red"), *EARNING)
_HIGH_IS_BAD = (Threshold(0.1, "orange"), Threshold(0.3, "red"))

_POOLS = Panel(
    "Pools",
    "Each pool is the hosts of one model. The four shares add up to the time its hosts held devices: starved is "
    "waiting for input though there was work, or for the host's own judging and writing; idle is nothing to do.",
    "table",
    (
        Query(total("ancestra_hosts", MODEL, "model")),
        Query(total("ancestra_hosts_starting", MODEL, "model")),
        *(Query(device_share(part, MODEL, "model", window=GLANCE)) for part in PARTS),
        Query(total("ancestra_queue_candidates", MODEL, "model")),
        Query(
            over(
                total("ancestra_candidate_device_seconds_total", MODEL, "model"),
                total("ancestra_survivors_total", MODEL, "model"),
            )
        ),
    ),
    width=14,
    height=9,
    keys=("model",),
    columns=(
        Column(0, "hosts"),
        Column(1, "starting"),
        Column(2, "busy", "percentunit", 0, _LOW_IS_BAD),
        Column(3, "loading", "percentunit", 0, _HIGH_IS_BAD),
        Column(4, "starved", "percentunit", 0, _HIGH_IS_BAD),
        Column(5, "idle", "percentunit", 0, _HIGH_IS_BAD),
        Column(6, "waiting"),
        Column(7, "device time a survivor", "s", 1),
    ),
)

_EARNING = Row(
    "Is it earning",
    (
        Panel(
            "What devices do",
            "Of the time that hosts hold devices. Loading belongs to the start of a pool; starved for long means that "
            "judging, storage or the controller holds GPUs up.",
            "share",
            tuple(
                Query(per_second(f"ancestra_device_{part}_seconds_total", MODEL), part)
                for part in ("busy", "loading", "starved", "idle")
            ),
            unit="percentunit",
            width=10,
            height=9,
            paint=PARTS,
        ),
        _POOLS,
        Panel(
            "Devices that make nothing",
            "Devices on average: held by hosts that load, starve or idle, and slots that no host holds. All of them "
            "are paid for.",
            "stack",
            (
                *(Query(per_second(f"ancestra_device_{part}_seconds_total", FARM), part) for part in PARTS[1:]),
                Query(f"{total('ancestra_slots', FARM)} - {total('ancestra_slots_held', FARM)}", "no host"),
            ),
            decimals=1,
            paint=(*PARTS[1:], "no host"),
        ),
        Panel(
            "Device time per survivor, by stage",
            "Since the farm began, failed and rejected attempts included. Rising: filters reject more, or candidates "
            "take longer; Batch shows which.",
            "bars",
            (
                Query(
                    "sort_desc("
                    + over(
                        total("ancestra_candidate_device_seconds_total", MODEL, "stage", "model"),
                        total("ancestra_survivors_total", MODEL, "stage", "model"),
                    )
                    + ")",
                    "{{stage}} · {{model}}",
                ),
            ),
            unit="s",
            decimals=1,
        ),
    ),
)

_WORK = Row(
    "Work",
    (
        Panel(
            "Waiting candidates, by class",
            "Released and not handed out. dailies go before shot, shot before backfill, strictly.",
            "stack",
            (Query(total("ancestra_class_queue_candidates", MODEL, "class"), "{{class}}"),),
            width=8,
            paint=("dailies", "shot", "backfill"),
        ),
        Panel(
            "Oldest wave, by class",
            "How long the oldest unfinished wave of a class has been open.",
            "lines",
            (Query(f"time() - min by (class) (ancestra_oldest_wave_timestamp_seconds{{{FARM}}})", "{{class}}"),),
            unit="dtdurations",
            width=8,
            paint=("dailies", "shot", "backfill"),
        ),
        Panel(
            "Hosts, by pool",
            "Up, and asked for but not up: those wait for a machine, or load their model.",
            "stack",
            (
                Query(total("ancestra_hosts", MODEL, "model"), "{{model}}"),
                Query(f"{total('ancestra_hosts_starting', MODEL, 'model')} > 0", "{{model}}, starting"),
            ),
            width=8,
        ),
        Panel(
            "Device-seconds spent a second, by show",
            "How many devices each show has at work on average.",
            "stack",
            (Query(per_second("ancestra_candidate_device_seconds_total", FARM, "show"), "{{show}}"),),
            decimals=1,
            width=8,
        ),
        Panel(
            "Candidates judged a minute, by stage",
            "Verdicts, passed or not.",
            "stack",
            (Query(f"60 * {per_second('ancestra_attempts_total', JUDGED, 'stage')}", "{{stage}}"),),
            decimals=1,
            width=8,
        ),
        Panel(
            "Slots: planned, there and held",
            "Device slots by kind. Planned beyond what is there: nodes are asked for and have not come. There beyond "
            "held: capacity without a host.",
            "lines",
            (
                Query(total("ancestra_slots", FARM, "device"), "{{device}}, there"),
                Query(total("ancestra_slots_held", FARM, "device"), "{{device}}, held"),
                Query(total("ancestra_slots_planned", FARM, "device"), "{{device}}, planned"),
            ),
            width=8,
        ),
    ),
)

FARM_BOARD = Board(
    uid="ancestra-farm",
    title="Ancestra · Farm",
    about="Is my fleet earning its money.",
    variables=(OF_FARM, OF_MODEL, OF_SESSION, OF_NODE, OF_CLUSTER),
    rows=(_GLANCE, _EARNING, _WORK, MACHINES, GPUS),
)
