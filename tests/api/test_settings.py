"""Settings through the door: who may see and change them, and that they are in the log when they are acknowledged."""

import json
from pathlib import Path
from typing import Any

import pytest

from ancestra_farm.api.client import Client
from ancestra_farm.api.door import give_settings
from ancestra_farm.api.people import NotAllowed, issue
from ancestra_farm.api.tokens import OwnToken
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.plan.events import EpochTaken
from ancestra_farm.plan.farm_events import SettingsGiven
from ancestra_farm.scheduler.versions import version_of
from ancestra_farm.scheduler.world import OrderRefused, SettingsConflict
from tests.api.door import OpenDoor

FARM: dict[str, Any] = {"schema": "ancestra/farm/v1", "currency": "EUR"}
HOOK = "https://hooks.example.com/T0/B1/secret-path"


def show(name: str = "anc", **fields: Any) -> dict[str, Any]:
    return {"schema": "ancestra/show/v1", "show": name, **fields}


def given(store: Store) -> list[SettingsGiven]:
    return [one for commit in read_commits(store) for one in commit.events if isinstance(one, SettingsGiven)]


def change_show(door: OpenDoor, document: dict[str, Any], *, role: str = "wrangler") -> Any:
    body = {"show": document["show"], "document": json.dumps(document), "based_on": door.version(document["show"])}
    return door.ask("POST", "/v1/show_settings", body, role=role)


def test_settings_are_in_the_log_when_they_are_acknowledged(open_door: OpenDoor) -> None:
    body = {"document": json.dumps(FARM), "order_id": "first-settings"}
    answer = open_door.ask("POST", "/v1/farm_settings", body, role="wrangler")
    assert answer.status == 200
    assert answer.json["orders"][0]["order"] == "farm_settings"
    (event,) = [one for one in given(open_door.store) if one.kind == "farm"]
    assert (event.who, event.order) == ("wrangler", "first-settings")
    told = open_door.ask("GET", "/v1/farm_settings", role="viewer").json
    assert (told["document"]["currency"], told["who"], told["currency"]) == ("EUR", "wrangler", "EUR")
    assert open_door.ask("POST", "/v1/farm_settings", body, role="wrangler").status == 200
    assert len([one for one in given(open_door.store) if one.kind == "farm"]) == 1, "asked again, it counts once"


def test_of_two_who_change_the_same_settings_the_later_is_told_what_differs(open_door: OpenDoor) -> None:
    assert change_show(open_door, show("both", handles=8, title="One")).status == 200
    began = open_door.version("both")

    def change(role: str, order_id: str, **fields: Any) -> Any:
        document = json.dumps(show("both", **fields))
        body = {"show": "both", "document": document, "based_on": began, "order_id": order_id}
        return open_door.ask("POST", "/v1/show_settings", body, role=role)

    assert change("wrangler", "the-first-one", handles=12, title="One").status == 200
    count = len(given(open_door.store))
    late = change("operator", "the-later-one", handles=8, title="Two")
    assert (late.status, late.json["type"]) == (409, "#conflict")
    assert "that wrangler gave" in late.json["detail"]
    assert late.json["faults"] == [
        {"place": "handles", "message": "12 in force, 8 here"},
        {"place": "title", "message": '"One" in force, "Two" here'},
    ]
    assert len(given(open_door.store)) == count
    assert late.json["version"] == open_door.version("both")
    again = change("wrangler", "the-first-one", handles=12, title="One")
    assert again.status == 200, "its answer was lost, and it had been taken"
    assert change("operator", "the-same-now", handles=12, title="One").status == 200, "they are in force already"
    unsaid = {"show": "both", "document": json.dumps(show("both"))}
    assert open_door.ask("POST", "/v1/show_settings", unsaid).json["type"] == "#conflict"


@pytest.mark.parametrize("role", ["viewer", "artist", "supervisor"])
def test_who_may_not_change_settings_is_told_who_may(open_door: OpenDoor, role: str) -> None:
    before = given(open_door.store)
    answer = open_door.ask("POST", "/v1/farm_settings", {"document": json.dumps(FARM)}, role=role)
    assert answer.status == 403
    assert "change the settings of the farm" in answer.json["detail"]
    assert change_show(open_door, show(), role=role).status == 403
    assert given(open_door.store) == before


def test_what_is_no_settings_is_refused_with_the_reason(open_door: OpenDoor) -> None:
    before = given(open_door.store)
    for document, says in (("{}", "schema"), ('{"schema": "ancestra/farm/v1", "x": 1}', "x"), ("[]", "settings")):
        answer = open_door.ask("POST", "/v1/farm_settings", {"document": document})
        assert answer.status == 409
        assert answer.json["type"] == "#refused"
        assert says in answer.json["detail"]
    body = {"show": "other", "document": json.dumps(show())}
    assert "not of show other" in open_door.ask("POST", "/v1/show_settings", body).json["detail"]
    assert given(open_door.store) == before


