"""Every metric the farm exports: one row each. `Metrics` builds its families from this table and adds none of its own.

Labels are bounded: show, class, stage, model, filter, cause, and looks in training. Shots, variants and ids belong to
the tables, where they cost nothing. A *pool* is the hosts of one model, so its label is ``model``. ``batch`` stands on
a few live gauges only, and only while something of the batch is left to do: what ended has its rows in the tables.

``gauge`` marks what can go down. Candidates by outcome are gauges: a failed attempt is retried, a passing candidate
turns out to be a duplicate or to lie past a stop when its wave closes. What only ever grows is a counter.
``live`` rows are measured by the running process and begin empty with it; all others are rebuilt from the log at start.
"""

from dataclasses import dataclass
from typing import Literal

#: The only labels there are.
LABELS = (
    *("show", "class", "stage", "model", "filter", "cause", "order", "look"),
    *("batch", "state", "budget", "change", "device", "part", "currency", "node_type", "market"),
)
_STAGE = ("show", "class", "stage", "model")
_SHOW = ("show", "class")
_BATCH = ("show", "class", "batch")
_NODES = ("node_type", "market")

#: Seconds. Commits are one small file each; tickets aim at some tens of seconds and can hold one slow clip.
COMMIT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
TICKET_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1800.0)


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric. ``unit``: empty where it counts things. ``buckets``: upper bounds of a histogram, in its unit."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    unit: str
    labels: tuple[str, ...]
    meaning: str
    live: bool = False
    buckets: tuple[float, ...] = ()


