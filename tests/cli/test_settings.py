"""`ancestra settings`, `ancestra log orders`, and what `ancestra plan` says of money and of what would be refused."""

import json
import os
import shlex
from pathlib import Path

import pytest
import yaml

from ancestra_farm.api.people import issue
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.plan.farm_events import SettingsGiven
from tests.cli.conftest import Ancestra
from tests.cli.small_farm import batch_file

FARM = """\
schema: ancestra/farm/v1
currency: EUR
node_types:
  cheap: {cpus: 4, memory_gib: 16, max_nodes: 2, price_per_hour: 0.4, market: spot}
  dear: {cpus: 4, memory_gib: 16, max_nodes: 2, price_per_hour: 1.0}
"""
SHOW = "schema: ancestra/show/v1\nshow: ancestra\nhandles: 4\nnotify: [{command: page}]\n"


def file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), create=True)


def test_settings_are_given_shown_as_yaml_and_given_again(ancestra: Ancestra, store: Store, tmp_path: Path) -> None:
    farm = file(tmp_path, "farm.yaml", FARM)
    said = ancestra("settings", "farm", "set", farm, "--store", store.url, "--as", "Ana Lima")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("settings of the farm are in force as Ana Lima gave them (commit ")
    shown = ancestra("settings", "farm", "show", "--store", store.url)
    assert "# settings of the farm, given by Ana Lima" in shown.out
    assert yaml.safe_load(shown.out)["node_types"]["cheap"]["price_per_hour"] == 0.4
    again = file(tmp_path, "again.yaml", shown.out.replace("EUR", "USD"))
    assert ancestra("settings", "farm", "set", again, "--store", store.url).code == 0
    assert ancestra("settings", "farm", "show", "--store", store.url, "--json").json["currency"] == "USD"


