from pathlib import Path

import pytest

from ancestra_farm.ledger.store import Store
from tests.cli.conftest import Ancestra
from tests.cli.small_farm import batch_file


def test_a_good_batch_is_called_good(ancestra: Ancestra, tmp_path: Path) -> None:
    said = ancestra("check", batch_file(tmp_path))
    assert said.code == 0
    assert "good. Batch demo of show ancestra, 2 shots" in said.out


def test_a_refused_batch_names_file_and_line_of_every_problem(ancestra: Ancestra, tmp_path: Path) -> None:
    path = batch_file(tmp_path)
    text = path.read_text().replace("candidates: 24", "candidates: 0").replace("handles: 4", "handels: 4")
    path.write_text(text)
    said = ancestra("check", path)
    assert said.code == 2
    lines = said.err.splitlines()
    assert any(line.startswith(f"{path}:4: ") and "handels" in line for line in lines)
    assert any("candidates" in line for line in lines)
    assert len(lines) == 2


def test_problems_are_json_too(ancestra: Ancestra, tmp_path: Path) -> None:
    path = batch_file(tmp_path)
    path.write_text(path.read_text().replace("from: still", "from: steel"))
    said = ancestra("check", path, "--json")
    assert said.code == 2
    assert said.json["good"] is False
    assert set(said.json["problems"][0]) == {"file", "line", "path", "message", "hint"}


def test_a_file_that_is_not_there_is_bad_input(ancestra: Ancestra, tmp_path: Path) -> None:
    said = ancestra("check", tmp_path / "nothing.yaml")
    assert said.code == 2
    assert "nothing.yaml" in said.err
    assert "unexpected" not in said.err


def test_check_against_a_store_tells_kept_new_and_dropped(ancestra: Ancestra, finished: Store, tmp_path: Path) -> None:
    path = batch_file(tmp_path)
    path.write_text(
        path.read_text().replace("candidates: 24", "candidates: 30").replace("light breaking", "light falling")
    )
    said = ancestra("check", path, "--store", finished.url, "--json")
    assert said.code == 0
    changes = {(row["shot"], row["stage"]): row for row in said.json["changes"]}
    still = changes["anc_010_0010", "still"]
    assert (still["kept"], still["new"], still["dropped"]) == (24, 6, 0)
    other = changes["anc_010_0020", "still"]
    assert (other["kept"], other["new"], other["dropped"]) == (0, 30, 24)
    assert changes["anc_010_0010", "animate"]["counted"] == "per input"


def test_check_tells_what_is_judged_again_where_the_filters_changed(
    ancestra: Ancestra, finished: Store, tmp_path: Path
) -> None:
    same, other = batch_file(tmp_path), tmp_path / "other.yaml"
    other.write_text(same.read_text().replace("    wave: 12\n", "    wave: 12\n    filters: {banding: false}\n"))
    assert "again" not in ancestra("check", same, "--store", finished.url).out
    rows = ancestra("check", other, "--store", finished.url, "--json").json["changes"]
    again = {(row["shot"], row["stage"]): (row["kept"], row["again"]) for row in rows}
    assert again["anc_010_0010", "still"] == (24, 24)
    assert again["anc_010_0010", "animate"][1] == 0
    assert "again" in ancestra("check", other, "--store", finished.url).out


def test_check_against_an_empty_place_calls_everything_new_and_makes_nothing(
    ancestra: Ancestra, tmp_path: Path
) -> None:
    said = ancestra("check", batch_file(tmp_path), "--store", tmp_path / "store", "--json")
    assert said.code == 0
    assert {row["kept"] for row in said.json["changes"]} == {0}
    assert not (tmp_path / "store").exists()


def test_plan_tells_candidates_time_and_exact_frames(ancestra: Ancestra, tmp_path: Path) -> None:
    path = batch_file(tmp_path)
    path.write_text(path.read_text() + "budget: {price_per_device_hour: 2, currency: EUR}\n")
    said = ancestra("plan", path, "--json")
    assert said.code == 0
    rows = {(row["shot"], row["stage"]): row for row in said.json["stages"]}
    assert rows["anc_010_0010", "still"]["full"] == 24
    assert rows["anc_010_0010", "still"]["variants"] == 2
    animate = rows["anc_010_0010", "animate"]
    # 24 frames and two handles of 4 at 24 a second need 22 at 16; the grid is 4k+1
    assert (animate["segments"], animate["trim_frames"], animate["rate"]) == ([25], 3, "16")
    assert said.json["candidates"] == 50
    assert said.json["currency"] == "EUR"
    assert said.json["cost"] == pytest.approx(sum(row["cost"] for row in said.json["stages"]))
    shown = ancestra("plan", path)
    assert "64×64, 25−3 = 22 frames at 16" in shown.out
    assert "anc_010_0010: 24 frames and 4 on each side at 24 per second" in shown.out


def test_the_schema_is_json_schema(ancestra: Ancestra) -> None:
    said = ancestra("schema")
    assert said.code == 0
    assert said.json["$schema"].startswith("https://json-schema.org/")
