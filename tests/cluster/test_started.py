"""A real head and a real worker, started by the commands of a launcher file, each on an address of its own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.manifests import CLUSTER, farm
from tests.cluster.test_launchers import GIB, labels_of
from tests.cluster.test_readme import LOOPBACK, PORTS
from tests.cluster.two_nodes import HEAD, WORKER

NAMESPACES = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]


def _may_unshare() -> bool:
    if not (shutil.which("unshare") and shutil.which("ip") and shutil.which("nsenter")):
        return False
    return subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def seen():
    """What `two_nodes` saw of aws.yaml."""
    if not _may_unshare():
        pytest.skip("needs namespaces of its own: Linux, root, util-linux and iproute2")
    words = [*NAMESPACES, sys.executable, "-m", "tests.cluster.two_nodes", "aws"]
    path = {"PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(words, cwd=CLUSTER.parent, env=path, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


def test_a_node_comes_up_as_what_the_farm_believes_it_to_be(seen):
    nodes = {node["address"]: node for node in seen["nodes"]}
    believed = farm("aws").node_types[seen["worker"]]
    worker = nodes[WORKER]
    assert labels_of(seen["worker"], believed).items() <= worker["labels"].items()
    assert worker["resources"]["GPU"] == believed.gpus
    assert worker["resources"]["CPU"] == believed.cpus
    assert worker["resources"]["memory"] == believed.memory_gib * GIB
    assert worker["resources"][f"accelerator_type:{believed.accelerator}"] == 1
    assert nodes[HEAD]["resources"].get("CPU", 0) == 0


@pytest.mark.parametrize("node", ["head", "worker"])
def test_every_port_that_something_listens_on_beyond_loopback_is_one_that_is_said(seen, node):
    beyond = {port for address, port in seen["listening"][node] if not address.startswith("127.")}
    assert beyond
    assert beyond <= PORTS - LOOPBACK


def test_the_dashboard_and_the_jobs_api_are_there_on_loopback_only(seen):
    assert [address for address, port in seen["listening"]["head"] if port == 8265] == ["127.0.0.1"]
    assert seen["lets_in"]["8265"] == "closed"
    assert seen["jobs_without_token"] in (401, 403)


def test_another_machine_without_the_token_is_let_in_nowhere(seen):
    assert seen["lets_in"][f"{HEAD}:6379"] == "holders"
    assert seen["lets_in"][f"ray://{HEAD}:10001"] == "holders"


def test_a_head_without_its_token_does_not_start(seen):
    assert seen["refused_without_token"] is True
