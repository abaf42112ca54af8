"""What Ray's own autoscaler would start: its scheduler, on the node types of each manifest, for hosts as the farm asks.

No cluster is needed for that: Ray decides in one function, from the node types and what waits, how many of which to
start.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from ray.autoscaler._private.kuberay import autoscaling_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import ResourceRequestByCount
from ray.core.generated.common_pb2 import LabelSelectorOperator

from ancestra_farm.farm.placing import resources_of, selectors_of
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.scheduler.placement import needs_of, places
from ancestra_farm.scheduler.world import StartHost
from tests.cluster.manifests import CLOUDS, farm, launcher, ray_cluster
from tests.cluster.second_autoscaler import scheduled

SCALED = (*CLOUDS, "kuberay")


def autoscaling(name: str) -> AutoscalingConfig:
    """A manifest as the autoscaler reads it."""
    if name == "kuberay":
        config = autoscaling_config._derive_autoscaling_config_from_ray_cr(ray_cluster())
    else:
        config = launcher(name)
        for key in ("ssh_private_key", "ssh_public_key"):
            config["auth"].pop(key, None)  # it reads them to see whether they have changed
    return AutoscalingConfig(config, skip_content_hash=True)


def host_of(model: str, name: str, *, only: str = "") -> StartHost:
    """A host of a model that may have nodes of every type brought on which it fits, or those of one market alone."""
    card = load_catalog()[model]
    needs, types = needs_of(card), farm(name).node_types
    fitting = [place for place in places(needs, types) if only in ("", types[place].market)]
    cheapest = sorted(fitting, key=lambda place: (types[place].market != "spot", types[place].price_per_hour))
    return StartHost("host", card.id, "", needs.gpus, needs.cpus, needs.memory_gib, needs.accelerators, tuple(cheapest))


def request_for(host: StartHost, count: int) -> ResourceRequestByCount:
    """Actors that wait, as Ray tells its autoscaler of them."""
    selectors = [
        [(label, LabelSelectorOperator.LABEL_OPERATOR_IN, _values(said)) for label, said in wish.items()]
        for wish in selectors_of(host)
    ]
    request = ResourceRequestUtil.make(resources_of(host), label_selectors=selectors)
    return ResourceRequestByCount(request=request, count=count)


def _values(said: str) -> list[str]:
    return said.removeprefix("in(").removesuffix(")").split(",")


def started(
    name: str, waiting: Sequence[ResourceRequestByCount], *, refused: Sequence[str] = ()
) -> tuple[dict[str, int], int]:
    """Nodes that would be started by type, and how many actors find no room. ``refused``: by the cloud, lately."""
    config = autoscaling(name)
    availability = dict.fromkeys(refused, 0.0)
    reply = scheduled(
        config,
        resource_requests=list(waiting),
        cloud_resource_availabilities=availability,
        recoverable_resource_availabilities=availability,
    )
    nodes: Counter[str] = Counter()
    for launch in reply.to_launch:
        nodes[launch.instance_type] += launch.count
    nodes.pop(config.get_head_node_type(), None)
    return dict(nodes), len(reply.infeasible_resource_requests)


@pytest.mark.parametrize("name", SCALED)
def test_without_work_nothing_is_started(name):
    assert started(name, []) == ({}, 0)


@pytest.mark.parametrize(
    ("name", "model", "expected"),
    [
        ("aws", "sdxl/base", "l4-spot"),
        ("aws", "wan/2.2-ti2v-5b", "l40s-spot"),
        ("aws", "wan/2.2-i2v-a14b", "h100-spot"),
        ("gcp", "sdxl/base", "l4-spot"),
        ("gcp", "wan/2.2-i2v-a14b", "a100-spot"),
        ("azure", "wan/2.2-i2v-a14b", "a100-spot"),
        ("kuberay", "z-image/turbo", "l4-spot"),
        ("kuberay", "qwen/image", "h100-spot"),
    ],
)
def test_a_model_gets_the_smallest_machine_that_will_do_and_as_spot(name, model, expected):
    assert started(name, [request_for(host_of(model, name), 1)]) == ({expected: 1}, 0)


@pytest.mark.parametrize("name", SCALED)
def test_where_the_cloud_has_no_spot_machine_the_same_comes_on_demand(name):
    types = farm(name).node_types
    host = host_of("wan/2.2-i2v-a14b", name)
    (first,) = started(name, [request_for(host, 1)])[0]
    (instead,) = started(
        name, [request_for(host, 1)], refused=[kind for kind in types if types[kind].market == "spot"]
    )[0]
    assert (types[first].market, types[instead].market) == ("spot", "on_demand")


@pytest.mark.parametrize("name", SCALED)
def test_of_two_wishes_nodes_are_brought_for_the_first_only(name):
    """Why what is urgent wishes for all types in one: Ray goes on asking for what the cloud does not have."""
    spot, others = (host_of("wan/2.2-i2v-a14b", name, only=market).node_types for market in ("spot", "on_demand"))
    host = replace(host_of("wan/2.2-i2v-a14b", name), node_types=spot, or_on=others)
    (kind,) = started(name, [request_for(host, 1)], refused=spot)[0]
    assert kind in spot


@pytest.mark.parametrize("name", SCALED)
def test_what_waits_for_spot_has_nothing_else_brought(name):
    nodes, _ = started(name, [request_for(host_of("wan/2.2-i2v-a14b", name, only="spot"), 100)])
    assert {farm(name).node_types[kind].market for kind in nodes} == {"spot"}


@pytest.mark.parametrize("name", SCALED)
def test_what_needs_no_gpu_gets_none(name):
    nodes, infeasible = started(name, [request_for(host_of("optical/flow", name), 12)])
    assert nodes == {"cpu-spot": 1}
    assert infeasible == 0


@pytest.mark.parametrize("name", SCALED)
def test_no_backlog_is_long_enough_to_go_beyond_the_caps(name):
    types = farm(name).node_types
    backlog = [request_for(host_of(model, name), 500) for model in ("sdxl/base", "wan/2.2-i2v-a14b", "optical/flow")]
    nodes, infeasible = started(name, backlog)
    assert infeasible > 0
    assert all(count <= types[kind].max_nodes for kind, count in nodes.items())
    assert nodes["cpu-spot"] == types["cpu-spot"].max_nodes


@pytest.mark.parametrize("name", SCALED)
def test_every_node_type_is_one_that_ray_may_start(name):
    for kind, believed in farm(name).node_types.items():
        host = StartHost("host", "any", "", float(min(1, believed.gpus)), 1.0, node_types=(kind,))
        assert started(name, [request_for(host, 1)]) == ({kind: 1}, 0)
