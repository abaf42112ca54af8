"""The description is complete and true: requests made from it are met as it says, and wrong ones refused as it says."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from openapi_spec_validator import validate

from ancestra_farm.api.app import build_app
from ancestra_farm.api.openapi import description
from ancestra_farm.api.problems import KINDS
from ancestra_farm.api.routes import ROWS
from ancestra_farm.scheduler.world import Submit
from tests.api.door import OpenDoor

SCHEMA = schemathesis.openapi.from_dict(description()).exclude(path="/v1/stop")


def test_it_is_sound_openapi() -> None:
    validate(description())


def test_every_route_and_every_kind_of_problem_is_described(open_door: OpenDoor) -> None:
    served = open_door.ask("GET", "/v1/openapi.json", role="").json
    assert served == description()
    routes = {route.path for route in build_app(_never()).routes} - {"/v1/openapi.json"}
    assert routes == set(served["paths"])
    for row in ROWS:
        operation = served["paths"][row.path][row.method.lower()]
        assert operation["summary"]
        assert row.right is None or "401" in operation["responses"]
        assert {KINDS[type_].status for type_ in row.problems} <= {int(status) for status in operation["responses"]}
    assert all(f"#{type_}" in served["info"]["description"] for type_ in KINDS)


def _never() -> Any:
    return None


@pytest.fixture(scope="module")
def door(open_door: OpenDoor) -> Iterator[OpenDoor]:
    yield open_door
    assert open_door.thread.is_alive(), "no request may end the loop"
    open_door.scheduler.check_invariants()


@SCHEMA.parametrize()
@settings(max_examples=8, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_requests_made_from_the_description_are_answered_as_it_says(case: Any, door: OpenDoor) -> None:
    wait_s = (case.query or {}).get("wait_s")
    if isinstance(wait_s, int) and 0 < wait_s <= 20:
        case.query["wait_s"] = 0
    case.call_and_validate(base_url=door.endpoint, headers={"Authorization": f"Bearer {door.token('operator')}"})


def test_the_same_submission_twice_is_one(open_door: OpenDoor, waiting_batch: Submit) -> None:
    body = {"document": waiting_batch.document, "cards": dict(waiting_batch.cards)}
    before = open_door.ask("GET", "/v1/batches").json
    assert open_door.ask("POST", "/v1/batches", body).status == 200
    assert open_door.ask("GET", "/v1/batches").json == before
