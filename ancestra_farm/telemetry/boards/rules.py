"""Recording rules and alerts. Each alert says in one line what it means, and in one what to do.

Alerts look at what costs money or shots. What every fleet has now and then (a crash, one host that failed to start)
does not fire; why a threshold is where it is, a comment says. ``severity``: ``critical`` wants somebody now,
``warning`` today, ``info`` is for those it concerns.
"""

from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["critical", "warning", "info"]

_STAGE = "farm, show, stage, model"


@dataclass(frozen=True, slots=True)
class Recording:
    """A series that Prometheus keeps besides: cheap to look at over months. Named level:metric:operation."""

    name: str
    expr: str


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. ``held``: how long ``expr`` has to hold. ``summary``: what is so; ``runbook``: what to do.

    ``board``: where to look, the address of a dashboard of ours.
    """

    name: str
    expr: str
    held: str
    severity: Severity
    summary: str
    runbook: str
    board: str


def _grown(metric: str, window: str, by: str, where: str = "") -> str:
    chosen = f"{metric}{{{where}}}" if where else metric
    return f"sum by ({by}) (increase({chosen}[{window}]))"


def _share(part: str, by: str, window: str) -> str:
    busy, wall = (f"ancestra_device_{name}_seconds_total" for name in (part, "wall"))
    return f"sum by ({by}) (rate({busy}[{window}])) / (sum by ({by}) (rate({wall}[{window}])) > 0)"


def _yield(window: str, offset: str = "") -> str:
    """Survivors of what was judged."""
    window = f"{window}] offset {offset}" if offset else f"{window}]"
    survivors = f"sum by ({_STAGE}) (increase(ancestra_survivors_total[{window}))"
    judged = f'sum by ({_STAGE}) (increase(ancestra_attempts_total{{cause="judged"}}[{window}))'
    return f"{survivors} / ({judged} > 0)"


def _passing(window: str, offset: str = "") -> str:
    """What passed of what was judged. Survivors are named in steps, when waves close, which may be hours apart."""
    window = f"{window}] offset {offset}" if offset else f"{window}]"
    passed = f"sum by ({_STAGE}) (increase(ancestra_passes_total[{window}))"
    judged = f'sum by ({_STAGE}) (increase(ancestra_attempts_total{{cause="judged"}}[{window}))'
    return f"{passed} / ({judged} > 0)"


RECORDINGS: tuple[Recording, ...] = (
    *(
        Recording(f"farm_model:ancestra_device_{part}:share15m", _share(part, "farm, model", "15m"))
        for part in ("busy", "loading", "starved", "idle")
    ),
    Recording("farm:ancestra_survivors:increase1h", _grown("ancestra_survivors_total", "1h", "farm")),
    Recording("farm:ancestra_node_money:increase1h", _grown("ancestra_node_money_total", "1h", "farm, currency")),
    Recording("farm_show:ancestra_spent_money:increase1h", _grown("ancestra_spent_money_total", "1h", "farm, show")),
    Recording("farm_stage:ancestra_survivors:yield30m", _yield("30m")),
    Recording("farm_stage:ancestra_survivors:yield1d", _yield("1d")),
)

FARM_ALERTS: tuple[Alert, ...] = (
    Alert(
        "AncestraFarmAbsent",
        # A batch that is done has no series of its own any more; this one then says 0.
        "sum by (farm) (last_over_time(ancestra_shots_running[1h])) > 0 unless on (farm) ancestra_epoch",
        "2m",  # a controller that is killed is followed by the next within seconds
        "critical",
        "{{ $labels.farm }} was at work within the hour with shots left, and nobody answers any more.",
        "`ancestra doctor` on the store says whether a controller is alive; `ancestra up --store STORE` on its "
        "cluster, or `ancestra resume --store STORE` on one machine, goes on from the log. If one is alive, Prometheus "
        "does not reach its door: look at the targets page.",
        "ancestra-farm",
    ),
    Alert(
        "AncestraScrapeFails",
        'up{job=~"ancestra.*"} == 0',
        "5m",
        "warning",
        "The metrics of {{ $labels.instance }} are refused or do not come.",
        "A revoked token answers 401: run `ancestra dash` again, or put a viewer's token into the token file. "
        "A certificate that changed is fetched anew by `ancestra dash`.",
        "ancestra-trouble",
    ),
    Alert(
        "AncestraControllerRestarts",
        "changes(ancestra_epoch[30m]) > 3",
        "0m",
        "warning",
        "{{ $labels.farm }} took {{ $value }} new epochs in half an hour.",
        "Orders given while nobody is at work take one each; many controllers mean that it dies or that the store "
        "fails. Look at its log and at the store's errors; nothing is lost by it but time.",
        "ancestra-trouble",
    ),
    Alert(
        "AncestraCommitErrors",
        "sum by (farm, part) (increase(ancestra_store_errors_total[10m])) > 0",
        "0m",
        "critical",
        "The store failed {{ $labels.farm }} ({{ $labels.part }}).",
        "part=commit: nothing is acknowledged while it lasts; check the bucket or the disk (space, quota, "
        "credentials). part=tables: the log goes on, tables and snapshots wait. `ancestra verify STORE` afterwards.",
        "ancestra-trouble",
    ),
    Alert(
        "AncestraStoreRefusesWork",
        'sum by (farm) (increase(ancestra_attempts_total{cause="store"}[5m])) > 0',
        "10m",  # twice the window, so that it was no hiccup; between two tries of a host lie two minutes at most
        "critical",
        "What hosts of {{ $labels.farm }} make cannot be written to the store, or what they need not be read.",
        "`ancestra explain SHOT` says what the store answered: a full disk, a quota, credentials, a mount that is gone "
        "on one machine. Nobody is charged; hosts wait and try again by themselves, and go on when it is mended.",
        "ancestra-trouble",
    ),
    Alert(
        "AncestraCommitsSlow",
        "histogram_quantile(0.99, sum by (farm, le) (rate(ancestra_commit_seconds_bucket[10m]))) > 5",
        "10m",  # the promise to people is an acknowledgement in well under a second
        "warning",
        "One commit of a hundred takes {{ $value | humanizeDuration }} in {{ $labels.farm }}.",
        "Orders are acknowledged once they are committed. Look at the store's latency from the head: another region, a "
        "full disk, a network file system under load.",
        "ancestra-trouble",
    ),
)

#: Machines that could go. Those that stay anyway may idle: nobody pays less without their work.
_COULD_GO = "and on (farm) sum by (farm) (ancestra_nodes) > sum by (farm) (ancestra_nodes_least)"

FLEET_ALERTS: tuple[Alert, ...] = (
    Alert(
        "AncestraGpusWithoutHost",
        '(sum by (farm) (ancestra_slots{device="gpu"}) - sum by (farm) (ancestra_slots_held{device="gpu"})) / '
        f'(sum by (farm) (ancestra_slots{{device="gpu"}}) > 0) > 0.25 {_COULD_GO}',
        "15m",  # a node takes minutes to come and to go; a quarter for a quarter of an hour is neither
        "warning",
        "{{ $value | humanizePercentage }} of the GPUs of {{ $labels.farm }} are paid for and have no host.",
        "With work waiting: `ancestra explain SHOT` says what keeps hosts from starting (no model fits these GPUs, a "
        "cap, failed starts). Without: nodes should have gone; look at idle timeouts and min_nodes.",
        "ancestra-farm",
    ),
    Alert(
        "AncestraPaidButIdle",
        f"{_share('idle', 'farm, model', '15m')} > 0.5 {_COULD_GO}",
        "15m",
        "warning",
        "Hosts of {{ $labels.model }} in {{ $labels.farm }} had nothing to do for {{ $value | humanizePercentage }} of "
        "their time, on machines that could go.",
        "Is everything paused, at its cap, or waiting for people (`ancestra status`)? If not, lower idle_s in "
        "farm.yaml, or let another model have the devices.",
        "ancestra-farm",
    ),
    Alert(
        "AncestraHostsStarved",
        f"{_share('starved', 'farm, model', '15m')} > 0.3",
        "15m",
        "warning",
        "Hosts of {{ $labels.model }} in {{ $labels.farm }} waited for input {{ $value | humanizePercentage }} of "
        "their time though there was work.",
        "Judging or writing holds the device up: give hosts more CPUs, switch the dearest filter off (judging time, by "
        "filter), or look at the store's write speed.",
        "ancestra-farm",
    ),
    Alert(
        "AncestraNoHosts",
        "sum by (farm, model) (ancestra_queue_candidates) > 0 unless on (farm, model) ancestra_hosts > 0",
        "15m",  # as long as a node and a large model take to come, three times
        "critical",
        "{{ $value }} candidates wait for {{ $labels.model }} in {{ $labels.farm }} and it has no host.",
        "`ancestra explain SHOT` and `ancestra hosts --queues` say why: no such node, a quota of the cloud, a model "
        "that fails to start, a higher class that is served first.",
        "ancestra-farm",
    ),
    Alert(
        "AncestraFailingHosts",
        "sum by (farm, model) "
        '(increase(ancestra_host_changes_total{change=~"drained|killed|failed_to_start"}[30m])) >= 3',
        "0m",
        "warning",
        "{{ $value }} hosts of {{ $labels.model }} in {{ $labels.farm }} were drained, ended or failed to start.",
        "`ancestra hosts` names them and their machines. One machine: `ancestra hosts drain NODE`. All: the model, its "
        "weights or its memory; `ancestra doctor`.",
        "ancestra-trouble",
    ),
    Alert(
        "AncestraPreemptionStorm",
        # Machines, whatever number of hosts each had, and each once: one that went without a notice had none.
        'sum by (farm) (increase(ancestra_node_notices_total{cause=~"preempted|lost"}[30m])) >= 5',
        "0m",
        "warning",
        "{{ $value }} machines of {{ $labels.farm }} went in half an hour.",
        "Nothing is lost, but loads are paid again and again. Let dailies have on-demand nodes, take another type or "
        "zone for spot, or pause backfill until it is over.",
        "ancestra-farm",
    ),
)

FILM_ALERTS: tuple[Alert, ...] = (
    Alert(
        "AncestraShotStarved",
        'sum by (farm, show, batch) (ancestra_shots{state=~"starved|failed"}) > 0',
        "1m",
        "warning",
        "{{ $value }} shots of {{ $labels.batch }} ({{ $labels.show }}) ended without what they need.",
        "`ancestra explain SHOT` says which stage: `ancestra more SHOT STAGE --candidates N`, `ancestra retry`, "
        "another wording, or a looser filter; `ancestra restore ID` takes a reject.",
        "ancestra-batch",
    ),
    Alert(
        "AncestraSurvivorRateCollapsed",
        f"{_passing('30m')} < 0.25 * ({_passing('1d', '30m')}) and "
        f'sum by ({_STAGE}) (increase(ancestra_attempts_total{{cause="judged"}}[30m])) > 100',
        "10m",  # a hundred verdicts: below it a quarter of the usual yield is chance
        "warning",
        "Of {{ $labels.stage }} of {{ $labels.show }} with {{ $labels.model }} {{ $value | humanizePercentage }} pass, "
        "a quarter of the day before or less.",
        "Which filter, says Batch (verdicts, by filter); since when, and what was submitted then. One wording: "
        "`ancestra manifest` by variant. All: the model or its weights; pause before it costs more.",
        "ancestra-batch",
    ),
    Alert(
        "AncestraAttemptsFail",
        f'sum by ({_STAGE}) (increase(ancestra_attempts_total{{cause!~"judged|aborted|store"}}[15m])) / '
        f'(sum by ({_STAGE}) (increase(ancestra_attempts_total{{cause!~"aborted|store"}}[15m])) > 20) > 0.2',
        "5m",
        "warning",
        "{{ $value | humanizePercentage }} of the attempts at {{ $labels.stage }} of {{ $labels.show }} with "
        "{{ $labels.model }} fail.",
        "Trouble says by which cause; `ancestra why ID` of one of them says the message. out_of_memory: a smaller size "
        "or a larger GPU; exception: the model and its parameters.",
        "ancestra-trouble",
    ),
    Alert(
        "AncestraBudgetBurning",
        "ancestra_budget_left_ratio < 0.2",
        "1m",
        "warning",
        "{{ $value | humanizePercentage }} of the budget in {{ $labels.budget }} of {{ $labels.batch }} "
        "({{ $labels.show }}) is left.",
        "Will it reach? Batch says what is to go. Raise it in the batch (or the show's max_money by `ancestra "
        "settings`), close stages that have enough, or cancel shots.",
        "ancestra-batch",
    ),
    Alert(
        "AncestraWaveStuck",
        "time() - min by (farm, show, class) (ancestra_oldest_wave_timestamp_seconds) > 6 * 3600",
        "10m",
        "warning",
        "A wave of {{ $labels.show }} ({{ $labels.class }}) has been open for {{ $value | humanizeDuration }}.",
        "backfill behind dailies may wait: `ancestra explain SHOT` says whose turn it is. Else one candidate holds the "
        "wave up: `ancestra hosts --queues`.",
        "ancestra-farm",
    ),
    Alert(
        "AncestraWaitsForPeople",
        'sum by (farm, show, batch) (ancestra_shots{state="waiting_for_people"}) > 0',
        "8h",  # a working day
        "info",
        "{{ $value }} shots of {{ $labels.batch }} ({{ $labels.show }}) have waited for picks for a day's work.",
        "Ask who reviews the show; `ancestra pick` and `ancestra close`.",
        "ancestra-batch",
    ),
)

ALERTS: tuple[Alert, ...] = (*FARM_ALERTS, *FLEET_ALERTS, *FILM_ALERTS)


def rule_groups() -> dict[str, Any]:
    """All rules as Prometheus reads them from YAML."""
    return {
        "groups": [
            {
                "name": "ancestra-recorded",
                "rules": [{"record": one.name, "expr": one.expr} for one in RECORDINGS],
            },
            *(
                {"name": name, "rules": [_alert(one) for one in alerts]}
                for name, alerts in (
                    ("ancestra-farm", FARM_ALERTS),
                    ("ancestra-fleet", FLEET_ALERTS),
                    ("ancestra-film", FILM_ALERTS),
                )
            ),
        ]
    }


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.held,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "runbook": alert.runbook, "dashboard": f"/d/{alert.board}"},
    }