def test_a_supervisor_of_a_show_changes_that_show_alone(open_door: OpenDoor) -> None:
    ana = open_door.token("member", "Ana Lima")
    assert change_show(open_door, show("mine", people={"Ana Lima": "supervisor"})).status == 200
    assert change_show(open_door, show("others")).status == 200
    headers = {"authorization": f"Bearer {ana}"}
    mine = {
        "show": "mine",
        "document": json.dumps(show("mine", people={"Ana Lima": "supervisor"}, handles=8)),
        "based_on": open_door.version("mine"),
    }

    def ask(method: str, path: str, body: Any = None) -> Any:
        return open_door.ask(method, path, body, role="", headers=headers)

    assert ask("POST", "/v1/show_settings", mine).status == 200
    assert ask("POST", "/v1/show_settings", {"show": "others", "document": json.dumps(show("others"))}).status == 403
    assert ask("POST", "/v1/farm_settings", {"document": json.dumps(FARM)}).status == 403
    (told,) = ask("GET", "/v1/show_settings").json["settings"]
    assert (told["name"], told["who"], told["document"]["handles"]) == ("mine", "Ana Lima", 8)


def test_of_a_webhook_only_who_may_change_it_sees_more_than_the_host(open_door: OpenDoor) -> None:
    notify = [{"webhook": HOOK, "secret": "studio"}]
    assert change_show(open_door, show("told", notify=notify)).status == 200
    after = open_door.ask("GET", "/v1/status").json["commit"] - 1
    for role, seen in (("viewer", "hooks.example.com/…"), ("wrangler", HOOK)):
        (told,) = open_door.ask("GET", "/v1/show_settings?show=told", role=role).json["settings"]
        assert told["document"]["notify"][0]["webhook"] == seen
        events = open_door.ask("GET", f"/v1/events?after={max(0, after)}", role=role)
        assert "secret-path" not in events.data.decode()


def test_an_operator_gives_settings_for_somebody_else_and_both_stand_in_the_log(open_door: OpenDoor) -> None:
    body = {"document": json.dumps(FARM | {"currency": "GBP"}), "who": "Bo Ek", "based_on": open_door.version()}
    assert open_door.ask("POST", "/v1/farm_settings", body, role="wrangler").status == 403
    assert open_door.ask("POST", "/v1/farm_settings", body).status == 200
    assert given(open_door.store)[-1].who == "Bo Ek (by operator)"


def test_a_batch_that_settings_do_not_allow_is_refused_at_the_door(open_door: OpenDoor, waiting_batch: Any) -> None:
    assert change_show(open_door, show("anc", naming={"shot": "xyz_###"})).status == 200
    changed = json.dumps(json.loads(waiting_batch.document) | {"seed": 99})
    answer = open_door.ask("POST", "/v1/batches", {"document": changed, "cards": dict(waiting_batch.cards)})
    assert answer.status == 409
    assert "shots of anc are named xyz_###" in answer.json["detail"]
    assert change_show(open_door, show("anc")).status == 200


def test_the_client_reads_and_gives_them(open_door: OpenDoor) -> None:
    own = OwnToken(open_door.token("operator"), "operator", "here")
    with Client(open_door.store, open_door.presence, own) as client:
        document = json.dumps(show("client", handles=4))
        taken = client.change(SettingsGiven("show", "client", document, "", 0.0), "none")
        assert taken.commit >= 1
        (told,) = client.show_settings("client").settings
        assert told.document is not None
        assert told.document["handles"] == 4
        assert client.farm_settings().kind == "farm"
        with pytest.raises(SettingsConflict, match="nothing was changed") as conflict:
            client.change(SettingsGiven("show", "client", json.dumps(show("client")), "", 0.0), "none")
        assert conflict.value.differences == (("handles", "4 in force, not here"),)
        assert conflict.value.version == told.version
        with pytest.raises(OrderRefused, match="no settings of show client"):
            client.change(SettingsGiven("show", "client", "{}", "", 0.0), told.version)
    viewer = OwnToken(issue(open_door.store, "vic", "viewer", by="tester"), "vic", "here")
    with Client(open_door.store, open_door.presence, viewer) as client, pytest.raises(NotAllowed):
        client.change(SettingsGiven("farm", "", json.dumps(FARM), "", 0.0), "none")


def test_with_nobody_at_work_they_are_committed_by_oneself(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"), create=True)
    wanted = SettingsGiven("farm", "", json.dumps(FARM), "", 5.0, "by-oneself-1")
    taken = give_settings(store, wanted, "none")
    assert (taken.who, taken.live) == ("ada", False)
    (event,) = given(store)
    assert (event.who, event.order) == ("ada", "by-oneself-1")
    assert give_settings(store, wanted, "none").commit == taken.commit
    assert len(given(store)) == 1
    epochs = [one for commit in read_commits(store) for one in commit.events if isinstance(one, EpochTaken)]
    assert [one.purpose for one in epochs] == ["settings of the farm"]
    with pytest.raises(OrderRefused, match="no settings of the farm"):
        give_settings(store, SettingsGiven("farm", "", "{}", "", 5.0), "none")
    other = SettingsGiven("farm", "", json.dumps(FARM | {"currency": "USD"}), "", 6.0)
    before = store.list("log")
    with pytest.raises(SettingsConflict, match=r"based on none.*currency: \"EUR\" in force, \"USD\" here"):
        give_settings(store, other, "none")
    assert store.list("log") == before, "it took no epoch either"
    give_settings(store, other, version_of(event))
    assert len(given(store)) == 2
