"""The door with a real loop behind it: who may do what, what is refused and how, and that nobody waits for anybody."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args
from urllib.parse import urlsplit

import pytest

from ancestra_farm.api import bodies
from ancestra_farm.api.people import RIGHTS, Role, revoke
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.verify import verify
from ancestra_farm.plan.events import OrderKind
from ancestra_farm.plan.moments import clock
from ancestra_farm.scheduler.world import StopRequested, Submit
from tests.api.door import OpenDoor
from tests.farm.processes import wait_for


@pytest.fixture
def own_door(store: Store, waiting_batch: Submit) -> Any:
    """A door of the test's own, whose batch waits for people."""
    with OpenDoor(store, waiting_batch) as door:
        door.until(lambda status: status["waiting"])
        yield door


# ---- orders --------------------------------------------------------------------------------------------------------


def test_picks_and_a_close_are_durable_when_they_are_answered(own_door: OpenDoor) -> None:
    first, second, *_ = own_door.survivors()
    picked = own_door.give(*(own_door.of_still("pick", candidate_id=one) for one in (first, second)))
    assert picked.status == 200, picked.data
    assert [one["who"] for one in picked.json["orders"]] == ["operator", "operator"]
    logged = own_door.logged()
    assert [(one.order, one.candidate_id) for one in logged] == [("pick", first), ("pick", second)]
    assert {one.order_id for one in logged} == {one["order_id"] for one in picked.json["orders"]}
    closed = own_door.give(own_door.of_still("close"))
    assert closed.json["commit"] > picked.json["commit"]
    own_door.until(lambda status: status["shots"][0]["versions"] == ["v001", "v002"])
    own_door.close()
    assert verify(own_door.store).problems == ()


def test_several_orders_are_taken_together_or_not_at_all(own_door: OpenDoor) -> None:
    first, second, *_ = own_door.survivors()
    assert own_door.give(own_door.of_still("pick", candidate_id=second)).status == 200
    refused = own_door.give(*(own_door.of_still("pick", candidate_id=one) for one in (first, second)))
    assert refused.status == 409
    assert "already" in refused.json["detail"]
    assert [one.candidate_id for one in own_door.logged()] == [second]


def test_orders_that_could_touch_each_other_come_alone(own_door: OpenDoor) -> None:
    first = own_door.survivors()[0]
    pick = own_door.of_still("pick", candidate_id=first)
    for several in ([pick, own_door.of_still("close")], [pick, pick], [own_door.of_still("close")] * 2):
        assert own_door.give(*several).status == 409
    assert own_door.logged() == []


def test_an_order_under_the_same_id_counts_once(own_door: OpenDoor) -> None:
    first, second, *_ = own_door.survivors()
    order = own_door.of_still("pick", candidate_id=first, order_id="pick-number-1")
    assert own_door.give(order).status == 200
    assert own_door.give(order).status == 200
    assert len(own_door.logged()) == 1
    other = own_door.give(own_door.of_still("pick", candidate_id=second, order_id="pick-number-1"))
    assert other.status == 409
    assert "another order" in other.json["detail"]


def test_only_an_operator_acts_for_others_and_the_note_says_so(own_door: OpenDoor) -> None:
    first, second, *_ = own_door.survivors()
    assert own_door.give(own_door.of_still("pick", candidate_id=first, who="noor", note="calm")).status == 200
    refused = own_door.give(own_door.of_still("pick", candidate_id=second, who="noor"), role="wrangler")
    assert refused.status == 403
    assert "may not act for others" in refused.json["detail"]
    assert own_door.give(own_door.of_still("pick", candidate_id=second, who="artist"), role="artist").status == 200
    assert [(one.who, one.note) for one in own_door.logged()] == [("noor", "calm (given by operator)"), ("artist", "")]


def test_a_paused_batch_starts_nothing_and_says_who_paused_it(own_door: OpenDoor) -> None:
    assert own_door.give({"order": "pause", "batch": "tiny", "note": "lunch"}).status == 200
    assert own_door.ask("GET", "/v1/batches").json["batches"][0]["paused"] is True
    assert own_door.give({"order": "pause", "batch": "tiny"}).status == 409
    assert own_door.give({"order": "unpause", "batch": "tiny"}).status == 200


