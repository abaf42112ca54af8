"""Rows about machines for the Farm board: which there are, what they cost, and how Ray and DCGM see their GPUs."""

from ancestra_farm.telemetry.boards.asked import FARM, RAY_NODE, RAY_SESSION, growth, per_second, total
from ancestra_farm.telemetry.boards.board import Panel, Query, Row, Threshold

MACHINES = Row(
    "Machines and what they cost",
    (
        Panel(
            "Machines, by type",
            "Up now, of the types that farm.yaml names; spot ones can be taken away at short notice.",
            "stack",
            (Query(total("ancestra_nodes", FARM, "node_type", "market"), "{{node_type}}, {{market}}"),),
            decimals=0,
            width=8,
        ),
        Panel(
            "Paid an hour, and worked off",
            "What machines cost, and what of it went into attempts, both at the prices of farm.yaml. The gap is "
            "machines without hosts, loading, idle and starved hosts.",
            "lines",
            (
                Query(f"3600 * {per_second('ancestra_node_money_total', FARM, 'currency')}", "paid, {{currency}}"),
                Query(
                    f"3600 * {per_second('ancestra_spent_money_total', FARM, 'currency')}", "worked off, {{currency}}"
                ),
            ),
            decimals=2,
            width=8,
        ),
        Panel(
            "Money an hour, by show",
            "What attempts of each show cost, failed ones too, as farm.yaml prices the nodes that they run on.",
            "stack",
            (
                Query(
                    f"3600 * {per_second('ancestra_spent_money_total', FARM, 'show', 'currency')}",
                    "{{show}}, {{currency}}",
                ),
            ),
            decimals=2,
            width=8,
        ),
        Panel(
            "Machine-hours, last day",
            "By type, each machine counted.",
            "bars",
            (
                Query(
                    f"sort_desc({growth('ancestra_node_seconds_total', FARM, 'node_type', 'market', window='1d')} "
                    "/ 3600)",
                    "{{node_type}}, {{market}}",
                ),
            ),
            decimals=1,
            width=8,
        ),
        Panel(
            "Machines told to go, and lost",
            "In the last hour. Preempted: by a given time; drained: once they are empty; lost: without a notice.",
            "lines",
            (Query(growth("ancestra_node_notices_total", FARM, "cause"), "{{cause}}"),),
            decimals=0,
            width=8,
        ),
        Panel(
            "Nodes, as Ray's autoscaler counts them",
            "Up, and asked for. Pending for long: the cloud has none, or a quota is reached.",
            "stack",
            (
                Query(f"sum by (NodeType) (autoscaler_active_nodes{{{RAY_SESSION}}})", "{{NodeType}}"),
                Query(f"sum by (NodeType) (autoscaler_pending_nodes{{{RAY_SESSION}}}) > 0", "{{NodeType}}, pending"),
            ),
            width=8,
        ),
    ),
)

GPUS = Row(
    "GPUs, as Ray and DCGM see them",
    (
        Panel(
            "GPU utilisation, by node (Ray)",
            "Of each node's GPUs. A host that is busy with a low number here waits for its CPU.",
            "lines",
            (
                Query(
                    f"sum by (instance) (ray_node_gpus_utilization{{{RAY_NODE}}}) / "
                    f"sum by (instance) (ray_node_gpus_available{{{RAY_NODE}}})",
                    "{{instance}}",
                ),
            ),
            unit="percent",
            width=8,
            high=100.0,
        ),
        Panel(
            "GPU memory, by node (Ray)",
            "Used, of what there is.",
            "lines",
            (
                Query(
                    f"sum by (instance) (ray_node_gram_used{{{RAY_NODE}}}) / (sum by (instance) "
                    f"(ray_node_gram_used{{{RAY_NODE}}}) + sum by (instance) (ray_node_gram_available{{{RAY_NODE}}}))",
                    "{{instance}}",
                ),
            ),
            unit="percentunit",
            width=8,
            high=1.0,
        ),
        Panel(
            "GPU utilisation (DCGM)",
            "Of each GPU; where NVIDIA's exporter runs on the nodes.",
            "lines",
            (Query("DCGM_FI_DEV_GPU_UTIL", "{{Hostname}} {{gpu}}"),),
            unit="percent",
            width=8,
            high=100.0,
        ),
        Panel(
            "Power (DCGM)",
            "Draw of each GPU. Loaded and idle ones differ by hundreds of watts.",
            "lines",
            (Query("DCGM_FI_DEV_POWER_USAGE", "{{Hostname}} {{gpu}}"),),
            unit="watt",
            width=8,
        ),
        Panel(
            "Temperature (DCGM)",
            "Most GPUs slow down near 85 °C.",
            "lines",
            (Query("DCGM_FI_DEV_GPU_TEMP", "{{Hostname}} {{gpu}}"),),
            unit="celsius",
            width=8,
            thresholds=(Threshold(85, "red"),),
        ),
        Panel(
            "Memory in use (DCGM)",
            "Of each GPU, in MiB. Near its size: out of memory comes next.",
            "lines",
            (Query("DCGM_FI_DEV_FB_USED", "{{Hostname}} {{gpu}}"),),
            unit="mbytes",
            width=8,
        ),
    ),
    folded=True,
)