CATALOGUE: tuple[MetricRow, ...] = (
    MetricRow("ancestra_events_total", "counter", "", (), "Events folded from the log."),
    MetricRow("ancestra_epoch", "gauge", "", (), "The epoch that writes to the store."),
    MetricRow("ancestra_batches", "gauge", "", ("show", "class"), "Batches submitted, each name once."),
    # Candidates: released = pending + undecided + every outcome below, for the same labels.
    MetricRow("ancestra_candidates_released_total", "counter", "", _STAGE, "Candidates the farm committed to trying."),
    MetricRow("ancestra_candidates_pending", "gauge", "", _STAGE, "Released, no attempt has ended it yet."),
    MetricRow("ancestra_candidates_undecided", "gauge", "", _STAGE, "Passed every filter; the wave is still open."),
    MetricRow("ancestra_candidates_survivor", "gauge", "", _STAGE, "Passed, and distinct from all earlier survivors."),
    MetricRow(
        "ancestra_candidates_rejected",
        "gauge",
        "",
        (*_STAGE, "filter"),
        "Rejected, by the first filter that did; filter=duplicate: resembles an earlier survivor.",
    ),
    MetricRow(
        "ancestra_candidates_failed",
        "gauge",
        "",
        (*_STAGE, "cause"),
        "The last attempt failed (it may be tried again), by cause.",
    ),
    MetricRow("ancestra_candidates_quarantined", "gauge", "", (*_STAGE, "cause"), "Given up after three strikes."),
    MetricRow("ancestra_candidates_lost", "gauge", "", (*_STAGE, "cause"), "Given up after unexplained losses."),
    MetricRow(
        "ancestra_candidates_skipped", "gauge", "", _STAGE, "Released, but past the point where its stage stopped."
    ),
    MetricRow("ancestra_candidates_promoted", "gauge", "", _STAGE, "Drafts whose full version is made."),
    MetricRow("ancestra_candidates_not_promoted", "gauge", "", _STAGE, "Drafts that passed and stop there."),
    MetricRow(
        "ancestra_candidates_reused",
        "gauge",
        "",
        _STAGE,
        "Judged in an earlier revision or round, not made again, and no survivor now.",
    ),
    MetricRow(
        "ancestra_candidates_superseded",
        "gauge",
        "",
        _STAGE,
        "Candidates of an earlier revision or round, whatever they had come to.",
    ),
    # Work: these only grow.
    MetricRow(
        "ancestra_attempts_total", "counter", "", (*_STAGE, "cause"), "Attempts that ended; cause=judged: a verdict."
    ),
    MetricRow(
        "ancestra_passes_total",
        "counter",
        "",
        _STAGE,
        "Verdicts for a candidate: every filter passed it. Whether it survives is said when its wave closes.",
    ),
    MetricRow(
        "ancestra_rejections_total", "counter", "", (*_STAGE, "filter"), "Verdicts against a candidate, by filter."
    ),
    MetricRow("ancestra_filter_seconds_total", "counter", "seconds", (*_STAGE, "filter"), "Judging time, by filter."),
    MetricRow(
        "ancestra_retries_total",
        "counter",
        "",
        (*_STAGE, "cause"),
        "Attempts at candidates whose last attempt had failed, by the cause of that failure.",
    ),
    MetricRow(
        "ancestra_verdicts_voided_total",
        "counter",
        "",
        _STAGE,
        "Verdicts of sick hosts that no longer count; the work is done again.",
    ),
    MetricRow("ancestra_survivors_total", "counter", "", _STAGE, "Candidates that a wave's close declared survivors."),
    MetricRow(
        "ancestra_candidate_device_seconds_total",
        "counter",
        "seconds",
        _STAGE,
        "Device time held by attempts, failed and aborted ones too.",
    ),
    MetricRow(
        "ancestra_device_seconds_per_survivor",
        "gauge",
        "seconds",
        _STAGE,
        "ancestra_candidate_device_seconds_total over ancestra_survivors_total; absent before the first survivor.",
    ),
    MetricRow(
        "ancestra_oldest_wave_timestamp_seconds",
        "gauge",
        "seconds",
        _SHOW,
        "Unix time at which the oldest wave still open was released; absent without one. Paused work is left out.",
    ),
    # Devices: busy + loading + starved + idle = wall, per pool.
    MetricRow("ancestra_device_wall_seconds_total", "counter", "seconds", ("model",), "Time hosts held their devices."),
    MetricRow("ancestra_device_busy_seconds_total", "counter", "seconds", ("model",), "Of it, generating."),
    MetricRow("ancestra_device_loading_seconds_total", "counter", "seconds", ("model",), "Of it, setup and warm-up."),
    MetricRow(
        "ancestra_device_starved_seconds_total",
        "counter",
        "seconds",
        ("model",),
        "Of it, waiting for input though the pool had work, or for the host's own judging and writing.",
    ),
    MetricRow("ancestra_device_idle_seconds_total", "counter", "seconds", ("model",), "Of it, nothing to do."),
    MetricRow(
        "ancestra_host_changes_total",
        "counter",
        "",
        ("model", "change"),
        "Hosts by what happened to them: ready, lost, drained (sick), killed (deadline), failed_to_start.",
    ),
    MetricRow(
        "ancestra_node_notices_total",
        "counter",
        "",
        ("cause",),
        "Machines with hosts that went or were told to; cause=preempted: by a given time, drained: once they are "
        "empty, lost: without a notice.",
    ),
    MetricRow("ancestra_node_orders_total", "counter", "", ("order",), "Orders about machines: drain, block, forgive."),
    MetricRow(
        "ancestra_nodes", "gauge", "", _NODES, "Machines that are up, of the types that farm.yaml names.", live=True
    ),
    MetricRow(
        "ancestra_nodes_least", "gauge", "", _NODES, "Machines of a type that are kept even without work.", live=True
    ),
    MetricRow("ancestra_node_seconds_total", "counter", "seconds", _NODES, "Time that machines were up, each counted."),
    MetricRow(
        "ancestra_node_money_total",
        "counter",
        "",
        (*_NODES, "currency"),
        "What machines cost while they were up, at the prices of farm.yaml, busy or not.",
    ),
    MetricRow("ancestra_hosts", "gauge", "", ("model",), "Hosts that are up.", live=True),
    MetricRow("ancestra_hosts_starting", "gauge", "", ("model",), "Hosts that are asked for and not up.", live=True),
    MetricRow(
        "ancestra_slots", "gauge", "", ("device",), "Device slots there are for hosts; device: cpu or gpu.", live=True
    ),
    MetricRow(
        "ancestra_slots_planned",
        "gauge",
        "",
        ("device",),
        "Device slots there are to be for the work that waits, within all caps; absent where nodes do not come and go.",
        live=True,
    ),
    MetricRow("ancestra_slots_held", "gauge", "", ("device",), "Device slots that hosts hold.", live=True),
    MetricRow("ancestra_queue_tickets", "gauge", "", ("model",), "Tickets with hosts, not ended.", live=True),
    MetricRow(
        "ancestra_queue_candidates",
        "gauge",
        "",
        ("model",),
        "Released candidates that wait to be handed out, by pool.",
        live=True,
    ),
    MetricRow(
        "ancestra_class_queue_candidates",
        "gauge",
        "",
        ("model", "class"),
        "Released candidates that wait to be handed out, by pool and class.",
        live=True,
    ),
    MetricRow(
        "ancestra_ticket_seconds",
        "histogram",
        "seconds",
        ("model", "stage"),
        "From a ticket's dispatch to its end.",
        live=True,
        buckets=TICKET_BUCKETS_S,
    ),
    MetricRow(
        "ancestra_commit_seconds",
        "histogram",
        "seconds",
        (),
        "From a commit's begin until it is durable.",
        live=True,
        buckets=COMMIT_BUCKETS_S,
    ),
    MetricRow(
        "ancestra_store_errors_total",
        "counter",
        "",
        ("part",),
        "Times the store failed us; part=commit: the farm began a new epoch, part=tables: tables and snapshots waited.",
        live=True,
    ),
    # Batches with something left to do.
    MetricRow(
        "ancestra_shots",
        "gauge",
        "",
        (*_BATCH, "state"),
        "Shots; state: running, waiting_for_people, done, starved, failed, paused, cancelled.",
        live=True,
    ),
    MetricRow(
        "ancestra_shots_running",
        "gauge",
        "",
        (),
        "Shots that a farm which stays until it is stopped is at work on; 0 also where the farm ends by itself.",
        live=True,
    ),
    MetricRow(
        "ancestra_device_seconds_to_go",
        "gauge",
        "seconds",
        _BATCH,
        "Device time that is left to spend at most, as far as is known: what stages still want, at what theirs cost.",
        live=True,
    ),
    MetricRow(
        "ancestra_budget_left_ratio",
        "gauge",
        "ratio",
        (*_BATCH, "budget"),
        "Part of a budget that is left, 0 to 1; budget: candidates, device_hours, or money (of the batch's show).",
        live=True,
    ),
    MetricRow(
        "ancestra_spent_money_total",
        "counter",
        "",
        ("show", "currency"),
        "Money that attempts of a show have cost, failed ones too, as priced by farm.yaml when they ended.",
        live=True,
    ),
    # Finished film and people.
    MetricRow("ancestra_orders_total", "counter", "", (*_SHOW, "order"), "Orders taken, by kind: pick, pause, more, …"),
    MetricRow("ancestra_stitches_waiting", "gauge", "", _SHOW, "Stitches planned and not ended."),
    MetricRow("ancestra_stitches_published_total", "counter", "", _SHOW, "Stitches published."),
    MetricRow(
        "ancestra_stitches_failed_total",
        "counter",
        "",
        (*_SHOW, "cause"),
        "Stitches that failed; cause: seam or exception.",
    ),
    MetricRow("ancestra_stitch_seconds_total", "counter", "seconds", _SHOW, "Time spent stitching."),
    MetricRow("ancestra_delivered_frames_total", "counter", "frames", _SHOW, "Frames published, handles included."),
    MetricRow("ancestra_picks", "gauge", "", _SHOW, "Picks that stand, one per person and candidate."),
    # Looks in training: of the process that `ancestra look train` runs in.
    MetricRow("ancestra_look_steps", "gauge", "", ("look",), "Training steps done.", live=True),
    MetricRow("ancestra_look_steps_wanted", "gauge", "", ("look",), "Training steps in all.", live=True),
    MetricRow("ancestra_look_loss", "gauge", "", ("look",), "Training loss, mean over the last tenth.", live=True),
    MetricRow(
        "ancestra_look_step_seconds", "gauge", "seconds", ("look",), "Time for a training step, of late.", live=True
    ),
    MetricRow("ancestra_look_samples", "gauge", "", ("look",), "Samples drawn with the look so far.", live=True),
)
