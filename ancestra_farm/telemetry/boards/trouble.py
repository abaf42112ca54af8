"""The Trouble board: what is failing, and why."""

from ancestra_farm.telemetry.boards.asked import (
    FARM,
    GLANCE,
    MODEL,
    OF_CLUSTER,
    OF_FARM,
    OF_MODEL,
    OF_SESSION,
    RATE,
    RAY_SESSION,
    growth,
    number,
    over,
    per_second,
    total,
)
from ancestra_farm.telemetry.boards.board import Board, Panel, Query, Row, Threshold

#: Ends of attempts that are no failure of anything that was tried; the store's are shown beside those that are.
_FAILED = f'{MODEL}, cause!~"judged|aborted|store"'
_TRIED = f'{MODEL}, cause!~"aborted|store"'
_IN_VAIN = f'{MODEL}, cause!~"judged|aborted"'
_ANY = (Threshold(1, "red"),)
_SOME = (Threshold(1, "orange"), Threshold(10, "red"))


def _gone(*changes: str) -> str:
    return growth("ancestra_host_changes_total", f'{MODEL}, change=~"{"|".join(changes)}"')


_NOW = Row(
    "Now",
    (
        number(
            "Attempts that fail",
            "Of the attempts of the last quarter of an hour that were not taken back, nor lost to the store. Verdicts "
            "are no failures.",
            over(
                per_second("ancestra_attempts_total", _FAILED, window=GLANCE),
                per_second("ancestra_attempts_total", _TRIED, window=GLANCE),
            ),
            unit="percentunit",
            decimals=1,
            base="green",
            thresholds=(Threshold(0.02, "orange"), Threshold(0.1, "red")),
            empty="0",
        ),
        number(
            "Quarantined",
            "Candidates that were given up after three strikes. `ancestra why ID` tells their story.",
            total("ancestra_candidates_quarantined", MODEL),
            base="green",
            thresholds=_SOME,
            empty="0",
        ),
        number(
            "Lost",
            "Candidates that were given up after five losses nobody could explain.",
            total("ancestra_candidates_lost", MODEL),
            base="green",
            thresholds=_SOME,
            empty="0",
        ),
        number(
            "Hosts lost, last hour",
            "Processes that died, machines that went, and hosts that were ended at their deadline.",
            _gone("lost", "killed"),
            base="green",
            thresholds=_SOME,
            empty="0",
        ),
        number(
            "Sick hosts, last hour",
            "Hosts whose verdicts or failures departed from their pool's: drained, their last work is done again.",
            _gone("drained"),
            base="green",
            thresholds=_ANY,
            empty="0",
        ),
        number(
            "Failed starts, last hour",
            "Hosts that could not be brought up. After three in a row of a model no more are started for five minutes.",
            _gone("failed_to_start"),
            base="green",
            thresholds=_SOME,
            empty="0",
        ),
        number(
            "Commits, slowest of 100",
            "Seconds until a commit is durable, 99th percentile of the last ten minutes. Orders wait that long.",
            f"histogram_quantile(0.99, sum by (le) (rate(ancestra_commit_seconds_bucket{{{FARM}}}[{RATE}])))",
            unit="s",
            decimals=3,
            base="green",
            thresholds=(Threshold(1, "orange"), Threshold(5, "red")),
            empty="no commits",
        ),
        number(
            "Store errors, last hour",
            "Times the store failed us; the farm tries again and says so in its log.",
            growth("ancestra_store_errors_total", FARM),
            base="green",
            thresholds=_ANY,
            empty="0",
        ),
    ),
)

_ALERTS = Row(
    "Alerts",
    (
        Panel(
            "Firing and pending",
            "What to do about each stands in its annotation, and in dashboards/RUNBOOK.md.",
            "table",
            (Query('max by (alertname, alertstate, severity, farm) (ALERTS{alertname=~"Ancestra.*"})'),),
            width=24,
            height=6,
            keys=("alertname", "alertstate", "severity", "farm"),
            empty="no alert",
        ),
    ),
)

_FAILURES = Row(
    "Failures",
    (
        Panel(
            "Failed attempts a minute, by cause",
            "exception counts against the candidate; a crash of many charges nobody and is halved; host_lost and store "
            "charge nobody.",
            "stack",
            (Query(f"60 * {per_second('ancestra_attempts_total', _IN_VAIN, 'cause')} > 0", "{{cause}}"),),
            decimals=2,
            width=8,
        ),
        Panel(
            "Failed attempts, by model and cause",
            "Since the farm began.",
            "bars",
            (
                Query(
                    f"sort_desc({total('ancestra_attempts_total', _IN_VAIN, 'model', 'cause')} > 0)",
                    "{{model}} · {{cause}}",
                ),
            ),
            width=8,
            decimals=0,
        ),
        Panel(
            "Tried again a minute, by cause",
            "Attempts at candidates whose last attempt had failed.",
            "stack",
            (Query(f"60 * {per_second('ancestra_retries_total', MODEL, 'cause')}", "{{cause}}"),),
            decimals=2,
            width=8,
        ),
        Panel(
            "Candidates that stand failed",
            "Their last attempt failed; they may be tried again.",
            "bars",
            (
                Query(
                    f"sort_desc({total('ancestra_candidates_failed', MODEL, 'stage', 'cause')} > 0)",
                    "{{stage}} · {{cause}}",
                ),
            ),
            width=8,
            decimals=0,
        ),
        Panel(
            "Verdicts made void",
            "In the last hour, by stage: work of sick hosts that is done again elsewhere.",
            "lines",
            (Query(growth("ancestra_verdicts_voided_total", MODEL, "stage"), "{{stage}}"),),
            decimals=0,
            width=8,
        ),
        Panel(
            "Stitches that failed, by cause",
            "Since the farm began. seam: two clips do not join; the next chain takes their place.",
            "bars",
            (Query(total("ancestra_stitches_failed_total", FARM, "show", "cause"), "{{show}} · {{cause}}"),),
            decimals=0,
            width=8,
        ),
    ),
)

