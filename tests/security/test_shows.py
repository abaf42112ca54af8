"""People of one show: what they see, what they may order, and what they cannot find out about other shows."""

import json
from pathlib import Path
from typing import Any

import pytest

from ancestra_farm.api.people import RIGHTS_ON_SHOW
from ancestra_farm.api.routes import ROWS
from ancestra_farm.farm.news import Inbox
from ancestra_farm.ledger.store import Store
from ancestra_farm.scheduler.world import Submit
from tests.api.door import OpenDoor, Said
from tests.api.test_app import KINDS
from tests.farm.processes import wait_for
from tests.farm.threads import ThreadHands
from tests.security.conftest import of_show

ROLES = {"vic": "viewer", "sub": "submitter", "rev": "reviewer", "sue": "supervisor"}


def ask(door: OpenDoor, who: str, method: str, path: str, body: Any = None) -> Said:
    """A request of a member of the farm."""
    return door.ask(method, path, body, role="", headers={"authorization": f"Bearer {door.tokens[who]}"})


def order(door: OpenDoor, person: str, kind: str, batch: str, **more: Any) -> Said:
    named = {**door.of_still(kind), "batch": batch, **KINDS[kind], **more}
    named = {name: value for name, value in named.items() if value is not None}
    return ask(door, person, "POST", "/v1/orders", {"orders": [named]})


@pytest.mark.parametrize("who", ROLES)
def test_a_role_on_a_show_gives_what_the_table_says_there_and_nothing_elsewhere(two_shows: OpenDoor, who: str) -> None:
    rights = RIGHTS_ON_SHOW[ROLES[who]]
    for kind in KINDS:
        wrong_shot = {"shot": "no_such_shot"} if KINDS[kind].get("shot", "") is not None else {}
        here = order(two_shows, who, kind, "tiny", **wrong_shot)
        assert here.status == (409 if kind in rights else 403), (kind, here.data)
        elsewhere = order(two_shows, who, kind, "hidden")
        assert elsewhere.status == 403, (kind, elsewhere.data)
    assert two_shows.logged() == []


@pytest.mark.parametrize("who", ROLES)
def test_a_batch_of_another_show_looks_like_one_that_is_not_there(two_shows: OpenDoor, who: str) -> None:
    for path in ("/v1/status?batch={}", "/v1/explain?batch={}", "/v1/candidates?prefix=0000&batch={}"):
        said = [ask(two_shows, who, "GET", path.format(batch)) for batch in ("hidden", "absent")]
        assert said[0].status == said[1].status
        assert said[0].data.replace(b"hidden", b"absent") == said[1].data
    for kind in KINDS:
        said = [order(two_shows, who, kind, batch) for batch in ("hidden", "absent")]
        assert said[0].data.replace(b"hidden", b"absent") == said[1].data


@pytest.mark.parametrize("who", ROLES)
def test_nothing_that_is_answered_names_another_show(two_shows: OpenDoor, who: str) -> None:
    paths = ["/v1/status", "/v1/explain", "/v1/batches", "/v1/events", "/v1/show_settings"]
    paths += [f"/v1/candidates?prefix={one[:4]}" for one in two_shows.survivors()]
    for path in paths:
        said = ask(two_shows, who, "GET", path)
        assert said.status == 200, said.data
        assert b"hidden" not in said.data
        assert b"secret" not in said.data
    assert b"tiny" in ask(two_shows, who, "GET", "/v1/status").data
    events = ask(two_shows, who, "GET", "/v1/events").json["events"]
    assert {one["event"].get("batch") or one["event"]["name"] for one in events} == {"tiny", "anc"}