def test_a_pause_may_have_an_end_and_be_given_another(own_door: OpenDoor) -> None:
    until = time.time() + 3600
    pause = {"order": "pause", "batch": "tiny"}
    assert own_door.give(pause | {"until": until}).status == 200
    assert own_door.give(own_door.of_still("more", candidates=1)).status == 200, "else nothing is left to go on with"
    assert wait_for(lambda: own_door.ask("GET", "/v1/status").json["shots"][0]["goes_on_at"] == until, 10)
    again = own_door.give(pause | {"until": until})
    assert (again.status, f"until {clock(until)}" in again.json["detail"]) == (409, True)
    past = own_door.give(pause | {"until": 1e9})
    assert (past.status, "is not ahead" in past.json["detail"]) == (409, True)
    assert own_door.give(pause | {"until": until + 60}).status == 200
    assert own_door.give({"order": "unpause", "batch": "tiny", "until": until}).status == 422
    assert [one.until for one in own_door.logged() if one.order == "pause"] == [until, until + 60]


# ---- who may -------------------------------------------------------------------------------------------------------

KINDS: dict[str, dict[str, Any]] = {
    **{kind: {"candidate_id": "0" * 32} for kind in ("pick", "unpick", "restore")},
    "close": {},
    "more": {"candidates": 1},
    "retry": {"cause": "failed"},
    **{kind: {"stage": None} for kind in ("pause", "unpause", "cancel")},
    "priority": {"stage": None, "shot": None, "weight": 2.0},
}


@pytest.mark.parametrize("role", get_args(Role))
def test_every_role_may_what_the_table_says_and_no_more(open_door: OpenDoor, role: Role) -> None:
    assert set(KINDS) == set(get_args(OrderKind))
    for kind, fields in KINDS.items():
        order = {**open_door.of_still(kind), "batch": "nowhere", **fields}
        order = {name: value for name, value in order.items() if value is not None}
        status = open_door.give(order, role=role).status
        assert status == (409 if kind in RIGHTS[role] else 403), (kind, status)
    submitted = open_door.ask("POST", "/v1/batches", {"document": "{}", "cards": {}}, role=role)
    assert submitted.status == (409 if "submit" in RIGHTS[role] else 403)
    assert open_door.ask("GET", "/v1/status", role=role).status == (200 if "ask" in RIGHTS[role] else 403)
    if "stop" not in RIGHTS[role]:
        assert open_door.ask("POST", "/v1/stop", {}, role=role).status == 403


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer x", "Bearer ancestra_" + "A" * 43, "Basic YTpi", "Bearer ancestra_é"],
)
def test_without_a_token_of_this_store_only_health_is_told(open_door: OpenDoor, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}
    refused = open_door.ask("GET", "/v1/status", role="", headers=headers)
    assert refused.status == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert refused.headers["content-type"] == "application/problem+json"
    assert open_door.ask("GET", "/v1/health", role="", headers=headers).json["ready"] is True


def test_a_revoked_person_is_refused(own_door: OpenDoor) -> None:
    assert own_door.ask("GET", "/v1/status", role="artist").status == 200
    revoke(own_door.store, "artist", by="ada")
    wait_for(lambda: own_door.ask("GET", "/v1/status", role="artist").status == 401, within_s=20)


