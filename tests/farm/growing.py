"""A Ray whose nodes come and go, and farms on it: ``python -m tests.farm.growing '{"place": …, "farm": …}'``.

The real autoscaler (v2) with the provider that it brings for trying it out on one machine: nodes are processes, their
GPUs are numbers. It is started here, in a process of its own with `environment`, and not by Ray's `AutoscalingCluster`,
whose start and end stop every Ray on the machine. Takes jobs like `tests.farm.persisting`; says ``{"ready": true}``,
then how each ended. ``{"node_s": true}`` asks how long nodes were up.
"""

import dataclasses
import json
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import ray
import yaml
from ray._raylet import GcsClient
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID, FakeMultiNodeProvider
from ray.cluster_utils import Cluster

from ancestra_farm.batch.farm_settings import FarmSettings
from ancestra_farm.farm.cluster import ENVIRONMENT, OBJECT_STORE_BYTES
from ancestra_farm.farm.run import run_batch
from ancestra_farm.scheduler.tunables import Tunables

#: An empty node goes after so long.
EMPTY_S = 3.0
HEAD = "ray.head.default"
#: What would be run on machines that have to be set up; Ray wants to be told that there is none of it.
COMMANDS = (
    "initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray",
)  # fmt: skip


def environment(folder: Path, token: str) -> dict[str, str]:
    """What Ray reads when it starts."""
    return {
        **ENVIRONMENT,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_TMPDIR": str(folder),
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_raylet_start_wait_time_s": "60",  # half a minute is not enough where many share a machine
    }


def autoscaling(farm: FarmSettings, gcs_address: str) -> dict[str, Any]:
    """The configuration of the autoscaler that goes with a farm's settings."""
    workers = {
        name: {
            "resources": {"CPU": int(kind.cpus), **({"GPU": kind.gpus} if kind.gpus else {})},
            "labels": kind.labels_as(name),
            "node_config": {},
            "min_workers": kind.min_nodes,
            "max_workers": kind.max_nodes,
        }
        for name, kind in farm.node_types.items()
    }
    return {
        "cluster_name": "growing",
        "max_workers": sum(kind.max_nodes for kind in farm.node_types.values()),
        "idle_timeout_minutes": EMPTY_S / 60,
        "provider": {
            # by its module: the example that Ray would read for its short name is not in the wheel
            "type": "external",
            "module": f"{FakeMultiNodeProvider.__module__}.{FakeMultiNodeProvider.__name__}",
            "launch_multiple": True,
            "disable_node_updaters": True,
            "head_node_id": FAKE_HEAD_NODE_ID,
            "gcs_address": gcs_address,
        },
        "auth": {"ssh_user": "ubuntu"},
        "cluster_synced_files": [],
        "file_mounts": {},
        **{f"{what}_commands": [] for what in COMMANDS},
        "available_node_types": {
            HEAD: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            **workers,
        },
        "head_node_type": HEAD,
        "upscaling_speed": 1.0,
    }  # fmt: skip


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def node_s() -> float:
    """Seconds that nodes were up for, but for the head, as Ray's own record of their starts and ends has it."""
    now_ms = time.time() * 1000
    nodes = GcsClient(address=ray.get_runtime_context().gcs_address).get_all_node_info().values()
    return sum(((node.end_time_ms or now_ms) - node.start_time_ms) / 1000 for node in nodes if not node.is_head_node)


def run(job: dict[str, Any]) -> None:
    """Run one job to its end and say how it ended."""
    tunables = Tunables(**job.pop("tunables", {}))
    batch, store, cards = job.pop("batch"), job.pop("store"), Path(job.pop("cards"))
    summary = run_batch(batch, store, cards=cards, tunables=tunables, **job)
    print(json.dumps(dataclasses.asdict(summary)), flush=True)


def main(place: str, farm: dict[str, Any]) -> None:
    port = free_port()
    address = f"{ray.util.get_node_ip_address()}:{port}"
    config = Path(place) / "autoscaling.yaml"
    config.write_text(yaml.safe_dump(autoscaling(FarmSettings.model_validate(farm), address)))
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
            "gcs_server_port": port,
            "autoscaling_config": str(config),
        },
    )
    ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
    print(json.dumps({"ready": cluster.address}), flush=True)
    jobs = []
    for line in sys.stdin:
        job = json.loads(line)
        if "node_s" in job:
            print(json.dumps({"node_s": node_s()}), flush=True)
            continue
        jobs.append(threading.Thread(target=run, args=(job,)))
        jobs[-1].start()
    for job in jobs:
        job.join()
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
