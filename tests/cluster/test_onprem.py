"""Machines of one's own: which of Ray's two autoscalers starts them, and that it starts all of them."""

import subprocess

import pytest
from ray.autoscaler._private.local.node_provider import LocalNodeProvider, record_local_head_state_if_needed
from ray.autoscaler._private.resource_demand_scheduler import ResourceDemandScheduler as FirstScheduler
from ray.autoscaler._private.util import prepare_config, with_envs
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.schema import AutoscalerInstance
from ray.core.generated.instance_manager_pb2 import Instance, NodeKind

from tests.cluster.manifests import launcher
from tests.cluster.second_autoscaler import scheduled

MACHINES = len(launcher("onprem")["provider"]["worker_ips"])


# Ray leaves the file open in which it keeps what it started.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
def test_the_first_autoscaler_starts_every_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    config = prepare_config(launcher("onprem"))
    provider = LocalNodeProvider(config["provider"], config["cluster_name"])
    record_local_head_state_if_needed(provider)
    (head,) = provider.non_terminated_nodes({})
    scheduler = FirstScheduler(
        provider,
        config["available_node_types"],
        config["max_workers"],
        config["head_node_type"],
        config["upscaling_speed"],
    )
    wanted, infeasible = scheduler.get_nodes_to_launch([head], {}, [], {head: {}}, [], {head: {}}, [], None)
    assert wanted == {config["head_node_type"]: MACHINES}
    assert infeasible == []


def test_the_second_would_leave_one_out():
    """Why the first is asked for. Where this fails, Ray has mended it, and onprem.yaml needs that line no longer."""
    described = launcher("onprem")
    del described["auth"]["ssh_private_key"]  # Ray reads it to see whether it has changed
    config = AutoscalingConfig(described, skip_content_hash=True)
    kind = config.get_head_node_type()
    head = Instance(
        instance_id="head",
        cloud_instance_id="head",
        instance_type=kind,
        status=Instance.ALLOCATED,
        node_kind=NodeKind.HEAD,
    )
    reply = scheduled(config, current_instances=[AutoscalerInstance(im_instance=head, cloud_instance_id="head")])
    assert [(launch.instance_type, launch.count) for launch in reply.to_launch] == [(kind, MACHINES - 1)]


@pytest.mark.parametrize("said_by_ray_up", ["0", "1"])
def test_the_head_has_the_first_whatever_ray_up_says(said_by_ray_up):
    command = launcher("onprem")["head_start_ray_commands"][-1]
    (line,) = with_envs([command], {"RAY_enable_autoscaler_v2": said_by_ray_up})
    script = f'ray() {{ echo "$RAY_enable_autoscaler_v2 $1 $2"; }}; {line}'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "0 start --head\n"