def test_no_token_stands_in_an_answer_or_a_log(
    own_door: OpenDoor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> bytes:
        raise RuntimeError("a bug")

    monkeypatch.setattr(own_door.desk, "metrics", broken)
    token = own_door.token("operator")
    said = own_door.ask("GET", "/v1/metrics")
    assert said.status == 500
    assert "a bug" not in said.data.decode()
    assert "Traceback" not in said.data.decode()
    assert "a bug" in caplog.text
    wrong = own_door.ask("POST", "/v1/orders", {"orders": [{"order": token, "batch": token, "token": token}]})
    assert wrong.status == 422
    assert token not in wrong.data.decode() + caplog.text


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 400, "no JSON"),
        (b"\xff\xfe", 400, "no JSON"),
        (b"[]", 422, "body"),
        (b'{"orders": []}', 422, "orders"),
        ({"orders": [{"order": "dance", "batch": "tiny"}]}, 422, "order is one of 'pick'"),
        ({"orders": [{"order": "pause"}]}, 422, "batch: Field required"),
        ({"orders": [{"order": "pause", "batch": "tiny", "shoot": "x"}]}, 422, "shoot"),
        ({"orders": [{"order": "pause", "batch": "../x"}]}, 422, "batch"),
        ({"orders": [{"order": "pause", "batch": "tiny", "note": "a\x1b[31m"}]}, 422, "note"),
        ({"orders": [{"order": "priority", "batch": "tiny"}]}, 422, "priority, the weight, or both"),
        (
            {"orders": [{"order": "more", "batch": "a", "shot": "b", "stage": "c", "candidates": True}]},
            422,
            "candidates",
        ),
        ({"orders": [{"order": "pause", "batch": "a"}] * 257}, 422, "at most 256"),
        (b" " * (2**20 + 1), 413, "at most"),
    ],
)
def test_bad_bodies_are_refused_with_a_sentence(open_door: OpenDoor, body: Any, status: int, says: str) -> None:
    before = open_door.writer.number
    refused = open_door.ask("POST", "/v1/orders", body)
    assert refused.status == status, refused.data
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json["status"] == status
    assert says in refused.json["detail"]
    assert open_door.writer.number == before


def test_a_retry_says_what_is_tried_again(open_door: OpenDoor) -> None:
    for fields in ({}, {"cause": "failed", "filter": "blur"}):
        refused = open_door.give(open_door.of_still("retry", **fields))
        assert refused.status == 422
        assert "either the cause or the filter" in refused.json["detail"]


def test_a_body_of_another_kind_is_refused(open_door: OpenDoor) -> None:
    assert open_door.ask("POST", "/v1/orders", b"a=1", headers={"content-type": "text/plain"}).status == 415


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/status?shoot=x", 422),
        ("/v1/status?batch=a&batch=b", 422),
        ("/v1/status?batch=nowhere", 404),
        ("/v1/status?batch=tiny&shot=nowhere", 404),
        ("/v1/explain?shot=nowhere", 404),
        ("/v1/events?after=-1", 422),
        ("/v1/events?limit=1000000", 422),
        ("/v1/candidates?prefix=xyz", 422),
        ("/v1/candidates", 422),
        ("/v1/hosts?x=1", 422),
        ("/v1/nothing", 404),
        ("/", 404),
    ],
)
def test_bad_questions_are_refused_with_a_sentence(open_door: OpenDoor, path: str, status: int) -> None:
    refused = open_door.ask("GET", path)
    assert refused.status == status
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json["detail"]


def test_another_method_is_refused_and_says_which_there_are(open_door: OpenDoor) -> None:
    refused = open_door.ask("DELETE", "/v1/orders")
    assert refused.status == 405
    assert refused.headers["allow"] == "POST"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_page_that_points_its_name_at_loopback_is_refused(open_door: OpenDoor, host: str) -> None:
    refused = open_door.ask("GET", "/v1/health", headers={"host": host})
    assert refused.status == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "127.0.0.2:8470", "[::1]:9"])
def test_loopback_is_known_by_all_its_names(open_door: OpenDoor, host: str) -> None:
    assert open_door.ask("GET", "/v1/health", headers={"host": host}).status == 200


def test_no_page_of_another_origin_may_read_an_answer(open_door: OpenDoor) -> None:
    said = open_door.ask("GET", "/v1/status", headers={"origin": "http://evil.example"})
    asked_first = open_door.ask(
        "OPTIONS", "/v1/orders", headers={"origin": "http://x", "access-control-request-method": "POST"}
    )
    assert asked_first.status == 405
    for answer in (said, asked_first):
        assert not any(name.startswith("access-control") for name in answer.headers)
        assert answer.headers["cache-control"] == "no-store"


def test_whoever_means_another_epoch_is_told(open_door: OpenDoor) -> None:
    now = str(open_door.epoch)
    assert open_door.ask("GET", "/v1/status", headers={"ancestra-epoch": now}).headers["ancestra-epoch"] == now
    refused = open_door.ask("GET", "/v1/status", headers={"ancestra-epoch": str(open_door.epoch + 3)})
    assert (refused.status, refused.json["type"], refused.json["epoch"]) == (409, "#old-epoch", open_door.epoch)
    for nonsense in ("x", "0", "9" * 30, f"{1:020d}{'9' * 5000}"):
        assert open_door.ask("GET", "/v1/status", headers={"ancestra-epoch": nonsense}).status == 400


