"""What the doctor makes of a cluster, from what its head and the store tell. The real thing is in tests/farm."""

import json

import pytest

from ancestra_farm.batch.farm_settings import MARKET_LABEL, NODE_TYPE_LABEL, FarmSettings
from ancestra_farm.cli import cluster
from ancestra_farm.cli.doctor import Finding
from ancestra_farm.farm.head import RayNode, WaitingActor
from ancestra_farm.models.catalog import load_catalog

SETTINGS = FarmSettings.model_validate(
    {
        "schema": "ancestra/farm/v1",
        "node_types": {
            "l4-spot": {
                "gpus": 1, "cpus": 8, "memory_gib": 32, "accelerator": "L4", "vram_gib": 24,
                "market": "spot", "price_per_hour": 0.5, "max_nodes": 2,
            },
            "cpu": {"cpus": 16, "memory_gib": 64, "max_nodes": 4, "price_per_hour": 0.2},
        },
    }
)  # fmt: skip


def node(kind: str = "l4-spot", gpus: float = 1.0, accelerator: str = "L4", *, head: bool = False) -> RayNode:
    resources = {"CPU": 8.0, "GPU": gpus, f"accelerator_type:{accelerator}": 1.0}
    return RayNode("ab", "10.0.0.2", head, resources, {NODE_TYPE_LABEL: kind} if kind else {})


def states(findings: list[Finding]) -> list[str]:
    return [finding.state for finding in findings]


def test_nodes_are_held_against_what_their_type_says() -> None:
    assert states(list(cluster._types([node()], SETTINGS))) == ["good"]
    (more,) = cluster._types([node()] * 3, SETTINGS)
    assert (more.state, "3 nodes, more than the 2" in more.found) == ("bad", True)
    (less,) = cluster._types([node(gpus=0.0)], SETTINGS)
    assert (less.state, "has 0 GPUs, and the type says 1" in less.found) == ("bad", True)
    (other,) = cluster._types([node(accelerator="T4")], SETTINGS)
    assert (other.state, "of the kind T4" in other.found) == ("bad", True)
    (unknown,) = cluster._types([node("a100")], SETTINGS)
    assert (unknown.state, "a100" in unknown.found) == ("bad", True)
    assert states(list(cluster._types([node("")], SETTINGS))) == ["note"]
    assert list(cluster._types([node("", head=True)], SETTINGS)) == []
    assert list(cluster._types([node("a100")], None)) == []


def test_actors_that_nobody_satisfies_are_told_from_those_that_wait_for_a_node() -> None:
    wants = WaitingActor("Host", "", {"GPU": 1.0}, {NODE_TYPE_LABEL: "l4-spot", MARKET_LABEL: "spot"})
    typo = WaitingActor("Host", "", {"GPU": 1.0}, {NODE_TYPE_LABEL: "l4_spot"})
    large = WaitingActor("Host", "", {"GPU": 8.0}, {})
    full = WaitingActor("Host", "", {"CPU": 1.0}, {})
    found = list(cluster._waiting([wants, wants, typo, large, full], [node("", gpus=0.0)], SETTINGS))
    assert [(one.state, one.found.partition(":")[0]) for one in found] == [
        ("note", "2 × Host wait for 1 GPU with ancestra/market=spot, ancestra/node-type=l4-spot"),
        ("bad", "1 × Host wait for 1 GPU with ancestra/node-type=l4_spot"),
        ("bad", "1 × Host wait for 8 GPU"),
        ("note", "1 × Host wait for 1 CPU"),
    ]
    assert all(one.advice for one in found if one.state == "bad")
    assert states(list(cluster._waiting([], [], None))) == ["good"]


def test_models_without_a_place_are_told() -> None:
    cards = {"m": load_catalog(None)["procedural/stills"]}
    assert states(list(cluster._models([node("cpu", gpus=0.0)], SETTINGS, cards))) == ["good"]
    assert states(list(cluster._models([], None, cards))) == ["bad"]
    big = {"m": cards["m"].model_copy(update={"gpus": 8, "vram_gib": 80.0})}
    (told,) = cluster._models([node()], SETTINGS, big)
    assert (told.state, "no node type has" in told.found) == ("bad", True)


@pytest.mark.parametrize("around", ["", "Running entrypoint for job x: [python, -m]\n2026 INFO [1] up\n"])
def test_what_a_doctor_on_the_head_said_is_read_wherever_it_stands(around: str) -> None:
    rows = [{"what": "python", "state": "good", "found": "3.11", "advice": ""}]
    found = cluster._told(f"{around}{json.dumps(rows, indent=2)}\n")
    assert found == [Finding("head: python", "good", "3.11", "")]
    assert cluster._told(f"{around}Traceback: no module") is None
