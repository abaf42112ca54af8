"""Orders about nodes and hosts at the door, and what it tells of them."""

from typing import Any

import pytest

from ancestra_farm.api.nodes import standing
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.plan.farm_events import NodeOrdered
from ancestra_farm.scheduler.world import NodeLeaving, Submit
from tests.api.door import OpenDoor, Said
from tests.farm.processes import wait_for
from tests.farm.threads import NODE
from tests.scheduler.elastic import ElasticWorld, farm_of, node_type
from tests.scheduler.world import batch_of

STILLS = "{still: {role: text_to_image, model: test/stills, candidates: 200}}"


@pytest.fixture
def door(store: Store, waiting_batch: Submit) -> Any:
    """A door of the test's own, whose batch waits for people; its hosts stay."""
    with OpenDoor(store, waiting_batch) as one:
        one.until(lambda status: status["waiting"])
        yield one


def order(door: OpenDoor, kind: str, role: str = "operator", **about: Any) -> Said:
    return door.ask("POST", "/v1/nodes", {"order": kind, **about}, role=role)


def logged(door: OpenDoor) -> list[NodeOrdered]:
    return [one for commit in read_commits(door.store) for one in commit.events if isinstance(one, NodeOrdered)]


def test_a_block_is_in_the_log_when_it_is_answered_and_is_told_with_who_and_why(door: OpenDoor) -> None:
    assert [node["state"] for node in door.ask("GET", "/v1/hosts").json["nodes"]] == ["in use"]
    taken = order(door, "block", node=NODE[:8], note="it rattles")
    assert taken.status == 200, taken.data
    (given,) = logged(door)
    assert (given.order, given.node, given.who, given.note) == ("block", NODE, "operator", "it rattles")
    assert given.order_id == taken.json["orders"][0]["order_id"]
    (node,) = wait_for(lambda: door.ask("GET", "/v1/hosts").json["nodes"])
    assert (node["node"], node["state"], node["leaves_at"]) == (NODE, "blocked", None)
    assert node["why"] == "blocked by operator: it rattles"
    wait_for(lambda: door.hands.blocked == (NODE,))
    wait_for(lambda: not door.hands.pipelines)
    assert order(door, "forgive", node=NODE).status == 200
    wait_for(lambda: door.hands.blocked == ())


def test_a_node_is_drained_by_the_hands(door: OpenDoor) -> None:
    assert order(door, "drain", node=NODE).status == 200
    wait_for(lambda: door.hands.drained == [NODE])
    (node,) = wait_for(lambda: door.ask("GET", "/v1/hosts").json["nodes"])
    assert (node["state"], node["why"]) == ("leaving", "drained by operator")


def test_a_notice_is_told_with_its_time(door: OpenDoor) -> None:
    leaving = NodeLeaving(NODE, 4_000_000_000.0, "AWS: spot instance, terminate")
    door.hands.drained.append(NODE)
    door.inbox.put(lambda: leaving)
    (node,) = wait_for(lambda: [one for one in door.ask("GET", "/v1/hosts").json["nodes"] if one["state"] == "leaving"])
    assert (node["leaves_at"], node["why"]) == (4_000_000_000.0, "AWS: spot instance, terminate")


def test_who_may_do_so_is_a_wrangler(door: OpenDoor) -> None:
    for role in ("member", "viewer", "artist", "supervisor"):
        assert order(door, "block", role, node=NODE).status == 403
    assert logged(door) == []
    assert order(door, "block", "wrangler", node=NODE).status == 200
    refused = order(door, "forgive", "wrangler", node=NODE, who="noor")
    assert refused.status == 403
    assert order(door, "forgive", node=NODE, who="noor").status == 200
    assert [(one.who, one.note) for one in logged(door)] == [("wrangler", ""), ("noor", "given by operator")]


def test_what_is_not_there_is_refused_with_what_is(door: OpenDoor) -> None:
    said = order(door, "drain", node="cccc")
    assert said.status == 409
    assert said.json["detail"] == f"no node with hosts begins with cccc; there are: {NODE[:8]}. Or say the whole id"
    assert order(door, "drain", host="nobody").status == 409
    assert order(door, "forgive", model="procedural/stills").status == 409
    assert logged(door) == []


def test_the_same_block_under_the_same_id_counts_once(door: OpenDoor) -> None:
    for _ in range(2):
        assert order(door, "block", node=NODE, order_id="block-number-1").status == 200
    assert len(logged(door)) == 1


@pytest.mark.parametrize(
    "about",
    [{}, {"node": NODE, "host": "h"}, {"node": "no"}, {"node": "A" * 8}, {"host": "../x"}, {"node": NODE, "x": 1}],
)
def test_what_makes_no_sense_is_no_order(door: OpenDoor, about: dict[str, Any]) -> None:
    assert order(door, "drain", **about).status in (400, 422)
    assert door.ask("POST", "/v1/nodes", {"order": "burn", "node": NODE}).status in (400, 422)
    assert logged(door) == []


def test_a_node_is_told_with_what_an_hour_of_it_costs() -> None:
    farm = farm_of(l4=node_type(price_per_hour=0.98, max_nodes=1))
    world = ElasticWorld(load_s=30.0, seconds={"test/stills": 2.0}, farm=farm)
    world.submit(batch_of(STILLS), seconds_per_candidate=2.0, gpus=1, vram_gib=16.0)
    assert standing(world.scheduler) == []
    world.run_for(120)
    (node,) = standing(world.scheduler)
    assert (node.node_type, node.price_per_hour, node.currency) == ("l4", 0.98, farm.currency)