def test_a_batch_that_the_farm_cannot_run_is_refused_with_every_fault(
    open_door: OpenDoor, waiting_batch: Submit
) -> None:
    document = waiting_batch.document.replace('"role":"text_to_image"', '"role":"image_to_video"')
    assert document != waiting_batch.document
    refused = open_door.ask("POST", "/v1/batches", {"document": document, "cards": dict(waiting_batch.cards)})
    assert refused.status == 409
    assert refused.json["faults"]
    assert "image_to_video" in refused.json["detail"]


# ---- at once -------------------------------------------------------------------------------------------------------


def test_two_hundred_orders_at_once_are_all_taken(own_door: OpenDoor) -> None:
    candidate = own_door.survivors()[0]
    people = [f"person-{number}" for number in range(200)]

    def pick(who: str) -> int:
        return own_door.give(own_door.of_still("pick", candidate_id=candidate, who=who)).status

    own_door.token("operator")
    with ThreadPoolExecutor(24) as pool:
        assert set(pool.map(pick, people)) == {200}
    assert sorted(one.who for one in own_door.logged()) == sorted(people)


def test_somebody_who_sends_slowly_holds_up_nobody(open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_S", 2.0)
    host, port = urlsplit(open_door.endpoint).netloc.split(":")
    with socket.create_connection((host, int(port))) as slow:
        token = open_door.token("operator")
        slow.sendall(
            f"POST /v1/orders HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n"
            "content-type: application/json\r\ncontent-length: 100\r\n\r\n{".encode()
        )
        for _ in range(5):
            assert open_door.ask("GET", "/v1/explain").status == 200
        slow.settimeout(30)
        assert slow.recv(100).startswith(b"HTTP/1.1 408")


def begun(door: OpenDoor, path: str, token: str, length: int, data: bytes = b"") -> socket.socket:
    """A connection on which a body of this length was announced and ``data`` of it sent."""
    host, port = urlsplit(door.endpoint).netloc.split(":")
    media = "octet-stream" if "parts" in path else "json"
    sender = socket.create_connection((host, int(port)), 30)
    sender.sendall(
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n"
        f"content-type: application/{media}\r\ncontent-length: {length}\r\n\r\n".encode()
        + data
    )
    return sender


def test_of_whoever_may_do_it_nowhere_nothing_large_is_read(open_door: OpenDoor) -> None:
    digest = f"sha256:{'0' * 64}"
    of_submitters = ("/v1/batches", f"/v1/upload_parts?digest={digest}&number=0&part={digest}", "/v1/upload_joins")
    asked = [*((path, "artist") for path in of_submitters), ("/v1/orders", "viewer"), ("/v1/show_settings", "artist")]
    for path, role in asked:
        for token in (open_door.token(role), open_door.token("member", "nobody at all")):
            with begun(open_door, path, token, 2**20) as sender:
                assert sender.recv(100).startswith(b"HTTP/1.1 403"), (path, role)


def test_what_all_send_at_once_has_a_bound(open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_HELD_BYTES", 1000)
    monkeypatch.setattr(bodies, "SMALL_BYTES", 0)
    token, body = open_door.token("operator"), b" " * 900
    slow: list[socket.socket] = []

    def is_full() -> Any:
        slow.append(begun(open_door, "/v1/orders", token, 2000, body))
        return (said := open_door.ask("POST", "/v1/orders", body)).status == 503 and said

    try:
        said = wait_for(is_full, 20)
        assert said.json["type"] == "#busy"
        assert open_door.ask("GET", "/v1/status").status == 200
    finally:
        for one in slow:
            one.close()
    assert wait_for(lambda: open_door.ask("POST", "/v1/orders", body).status == 400, 20) is True


def test_what_one_person_sends_leaves_room_for_others_and_what_is_small_needs_none(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MOST_OF_ONE_BYTES", 1000)
    monkeypatch.setattr(bodies, "SMALL_BYTES", 100)
    token, large, small = open_door.token("operator"), b" " * 900, b" " * 100
    slow: list[socket.socket] = []

    def is_full() -> bool:
        slow.append(begun(open_door, "/v1/orders", token, 2000, large))
        return open_door.ask("POST", "/v1/orders", large).status == 503

    try:
        wait_for(is_full, 20)
        for body, role in ((small, "operator"), (large, "wrangler")):
            said = open_door.ask("POST", "/v1/orders", body, role=role)
            assert (said.status, said.json["type"]) == (400, "#malformed"), role
    finally:
        for one in slow:
            one.close()


def test_somebody_who_goes_away_before_the_answer_may_ask_again(own_door: OpenDoor) -> None:
    host, port = urlsplit(own_door.endpoint).netloc.split(":")
    order = own_door.of_still("pick", candidate_id=own_door.survivors()[0], order_id="asked-and-left")
    body = json.dumps({"orders": [order]})
    with socket.create_connection((host, int(port))) as gone:
        gone.sendall(
            f"POST /v1/orders HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {own_door.token('operator')}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
        )
    assert own_door.give(order).status == 200
    assert [one.order_id for one in own_door.logged()] == ["asked-and-left"]
    assert own_door.ask("GET", "/v1/explain").status == 200


# ---- following -----------------------------------------------------------------------------------------------------


def test_events_are_told_commit_by_commit_and_waited_for(own_door: OpenDoor) -> None:
    told: list[str] = []
    after = 0
    while True:
        answer = own_door.ask("GET", f"/v1/events?after={after}&limit=5").json
        told += [event["kind"] for event in answer["events"]]
        if not answer["events"]:
            break
        after = answer["through"]
    assert told[:2] == ["EpochTaken", "BatchSubmitted"]
    assert after == answer["last"]
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(own_door.ask, "GET", f"/v1/events?after={after}&wait_s=20")
        own_door.give({"order": "pause", "batch": "tiny"})
        (event,) = waits.result().json["events"]
    assert (event["kind"], event["event"]["order"]) == ("OrderGiven", "pause")
    own_door.recent._most = 1
    own_door.give({"order": "unpause", "batch": "tiny"})
    assert own_door.ask("GET", "/v1/events?after=0").status == 410


def test_metrics_are_those_of_the_farm(open_door: OpenDoor) -> None:
    said = open_door.ask("GET", "/v1/metrics", role="viewer")
    assert said.headers["content-type"].startswith("text/plain")
    assert f"ancestra_epoch {float(open_door.epoch)}" in said.data.decode()


# ---- the end -------------------------------------------------------------------------------------------------------


def test_a_stop_ends_the_loop_and_late_askers_are_told(store: Store, waiting_batch: Submit) -> None:
    with OpenDoor(store, waiting_batch) as door:
        door.until(lambda status: status["waiting"])
        assert door.ask("POST", "/v1/stop", {}).status == 200
        door.thread.join(60)
        assert door.ending.how == "stopped"
        late = door.inbox.ask(StopRequested())
        assert "leaving" in str(late.exception(1))


def test_whoever_asks_a_controller_that_was_overtaken_is_told(store: Store, waiting_batch: Submit) -> None:
    with OpenDoor(store, waiting_batch) as door:
        door.until(lambda status: status["waiting"])
        Writer.begin(store, "somebody else", "run")
        said = door.give({"order": "pause", "batch": "tiny"})
        assert (said.status, said.json["type"]) == (503, "#superseded")
        assert "somebody else" in said.json["detail"]
        door.thread.join(60)
        assert door.ending.how == "superseded"
    assert [one.order for one in door.logged()] == []


def test_a_loop_that_is_busy_does_not_hold_up_the_picture(open_door: OpenDoor) -> None:
    release = threading.Event()
    busy = open_door.inbox.question(lambda: release.wait(20))
    try:
        began = time.monotonic()
        assert open_door.ask("GET", "/v1/status").status == 200
        assert open_door.ask("GET", "/v1/queues").status == 200
        assert not busy.done()
        assert time.monotonic() - began < 20
    finally:
        release.set()
    assert busy.result(20) is True