def test_whoever_waits_for_the_work_of_another_show_is_not_told_whose(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"), create=True)
    first, waits = of_show(tmp_path, "secret", "hidden"), of_show(tmp_path, "anc", "tiny")
    urgent = Submit(first.document.replace('"priority":"shot"', '"priority":"dailies"'), first.cards, first.who)
    assert urgent.document != first.document
    with OpenDoor(store, hands=Held) as door:
        show = {"schema": "ancestra/show/v1", "show": "anc", "people": ROLES}
        assert door.ask("POST", "/v1/show_settings", {"show": "anc", "document": json.dumps(show)}).status == 200
        for one in (urgent, waits):
            assert door.ask("POST", "/v1/batches", {"document": one.document, "cards": dict(one.cards)}).status == 200
        door.token("member", "vic")
        (shot,) = wait_for(lambda: told(ask(door, "vic", "GET", "/v1/explain"), "is served first"), 30)
        assert "a batch of another show is served first" in " ".join(shot["says"])
        everything = door.ask("GET", "/v1/explain?batch=tiny").json["shots"]
        assert "hidden is served first" in " ".join(everything[0]["says"])
        status = ask(door, "vic", "GET", "/v1/status").json
        assert status["hosts"] == []
        assert door.ask("GET", "/v1/status").json["hosts"]
        door.hands.hold.set()


class Held(ThreadHands):
    """Hosts that hand nothing in until they are told to."""

    def __init__(self, inbox: Inbox, store: Store, cpus: int = 2) -> None:
        super().__init__(inbox, store, cpus)
        self.hold.clear()


def told(said: Said, sentence: str) -> list[dict[str, Any]]:
    """The shots of an explanation that says this."""
    return [shot for shot in said.json["shots"] if sentence in " ".join(shot["says"])]


def test_whoever_has_a_token_and_no_role_is_told_nothing_at_all(two_shows: OpenDoor) -> None:
    bodies: dict[str, Any] = {
        "/v1/batches": {"document": "{}", "cards": {}},
        "/v1/orders": {"orders": [{"order": "pause", "batch": "tiny"}]},
        "/v1/show_settings": {"show": "anc", "document": "{}"},
    }
    digest = f"sha256:{'0' * 64}"
    bodies["/v1/upload_joins"] = {"digest": digest, "bytes": 1, "parts": [digest]}
    queries = {
        "/v1/candidates": "?prefix=0000",
        "/v1/delivered": "?show=secret&shot=anc_000&version=v001&file=MANIFEST.json",
        "/v1/uploads": f"?digest={digest}&bytes=1",
        "/v1/upload_parts": f"?digest={digest}&number=0&part={digest}",
    }
    for row in ROWS:
        if row.right is None:
            continue
        path = row.path + queries.get(row.path, "")
        body = bodies.get(row.path, {}) if row.method == "POST" and not row.raw else None
        said = ask(two_shows, "mel", row.method, path, body)
        assert said.status == 403, (row.method, path, said.data)
        assert b"hidden" not in said.data


def test_a_submitter_hands_in_batches_of_their_show_alone(two_shows: OpenDoor, tmp_path: Any) -> None:
    ours, theirs = of_show(tmp_path, "anc", "more", candidates=1), of_show(tmp_path, "secret", "more", candidates=1)
    for who, submission, status in (("rev", ours, 403), ("sub", theirs, 403), ("mel", ours, 403), ("sub", ours, 200)):
        body = {"document": submission.document, "cards": dict(submission.cards)}
        said = ask(two_shows, who, "POST", "/v1/batches", body)
        assert said.status == status, (who, said.data)


def hand_in(door: OpenDoor, who: str, submission: Any, **fields: Any) -> Said:
    document = json.dumps(json.loads(submission.document) | fields)
    return ask(door, who, "POST", "/v1/batches", {"document": document, "cards": dict(submission.cards)})


def test_nobody_of_a_show_puts_a_batch_further_up_than_its_show_may_go(two_shows: OpenDoor, tmp_path: Any) -> None:
    ours = of_show(tmp_path, "anc", "urgent", candidates=1)
    for fields, says in (({"priority": "dailies"}, "class dailies"), ({"weight": 1000.0}, "weight 1000")):
        for who in ("sub", "sue"):
            said = hand_in(two_shows, who, ours, **fields)
            assert said.status == 403, said.data
            assert says in said.json["detail"]
            assert "a wrangler may" in said.json["detail"]
    assert hand_in(two_shows, "sub", ours).status == 200
    said = hand_in(two_shows, "sub", ours, priority="dailies")
    assert said.status == 403, "nor by handing it in again"
    assert two_shows.scheduler.state.batches["urgent"].revision == 1
    for who in ("sub", "sue"):
        assert order(two_shows, who, "priority", "urgent", priority="dailies").status == 403
    two_shows.token("wrangler", "wendy")
    assert order(two_shows, "wendy", "priority", "urgent", priority="dailies").status == 200
    assert hand_in(two_shows, "sub", ours, seed=8).status == 200
    assert two_shows.scheduler.state.batches["urgent"].priority == "dailies", "what a wrangler ordered stands"
    caps = {"anc": {"max_weight": 4}, "secret": {"max_class": "dailies"}}
    farm = {"schema": "ancestra/farm/v1", "show_caps": caps}
    for document, status in ((farm, 200), ({"schema": "ancestra/farm/v1"}, 403)):
        body = {"document": json.dumps(document), "based_on": two_shows.version()}
        raised = ask(two_shows, "wendy", "POST", "/v1/farm_settings", body)
        assert raised.status == 200, raised.data
        said = hand_in(two_shows, "sub", of_show(tmp_path, "anc", f"heavy_{status}", candidates=1), weight=4.0)
        assert said.status == status, said.data
    assert hand_in(two_shows, "wendy", ours, priority="dailies", weight=1000.0).status == 200


def test_a_supervisor_makes_their_show_no_heavier_than_it_was(two_shows: OpenDoor) -> None:
    people = {"vic": "viewer", "sub": "submitter", "rev": "reviewer", "sue": "supervisor"}
    two_shows.token("wrangler", "wendy")
    for who, weight, status in (("sue", 2.0, 403), ("wendy", 2.0, 200), ("sue", 2.0, 200), ("sue", 0.5, 200)):
        document = {"schema": "ancestra/show/v1", "show": "anc", "people": people, "weights": {"shot": weight}}
        body = {"show": "anc", "document": json.dumps(document), "based_on": two_shows.version("anc")}
        said = ask(two_shows, who, "POST", "/v1/show_settings", body)
        assert said.status == status, (who, weight, said.data)
        if status == 403:
            assert "weigh 2 in class shot, where it weighs 1" in said.json["detail"]


def test_a_batch_that_says_two_shows_is_of_the_one_it_would_be_run_as(two_shows: OpenDoor, tmp_path: Any) -> None:
    theirs = of_show(tmp_path, "secret", "double", candidates=1)
    for document in (
        theirs.document.replace('"show":"secret"', '"show":"anc","show":"secret"'),
        theirs.document.replace('"show":"secret"', '"show":"secret","show":"anc"'),
        theirs.document.replace('"show":"secret"', '"\\u0073how":"anc","show":"secret"'),
    ):
        assert document != theirs.document
        said = ask(two_shows, "sub", "POST", "/v1/batches", {"document": document, "cards": dict(theirs.cards)})
        if said.status == 200:
            batches = ask(two_shows, "sub", "GET", "/v1/batches").json["batches"]
            assert [one["show"] for one in batches if one["batch"] == "double"] == ["anc"]
        else:
            assert said.status in {403, 409}
    everything = two_shows.ask("GET", "/v1/batches").json["batches"]
    assert not [one for one in everything if (one["batch"], one["show"]) == ("double", "secret")]


def test_a_batch_follows_no_batch_of_another_show_and_learns_of_none(two_shows: OpenDoor, tmp_path: Path) -> None:
    ours = of_show(tmp_path, "anc", "follower", candidates=1)

    def after(batch: str, who: str = "sub") -> Said:
        (shot,) = json.loads(ours.document)["shots"]
        return hand_in(two_shows, who, ours, shots=[{**shot, "after": [{"batch": batch}]}])

    said = [after(batch) for batch in ("hidden", "absent")]
    assert [one.status for one in said] == [403, 403]
    assert said[0].data.replace(b"hidden", b"absent") == said[1].data
    assert after("tiny").status == 200
    two_shows.token("wrangler", "wendy")
    assert "hidden" in after("absent", "wendy").json["detail"]


def test_a_batch_of_another_show_is_not_taken_over_by_its_name(two_shows: OpenDoor, tmp_path: Any) -> None:
    hidden = of_show(tmp_path, "anc", "hidden", candidates=1)
    said = ask(two_shows, "sub", "POST", "/v1/batches", {"document": hidden.document, "cards": dict(hidden.cards)})
    assert said.status == 409
    (batch,) = [one for one in two_shows.ask("GET", "/v1/batches").json["batches"] if one["batch"] == "hidden"]
    assert (batch["show"], batch["revision"]) == ("secret", 1)


def test_a_supervisor_changes_the_settings_of_their_show_alone(two_shows: OpenDoor) -> None:
    def change(who: str, show: str, says: str) -> Said:
        people = {"vic": "viewer", "sub": "submitter", "rev": "reviewer", "sue": "supervisor"}
        document = json.dumps({"schema": "ancestra/show/v1", "show": says, "people": people, "title": who})
        body = {"show": show, "document": document, "based_on": two_shows.version(show)}
        return ask(two_shows, who, "POST", "/v1/show_settings", body)

    assert change("sub", "anc", "anc").status == 403
    assert change("sue", "secret", "secret").status == 403
    assert change("sue", "anc", "secret").status == 409
    assert change("sue", "anc", "anc").status == 200
    farm = {"document": json.dumps({"schema": "ancestra/farm/v1"})}
    assert ask(two_shows, "sue", "POST", "/v1/farm_settings", farm).status == 403


@pytest.mark.parametrize("who", ROLES)
def test_nobody_of_a_show_acts_for_somebody_else(two_shows: OpenDoor, who: str) -> None:
    candidate = two_shows.survivors()[0]
    for name in ("sue", "operator", "somebody else"):
        if name == who:
            continue
        said = order(two_shows, who, "pick", "tiny", candidate_id=candidate, who=name)
        assert said.status == 403, said.data


@pytest.mark.parametrize("path", ["/v1/hosts", "/v1/metrics", "/v1/queues", "/v1/farm_settings"])
def test_what_is_of_the_whole_farm_is_for_those_who_may_see_all_of_it(two_shows: OpenDoor, path: str) -> None:
    assert two_shows.ask("GET", path, role="viewer").status == 200
    for who in (*ROLES, "mel"):
        assert ask(two_shows, who, "GET", path).status == 403


def test_nobody_of_a_show_stops_the_farm(two_shows: OpenDoor) -> None:
    for who in (*ROLES, "mel"):
        assert ask(two_shows, who, "POST", "/v1/stop", {}).status == 403
    assert two_shows.thread.is_alive()
