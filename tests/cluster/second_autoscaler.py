"""The decision of Ray's second autoscaler, as a function: no cluster is needed for it."""

from typing import Any

from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingReply, SchedulingRequest


def scheduled(config: AutoscalingConfig, **asked: Any) -> SchedulingReply:
    """What it would start. ``asked``: what waits and what is there, as `SchedulingRequest` has it."""
    return ResourceDemandScheduler(event_logger=None).schedule(
        SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs=config.get_node_type_configs(),
            max_num_nodes=config.get_max_num_nodes(),
            idle_timeout_s=config.get_idle_timeout_s(),
            **asked,
        )
    )
