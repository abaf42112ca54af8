"""The Batch board: will my shots be ready. Shots and wordings one by one are in the tables and in `ancestra status`."""

from ancestra_farm.telemetry.boards.asked import (
    BATCH,
    FARM,
    OF_BATCH,
    OF_CLASS,
    OF_FARM,
    OF_SHOW,
    SHOW,
    growth,
    number,
    over,
    per_second,
    total,
)
from ancestra_farm.telemetry.boards.board import Board, Column, Panel, Query, Row, Threshold

STATES = ("done", "running", "waiting_for_people", "starved", "failed", "paused")
OUTCOMES = ("survivor", "rejected", "failed", "quarantined", "lost", "skipped", "undecided", "pending")
_MONEY = f'{FARM}, show=~"$show"'
_JUDGED = f'{SHOW}, cause="judged"'


def _shots(*states: str) -> str:
    return total("ancestra_shots", f'{BATCH}, state=~"{"|".join(states)}"')


def _to_go(*by: str) -> str:
    """Seconds until the device time that is left is spent at the pace of the last ten minutes, for each of ``by``.

    Both of whole shows and classes: what one batch gets of their pace, nobody knows.
    """
    return over(
        total("ancestra_device_seconds_to_go", SHOW, *by),
        per_second("ancestra_candidate_device_seconds_total", SHOW, *by),
    )


_READY = Row(
    "Will my shots be ready",
    (
        number(
            "Shots done",
            "Of the chosen batches; a batch leaves this page when nothing of it is left to do.",
            _shots("done"),
            base="green",
            empty="0",
        ),
        number("Running", "The farm is at them.", _shots("running"), empty="0"),
        number(
            "Waiting for people",
            "A stage has its survivors; somebody has to pick and close it.",
            _shots("waiting_for_people"),
            base="green",
            thresholds=(Threshold(1, "yellow"),),
            empty="0",
        ),
        number(
            "Starved or failed",
            "A stage ended without a survivor, or a stitch was given up. `ancestra explain SHOT` says why.",
            _shots("starved", "failed"),
            base="green",
            thresholds=(Threshold(1, "red"),),
            empty="0",
        ),
        number(
            "Time to go, at most",
            "The device time that is left at most to all batches of the chosen shows and classes, at the pace of the "
            "last ten minutes. Stages that stop early end it sooner; stages that are not begun yet can end with more "
            "inputs than one.",
            _to_go(),
            unit="dtdurations",
            empty="no pace yet",
        ),
        number(
            "Device time to go, at most",
            "What the stages still want, at what theirs cost, within the budget.",
            total("ancestra_device_seconds_to_go", BATCH),
            unit="dtdurations",
            empty="nothing",
        ),
        number(
            "Least budget left",
            "Of the chosen batches: the budget that is nearest its end.",
            f"min(ancestra_budget_left_ratio{{{BATCH}}})",
            unit="percentunit",
            high=1.0,
            base="red",
            thresholds=(Threshold(0.05, "orange"), Threshold(0.2, "green")),
            empty="no budgets",
        ),
        number(
            "Stitches waiting",
            "Chains that are to be stitched and published.",
            total("ancestra_stitches_waiting", SHOW),
            empty="0",
        ),
    ),
)

_BATCHES = Row(
    "Batches",
    (
        Panel(
            "Batches with something left to do",
            "How many shots stand where, what is left to spend, and how much of the tightest budget is left.",
            "table",
            (
                *(
                    Query(total("ancestra_shots", f'{BATCH}, state="{state}"', "batch", "show", "class"))
                    for state in STATES
                ),
                Query(total("ancestra_device_seconds_to_go", BATCH, "batch", "show", "class")),
                Query(f"min by (batch, show, class) (ancestra_budget_left_ratio{{{BATCH}}})"),
            ),
            width=16,
            height=9,
            keys=("batch", "show", "class"),
            columns=(
                *(Column(number, name) for number, name in enumerate(("done", "running"))),
                Column(2, "wait for people", thresholds=(Threshold(1, "yellow"),)),
                Column(3, "starved", thresholds=(Threshold(1, "red"),)),
                Column(4, "failed", thresholds=(Threshold(1, "red"),)),
                Column(5, "paused"),
                Column(6, "device time to go", "dtdurations", 0),
                Column(
                    7,
                    "budget left",
                    "percentunit",
                    0,
                    (Threshold(0.0, "red"), Threshold(0.05, "orange"), Threshold(0.2, "green")),
                ),
            ),
        ),
        Panel(
            "Shots, by where they stand",
            "Of the chosen batches with something left to do.",
            "stack",
            (Query(total("ancestra_shots", BATCH, "state"), "{{state}}"),),
            width=8,
            height=9,
            paint=STATES,
        ),
        Panel(
            "Time to go, by show and class",
            "At most, at the pace of the last ten minutes. Flat while time passes: the pace falls, or work is added.",
            "lines",
            (Query(_to_go("show", "class"), "{{show}} {{class}}"),),
            unit="dtdurations",
            width=12,
        ),
        Panel(
            "Budgets left",
            "0: nothing more is released. Money is that of the whole show.",
            "lines",
            (Query(f"min by (batch, budget) (ancestra_budget_left_ratio{{{BATCH}}})", "{{batch}}, {{budget}}"),),
            unit="percentunit",
            high=1.0,
            width=12,
            thresholds=(Threshold(0.2, "orange"),),
        ),
    ),
)

