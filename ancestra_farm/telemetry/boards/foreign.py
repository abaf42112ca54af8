"""Metrics of others that our dashboards show: names as Ray 2.60 and NVIDIA's dcgm-exporter export them by default.

Recorded, since neither can be asked while tests run; Ray's are also looked for in the installed Ray's source.
"""

RAY: frozenset[str] = frozenset(
    {
        "autoscaler_active_nodes",
        "autoscaler_pending_nodes",
        "autoscaler_recently_failed_nodes",
        "ray_node_cpu_count",
        "ray_node_gpus_available",
        "ray_node_gpus_utilization",
        "ray_node_gram_available",
        "ray_node_gram_used",
    }
)

#: Of ``etc/default-counters.csv`` of dcgm-exporter 4; labels ``Hostname``, ``gpu``, ``UUID``, ``modelName``, ….
DCGM: frozenset[str] = frozenset(
    {
        "DCGM_FI_DEV_FB_FREE",
        "DCGM_FI_DEV_FB_USED",
        "DCGM_FI_DEV_GPU_TEMP",
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_MEM_CLOCK",
        "DCGM_FI_DEV_MEM_COPY_UTIL",
        "DCGM_FI_DEV_POWER_USAGE",
        "DCGM_FI_DEV_SM_CLOCK",
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
        "DCGM_FI_DEV_XID_ERRORS",
    }
)

#: Prometheus's own.
PROMETHEUS: frozenset[str] = frozenset({"ALERTS", "up"})
