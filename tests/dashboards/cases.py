"""For each alert: series that make it fire, and series that are near and must not. One value a minute."""

from dataclasses import dataclass

#: Prometheus's own way to write values: ``a+bxn`` is a, a+b, … n more times.
Series = dict[str, str]


@dataclass(frozen=True)
class Case:
    """``fires``: series under which it fires ``at`` so many minutes; ``quiet``: under which it does not.

    ``every``: minutes from one value to the next.
    """

    alert: str
    at: int
    fires: Series
    quiet: Series
    every: int = 1


STAGE = 'farm="a", show="s", class="shot", stage="still", model="m"'
SHOT = 'farm="a", show="s", class="shot", batch="b"'


def judged(cause: str = "judged") -> str:
    return f'ancestra_attempts_total{{{STAGE}, cause="{cause}"}}'


def device(part: str) -> str:
    return f'ancestra_device_{part}_seconds_total{{farm="a", model="m"}}'


#: Two machines more than are kept in any case.
RENTED = {
    'ancestra_nodes{farm="a", node_type="l4", market="spot"}': "3x60",
    'ancestra_nodes_least{farm="a", node_type="l4", market="spot"}': "1x60",
}

CASES = (
    Case(
        "AncestraFarmAbsent",
        30,
        {'ancestra_shots_running{farm="a"}': "3x10 stale", 'ancestra_epoch{farm="a"}': "4x10 stale"},
        {  # one is at work; the other was done with its last batch, which leaves, and was stopped then
            'ancestra_shots_running{farm="a"}': "3x60",
            'ancestra_epoch{farm="a"}': "4x60",
            'ancestra_shots{farm="b", show="s", class="shot", batch="b", state="running"}': "3x8 stale",
            'ancestra_shots_running{farm="b"}': "3x8 0x2 stale",
            'ancestra_epoch{farm="b"}': "4x10 stale",
        },
    ),
    Case(
        "AncestraScrapeFails",
        10,
        {'up{job="ancestra", instance="x", farm="a"}': "1 0x20"},
        {'up{job="ancestra", instance="x", farm="a"}': "1 0 0 1x20"},
    ),
    Case(
        "AncestraControllerRestarts",
        20,
        {'ancestra_epoch{farm="a"}': "1 2 3 4 5 6x20"},
        {'ancestra_epoch{farm="a"}': "1 2 3x20"},
    ),
    Case(
        "AncestraCommitErrors",
        8,
        {'ancestra_store_errors_total{farm="a", part="commit"}': "0x5 1x10"},
        {'ancestra_store_errors_total{farm="a", part="commit"}': "1x15"},
    ),
    Case(
        "AncestraStoreRefusesWork",
        17,
        {judged("store"): "0x5 0+2x20", judged(): "0x30"},
        {judged("store"): "0x7 3x25", judged(): "0+9x30"},  # once, for a moment
    ),
    Case(
        "AncestraCommitsSlow",
        40,
        {
            'ancestra_commit_seconds_bucket{farm="a", le="5"}': "0+50x60",
            'ancestra_commit_seconds_bucket{farm="a", le="10"}': "0+60x60",
            'ancestra_commit_seconds_bucket{farm="a", le="+Inf"}': "0+60x60",
        },
        {
            'ancestra_commit_seconds_bucket{farm="a", le="5"}': "0+60x60",
            'ancestra_commit_seconds_bucket{farm="a", le="10"}': "0+60x60",
            'ancestra_commit_seconds_bucket{farm="a", le="+Inf"}': "0+60x60",
        },
    ),
    Case(
        "AncestraGpusWithoutHost",
        20,
        {
            'ancestra_slots{farm="a", device="gpu"}': "8x30",
            'ancestra_slots_held{farm="a", device="gpu"}': "4x30",
            **RENTED,
        },
        {
            'ancestra_slots{farm="a", device="gpu"}': "8x30",
            'ancestra_slots_held{farm="a", device="gpu"}': "7x30",
            **RENTED,
        },
    ),
    Case(
        "AncestraPaidButIdle",
        40,
        {device("idle"): "0+50x60", device("wall"): "0+60x60", **RENTED},
        {  # one has work; those of the other stand in a room of its own and stay
            device("idle"): "0+20x60",
            device("wall"): "0+60x60",
            **RENTED,
            'ancestra_device_idle_seconds_total{farm="b", model="m"}': "0+60x60",
            'ancestra_device_wall_seconds_total{farm="b", model="m"}': "0+60x60",
            'ancestra_nodes{farm="b", node_type="own", market="on_demand"}': "3x60",
            'ancestra_nodes_least{farm="b", node_type="own", market="on_demand"}': "3x60",
        },
    ),
    Case(
        "AncestraHostsStarved",
        40,
        {device("starved"): "0+30x60", device("wall"): "0+60x60"},
        {device("starved"): "0+10x60", device("wall"): "0+60x60"},
    ),
    Case(
        "AncestraNoHosts",
        20,
        {
            'ancestra_queue_candidates{farm="a", model="m"}': "100x30",
            'ancestra_hosts{farm="a", model="m"}': "0x30",
            'ancestra_hosts{farm="a", model="n"}': "4x30",
        },
        {'ancestra_queue_candidates{farm="a", model="m"}': "100x30", 'ancestra_hosts{farm="a", model="m"}': "1x30"},
    ),
    Case(
        "AncestraFailingHosts",
        20,
        {'ancestra_host_changes_total{farm="a", model="m", change="failed_to_start"}': "0+1x30"},
        {
            'ancestra_host_changes_total{farm="a", model="m", change="failed_to_start"}': "1x10 2x20",
            'ancestra_host_changes_total{farm="a", model="m", change="ready"}': "0+1x30",
        },
    ),
    Case(
        "AncestraPreemptionStorm",
        20,
        {  # half of them without a notice
            'ancestra_node_notices_total{farm="a", cause="preempted"}': "0x10 1 2 3x20",
            'ancestra_node_notices_total{farm="a", cause="lost"}': "0x10 1 2 3x20",
        },
        {  # one machine with eight hosts and no notice, and one with
            'ancestra_node_notices_total{farm="a", cause="preempted"}': "0x10 1x20",
            'ancestra_node_notices_total{farm="a", cause="drained"}': "0+1x30",
            'ancestra_node_notices_total{farm="a", cause="lost"}': "0x10 1x20",
            'ancestra_host_changes_total{farm="a", model="m", change="lost"}': "0x10 8x20",
        },
    ),
    Case(
        "AncestraShotStarved",
        5,
        {f'ancestra_shots{{{SHOT}, state="starved"}}': "0 1x10"},
        {f'ancestra_shots{{{SHOT}, state="running"}}': "1x10"},
    ),
    Case(
        "AncestraSurvivorRateCollapsed",
        26 * 60,
        # A day of 20 of 100 a minute, then half an hour and more of 2 of 100.
        {judged(): "0+500x320", f"ancestra_passes_total{{{STAGE}}}": "0+100x302 30200+10x20"},
        {  # less than before; and of a wave that takes long nobody has survived yet
            judged(): "0+500x320",
            f"ancestra_passes_total{{{STAGE}}}": "0+100x302 30200+50x20",
            f"ancestra_survivors_total{{{STAGE}}}": "0+100x302 30200x20",
        },
        every=5,
    ),
    Case(
        "AncestraAttemptsFail",
        30,
        {judged(): "0+6x60", judged("out_of_memory"): "0+4x60"},
        {judged(): "0+9x60", judged("crash"): "0+1x60", judged("aborted"): "0+50x60", judged("store"): "0+50x60"},
    ),
    Case(
        "AncestraBudgetBurning",
        10,
        {f'ancestra_budget_left_ratio{{{SHOT}, budget="money"}}': "0.3x4 0.15x20"},
        {f'ancestra_budget_left_ratio{{{SHOT}, budget="money"}}': "0.25x20"},
    ),
    Case(
        "AncestraWaveStuck",
        7 * 60,
        {'ancestra_oldest_wave_timestamp_seconds{farm="a", show="s", class="shot"}': "0x500"},
        {'ancestra_oldest_wave_timestamp_seconds{farm="a", show="s", class="shot"}': "0x200 12000x300"},
    ),
    Case(
        "AncestraWaitsForPeople",
        9 * 60,
        {f'ancestra_shots{{{SHOT}, state="waiting_for_people"}}': "2x600"},
        {f'ancestra_shots{{{SHOT}, state="waiting_for_people"}}': "2x400 0x20 2x300"},
    ),
)