def test_what_somebody_else_changed_meanwhile_is_not_undone(
    ancestra: Ancestra, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm = file(tmp_path, "farm.yaml", FARM)
    assert ancestra("settings", "farm", "set", farm, "--store", store.url, "--as", "Ana Lima").code == 0
    fetched = file(tmp_path, "fetched.yaml", ancestra("settings", "farm", "show", "--store", store.url).out)
    own = file(tmp_path, "farm.yaml", FARM.replace("0.4", "0.5"))
    assert ancestra("settings", "farm", "set", own, "--store", store.url).code == 0, "nobody else changed it"
    fetched.write_text(fetched.read_text().replace("EUR", "USD"))
    late = ancestra("settings", "farm", "set", fetched, "--store", store.url)
    assert (late.code, late.out) == (2, "")
    assert '  currency: "EUR" in force, "USD" here' in late.err
    assert "  node_types.cheap.price_per_hour: 0.5 in force, 0.4 here" in late.err
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    stranger = ancestra("settings", "farm", "set", file(tmp_path, "theirs.yaml", FARM), "--store", store.url)
    assert stranger.code == 2
    assert "does not say it knows them" in stranger.err
    assert len([one for commit in read_commits(store) for one in commit.events if isinstance(one, SettingsGiven)]) == 2
    said = shlex.split(late.err[late.err.index("ancestra settings farm set") :])
    assert ancestra(*said[1:]).code == 0, said
    assert ancestra("settings", "farm", "show", "--store", store.url, "--json").json["document"]["currency"] == "USD"
    assert ancestra("settings", "farm", "set", fetched, "--store", store.url, "--over", "newest").code == 2


def test_a_file_that_was_fetched_again_is_based_on_what_was_fetched(
    ancestra: Ancestra, store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "farm.yaml"
    path.write_text(FARM)
    for before, after in (("EUR", "USD"), ("USD", "GBP"), ("GBP", "EUR")):
        assert ancestra("settings", "farm", "set", path, "--store", store.url).code == 0
        path.write_text(ancestra("settings", "farm", "show", "--store", store.url).out.replace(before, after))
        changed = ancestra("settings", "farm", "set", path, "--store", store.url)
        assert changed.code == 0, changed.err
        path.write_text(path.read_text().replace("price_per_hour: 1.0", "price_per_hour: 1.5"))
        assert ancestra("settings", "farm", "set", path, "--store", store.url).code == 0, "edited once more"
    assert "based on version" in path.read_text()


def test_what_somebody_put_back_is_not_taken_for_what_was_there_before(
    ancestra: Ancestra, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, theirs = tmp_path / "farm.yaml", tmp_path / "theirs.yaml"
    path.write_text(FARM)

    def edited(file: Path, before: str, after: str) -> None:
        file.write_text(ancestra("settings", "farm", "show", "--store", store.url).out.replace(before, after))
        said = ancestra("settings", "farm", "set", file, "--store", store.url)
        assert said.code == 0, said.err

    assert ancestra("settings", "farm", "set", path, "--store", store.url).code == 0
    edited(path, "EUR", "USD")
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
        edited(theirs, "USD", "EUR")
    edited(path, "EUR", "GBP")


def test_settings_may_come_through_a_pipe(ancestra: Ancestra, store: Store, tmp_path: Path) -> None:
    assert ancestra("settings", "farm", "set", file(tmp_path, "farm.yaml", FARM), "--store", store.url).code == 0
    shown = ancestra("settings", "farm", "show", "--store", store.url).out
    reads, writes = os.pipe()
    with os.fdopen(writes, "w") as pipe:
        pipe.write(shown.replace("EUR", "USD"))
    try:
        said = ancestra("settings", "farm", "set", f"/dev/fd/{reads}", "--store", store.url)
    finally:
        os.close(reads)
    assert said.code == 0, said.err
    assert ancestra("settings", "farm", "show", "--store", store.url, "--json").json["document"]["currency"] == "USD"


def test_settings_are_given_where_nothing_can_be_noted(
    ancestra: Ancestra, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANCESTRA_TOKEN", issue(store, "ci", "operator", by="ada"))
    (tmp_path / "no folder").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "no folder"))
    said = ancestra("settings", "farm", "set", file(tmp_path, "farm.yaml", FARM), "--store", store.url)
    assert said.code == 0, said.err
    assert "as ci gave them" in said.out, "whose the token is only the store can say"


def test_a_show_has_settings_of_its_own(ancestra: Ancestra, store: Store, tmp_path: Path) -> None:
    show = file(tmp_path, "show.yaml", SHOW)
    none = ancestra("settings", "show", "ancestra", "show", "--store", store.url)
    assert none.code == 2
    assert "`ancestra settings show ancestra set FILE`" in none.err
    assert ancestra("settings", "show", "ancestra", "set", show, "--store", store.url).code == 0
    told = ancestra("settings", "show", "ancestra", "show", "--store", store.url, "--json").json
    assert (told["kind"], told["name"], told["document"]["handles"]) == ("show", "ancestra", 4)
    wrong = ancestra("settings", "show", "trailer", "set", show, "--store", store.url)
    assert wrong.code == 2
    assert "show.yaml:2: show: these are the settings of ancestra, not of trailer" in wrong.err
    rows = ancestra("settings", "ls", "--store", store.url, "--json").json
    assert [row["of"] for row in rows] == ["the farm", "ancestra"]


def test_a_farm_without_settings_says_so(ancestra: Ancestra, store: Store) -> None:
    said = ancestra("settings", "farm", "show", "--store", store.url)
    assert said.code == 0
    assert "whatever its cluster has" in said.out


def test_what_is_wrong_with_a_file_is_said_by_line_and_changes_nothing(
    ancestra: Ancestra, store: Store, tmp_path: Path
) -> None:
    farm = file(tmp_path, "farm.yaml", FARM.replace("max_nodes: 2", "max_node: 2", 1))
    said = ancestra("settings", "farm", "set", farm, "--store", store.url)
    assert said.code == 2
    assert "farm.yaml:4" in said.err
    assert list(read_commits(store)) == []


def test_the_audit_tells_submissions_orders_and_settings(ancestra: Ancestra, waiting: Store, tmp_path: Path) -> None:
    farm = file(tmp_path, "farm.yaml", FARM)
    assert ancestra("settings", "farm", "set", farm, "--store", waiting.url, "--as", "Ana Lima").code == 0
    assert ancestra("priority", "dailies", "--store", waiting.url, "--as", "Bo Ek", "--note", "today").code == 0
    rows = ancestra("log", "orders", "--store", waiting.url, "--json").json
    assert [row["order"] for row in rows] == ["submit", "farm settings", "priority"]
    assert [row["who"].split(" (")[0] for row in rows[1:]] == ["Ana Lima", "Bo Ek"]
    assert rows[2]["says"].startswith("priority dailies, today")
    (only,) = ancestra(
        "log", "orders", "--store", waiting.url, "--batch", "demo", "--who", rows[2]["who"], "--json"
    ).json
    assert only["order"] == "priority"
    assert "Bo Ek" in ancestra("log", "orders", "--store", waiting.url).out


def test_a_plan_is_priced_by_the_node_types_it_would_run_on(ancestra: Ancestra, store: Store, tmp_path: Path) -> None:
    batch, farm = batch_file(tmp_path), file(tmp_path, "farm.yaml", FARM)
    by_file = ancestra("plan", batch, "--farm", farm, "--json").json
    assert by_file["currency"] == "EUR"
    assert {stage["node_type"] for stage in by_file["stages"]} == {"cheap"}
    assert all(stage["price_per_hour"] == pytest.approx(0.1) for stage in by_file["stages"])
    hours = sum(stage["device_hours"] for stage in by_file["stages"])
    assert by_file["cost"] == pytest.approx(hours * 0.1)
    assert by_file["refusals"] == []
    assert ancestra("settings", "farm", "set", farm, "--store", store.url).code == 0
    assert ancestra("plan", batch, "--store", store.url, "--json").json["cost"] == by_file["cost"]
    assert " EUR (by the model cards' guesses)" in ancestra("plan", batch, "--farm", farm).out
    assert ancestra("plan", batch, "--store", tmp_path / "not-there", "--json").json["cost"] is None


def test_a_plan_says_which_batches_it_would_wait_for_in_vain(
    ancestra: Ancestra, finished: Store, tmp_path: Path
) -> None:
    file = batch_file(tmp_path)
    file.write_text(file.read_text().replace("batch: demo", "batch: next\nafter: [{batch: absent}]"))
    told = ancestra("plan", file, "--store", finished.url)
    assert "the farm would not take it: after: there is no batch absent here; there are: demo" in told.out, told.err
    assert "would not take it" not in ancestra("plan", file).out, "nobody said which farm"


def test_a_plan_says_what_the_farm_would_refuse(ancestra: Ancestra, tmp_path: Path) -> None:
    small = FARM.replace("cpus: 4", "cpus: 0.5")
    said = ancestra("plan", batch_file(tmp_path), "--farm", file(tmp_path, "farm.yaml", small))
    assert said.code == 0
    assert "the farm would not take it: procedural/stills can never run here: no node type has 1 CPUs" in said.out


def test_schemas_of_settings_are_printed(ancestra: Ancestra) -> None:
    for of in ("farm", "show"):
        assert json.loads(ancestra("schema", of).out)["title"] == f"ancestra/{of}/v1"
    assert "shots" in json.loads(ancestra("schema").out)["properties"]


def test_settings_in_the_log_are_canonical(ancestra: Ancestra, store: Store, tmp_path: Path) -> None:
    ancestra("settings", "show", "ancestra", "set", file(tmp_path, "show.yaml", SHOW), "--store", store.url)
    events = [one for commit in read_commits(store) for one in commit.events if isinstance(one, SettingsGiven)]
    (document,) = [event.document for event in events]
    assert document == json.dumps(json.loads(document), sort_keys=True, separators=(",", ":"))