_HOSTS = Row(
    "Hosts and machines",
    (
        Panel(
            "Hosts, by what happened to them",
            "In the last ten minutes. ready without lost is a fleet that grows; both together is one that churns.",
            "lines",
            (Query(growth("ancestra_host_changes_total", MODEL, "change", window=RATE), "{{change}}"),),
            decimals=0,
            width=8,
        ),
        Panel(
            "Mean time to load, by model",
            "Device time spent on setup and warm-up, over hosts that came up, since the farm began.",
            "bars",
            (
                Query(
                    "sort_desc("
                    + over(
                        total("ancestra_device_loading_seconds_total", MODEL, "model"),
                        total("ancestra_host_changes_total", f'{MODEL}, change="ready"', "model"),
                    )
                    + ")",
                    "{{model}}",
                ),
            ),
            unit="s",
            decimals=1,
            width=8,
        ),
        Panel(
            "Machines that went, and orders about them",
            "In the last hour.",
            "lines",
            (
                Query(growth("ancestra_node_notices_total", FARM, "cause"), "{{cause}}"),
                Query(growth("ancestra_node_orders_total", FARM, "order"), "ordered: {{order}}"),
            ),
            decimals=0,
            width=8,
        ),
        Panel(
            "Nodes that are to come, and that go (Ray's autoscaler)",
            "By node type. Long or again to come: no capacity, a quota, or a fault in the cluster's YAML.",
            "lines",
            (
                Query(f"sum by (NodeType) (autoscaler_pending_nodes{{{RAY_SESSION}}}) > 0", "{{NodeType}}, to come"),
                # What its second autoscaler calls failed is what it is ending.
                Query(
                    f"sum by (NodeType) (autoscaler_recently_failed_nodes{{{RAY_SESSION}}}) > 0", "{{NodeType}}, goes"
                ),
            ),
            decimals=0,
            width=8,
        ),
        Panel(
            "Errors of GPUs (DCGM)",
            "The last XID error of each GPU, 0: none. NVIDIA's list says what each means; drain the machine.",
            "lines",
            (Query("DCGM_FI_DEV_XID_ERRORS > 0", "{{Hostname}} {{gpu}}"),),
            decimals=0,
            width=8,
        ),
        Panel(
            "Tickets, by how long they took",
            "From dispatch to return. Two bands far apart: hosts of different speed, or of different sizes of work.",
            "heatmap",
            (Query(f"sum by (le) (increase(ancestra_ticket_seconds_bucket{{{MODEL}}}[$__rate_interval]))", "{{le}}"),),
            unit="s",
            width=8,
        ),
    ),
)


def _quantile(part: str, legend: str) -> Query:
    inner = f"sum by (le) (rate(ancestra_commit_seconds_bucket{{{FARM}}}[{RATE}]))"
    return Query(f"histogram_quantile({part}, {inner})", legend)


_STORE = Row(
    "Controller and store",
    (
        Panel(
            "How long commits take",
            "From a commit's begin until it is durable.",
            "lines",
            (_quantile("0.5", "half of them"), _quantile("0.95", "95 of 100"), _quantile("0.99", "99 of 100")),
            unit="s",
            decimals=3,
            width=8,
        ),
        Panel(
            "Store errors, by part",
            "commit: the farm began a new epoch and went on; tables: tables and snapshots waited.",
            "lines",
            (Query(growth("ancestra_store_errors_total", FARM, "part", window=RATE), "{{part}}"),),
            decimals=0,
            width=8,
        ),
        Panel(
            "Epoch",
            "Each controller, and each order given while nobody is at work, takes the next one.",
            "lines",
            (Query(f"max by (farm) (ancestra_epoch{{{FARM}}})", "{{farm}}"),),
            decimals=0,
            width=8,
            low=None,
        ),
        Panel(
            "Events a second",
            "Facts and decisions that were committed.",
            "lines",
            (Query(per_second("ancestra_events_total", FARM, "farm"), "{{farm}}"),),
            decimals=1,
            width=8,
        ),
        Panel(
            "Tickets with hosts",
            "One runs and one waits on each host. Far fewer than twice the hosts: the farm does not keep up.",
            "stack",
            (Query(total("ancestra_queue_tickets", MODEL, "model"), "{{model}}"),),
            decimals=0,
            width=8,
        ),
        Panel(
            "Stitching time",
            "Seconds of stitching a second, by show.",
            "stack",
            (Query(per_second("ancestra_stitch_seconds_total", FARM, "show"), "{{show}}"),),
            decimals=2,
            width=8,
        ),
    ),
)

TROUBLE_BOARD = Board(
    uid="ancestra-trouble",
    title="Ancestra · Trouble",
    about="What is failing, and why.",
    variables=(OF_FARM, OF_MODEL, OF_SESSION, OF_CLUSTER),
    rows=(_NOW, _ALERTS, _FAILURES, _HOSTS, _STORE),
)