_YIELD = Row(
    "Yield",
    (
        Panel(
            "Candidates, by what became of them",
            "All that were released, since the farm began; those of earlier revisions and rounds are left out.",
            "bars",
            tuple(Query(total(f"ancestra_candidates_{outcome}", SHOW), outcome) for outcome in OUTCOMES),
            width=8,
            paint=("survivor", "rejected", "failed"),
        ),
        Panel(
            "Survivors of what was judged, by stage",
            "Since the farm began. Drafts count as judged and do not survive as such, so stages with drafts are low.",
            "bars",
            (
                Query(
                    "sort_desc("
                    + over(
                        total("ancestra_survivors_total", SHOW, "show", "stage"),
                        total("ancestra_attempts_total", _JUDGED, "show", "stage"),
                    )
                    + ")",
                    "{{show}} {{stage}}",
                ),
            ),
            unit="percentunit",
            decimals=1,
            width=8,
        ),
        Panel(
            "Survivors of what was judged, by model",
            "Since the farm began. The same stage with two models: this says which is worth its device time.",
            "bars",
            (
                Query(
                    "sort_desc("
                    + over(
                        total("ancestra_survivors_total", SHOW, "model"),
                        total("ancestra_attempts_total", _JUDGED, "model"),
                    )
                    + ")",
                    "{{model}}",
                ),
            ),
            unit="percentunit",
            decimals=1,
            width=8,
        ),
        Panel(
            "Verdicts against candidates, by filter",
            "Part of what was judged in the last ten minutes that each filter rejected. One that jumps: a model or a "
            "wording changed, or a host is sick.",
            "lines",
            (
                Query(
                    f"{per_second('ancestra_rejections_total', SHOW, 'filter')} / on () group_left () "
                    f"({per_second('ancestra_attempts_total', _JUDGED)} > 0)",
                    "{{filter}}",
                ),
            ),
            unit="percentunit",
            high=1.0,
            width=8,
        ),
        Panel(
            "Rejected, by first filter",
            "Candidates that stand rejected, by the first filter that did; duplicate: resembles an earlier survivor.",
            "bars",
            (Query(f"sort_desc({total('ancestra_candidates_rejected', SHOW, 'filter')})", "{{filter}}"),),
            width=8,
        ),
        Panel(
            "Judging time, by filter",
            "Seconds of CPU a second. What does not fit beside generating shows as starved on the Farm board.",
            "stack",
            (Query(per_second("ancestra_filter_seconds_total", SHOW, "filter"), "{{filter}}"),),
            decimals=2,
            width=8,
        ),
        Panel(
            "Device time per survivor",
            "Since the farm began, failed and rejected attempts included.",
            "bars",
            (
                Query(
                    f"sort_desc(max by (show, class, stage, model) (ancestra_device_seconds_per_survivor{{{SHOW}}}))",
                    "{{show}} {{class}} {{stage}} · {{model}}",
                ),
            ),
            unit="s",
            decimals=1,
            width=8,
        ),
        Panel(
            "Candidates released a minute, by stage",
            "What the farm committed to trying.",
            "stack",
            (Query(f"60 * {per_second('ancestra_candidates_released_total', SHOW, 'stage')}", "{{stage}}"),),
            decimals=1,
            width=8,
        ),
        Panel(
            "Survivors an hour, by stage",
            "Named by the close of their wave, so in steps.",
            "stack",
            (Query(f"3600 * {per_second('ancestra_survivors_total', SHOW, 'stage')}", "{{stage}}"),),
            decimals=0,
            width=8,
        ),
        Panel(
            "Money per survivor, by show",
            "Since the farm began: what all attempts of a show cost, over the survivors of all its stages.",
            "bars",
            (
                Query(
                    f"sort_desc({total('ancestra_spent_money_total', _MONEY, 'show', 'currency')} / on (show) "
                    f"group_left () ({total('ancestra_survivors_total', SHOW, 'show')} > 0))",
                    "{{show}}, {{currency}}",
                ),
            ),
            decimals=3,
            width=8,
        ),
        Panel(
            "Drafts, and what was not made again",
            "Promoted drafts are made in full; the others passed and stop there. Reused: judged in an earlier revision "
            "or round; superseded: belongs to one.",
            "bars",
            tuple(
                Query(total(f"ancestra_candidates_{outcome}", SHOW), outcome.replace("_", " "))
                for outcome in ("promoted", "not_promoted", "reused", "superseded")
            ),
            width=16,
        ),
    ),
)

_FILM = Row(
    "Film and people",
    (
        Panel(
            "Published",
            "Stitches published and frames delivered since the farm began.",
            "stat",
            (
                Query(total("ancestra_stitches_published_total", SHOW), "clips"),
                Query(total("ancestra_delivered_frames_total", SHOW), "frames"),
            ),
            width=6,
            height=6,
            decimals=0,
            base="green",
            by_name=True,
            empty="0",
        ),
        Panel(
            "Picks that stand",
            "One for each person and candidate.",
            "stat",
            (Query(total("ancestra_picks", SHOW, "show"), "{{show}}"),),
            width=6,
            height=6,
            decimals=0,
            by_name=True,
            empty="0",
        ),
        Panel(
            "Orders, last hour",
            "What people ordered, by kind.",
            "bars",
            (Query(f"sort_desc({growth('ancestra_orders_total', SHOW, 'order')} > 0)", "{{order}}"),),
            width=6,
            height=6,
            decimals=0,
        ),
        Panel(
            "Batches, by class",
            "Submitted to this farm, each name once.",
            "bars",
            (Query(total("ancestra_batches", SHOW, "class"), "{{class}}"),),
            width=6,
            height=6,
            decimals=0,
        ),
    ),
)

BATCH_BOARD = Board(
    uid="ancestra-batch",
    title="Ancestra · Batch",
    about="Will my shots be ready.",
    variables=(OF_FARM, OF_SHOW, OF_CLASS, OF_BATCH),
    rows=(_READY, _BATCHES, _YIELD, _FILM),
)
