import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ancestra_farm.cli import status as status_command
from ancestra_farm.cli.listing import json_keys
from ancestra_farm.ledger.store import Store
from tests.cli.conftest import Ancestra
from tests.cli.small_farm import SmallFarm, batch_file, submission


def test_status_counts_what_the_tables_count(ancestra: Ancestra, finished: Store) -> None:
    said = ancestra("status", "--store", finished.url, "--json")
    assert said.code == 0
    assert said.json["at_work"] is None
    rows = {(row["shot"], row["stage"]): row for row in said.json["stages"]}
    for (shot, stage), row in rows.items():
        listed = ancestra(
            "manifest", "--store", finished.url, "--shot", shot, "--where", f"stage={stage}", "--json"
        ).json
        assert row["released"] == len(listed)
        assert row["survivors"] == sum(one["outcome"] == "survivor" for one in listed)
        assert row["rejected"] == sum(one["outcome"] == "rejected" for one in listed)
    assert [shot["state"] for shot in said.json["shots"]] == ["done", "done"]


def test_the_keys_of_status_are_in_its_help(ancestra: Ancestra, finished: Store) -> None:
    said = ancestra("status", "--store", finished.url, "--json").json
    assert all(key in status_command.EPILOG for key in said)
    assert all(key in status_command.EPILOG for key in said["stages"][0])
    assert json_keys(status_command.StageRow) == f"JSON keys: {', '.join(said['stages'][0])}."


def test_status_says_each_shot_in_a_line(ancestra: Ancestra, finished: Store) -> None:
    said = ancestra("status", "--store", finished.url, "anc_010_0010")
    assert said.code == 0
    last = said.out.splitlines()[-1]
    assert last.startswith("anc_010_0010  24 stills → ")
    assert last.endswith(" → 2 animated → 1 clip, 24 frames and 4 + 4 handles")


def test_status_says_that_nobody_goes_on_with_what_is_unfinished(ancestra: Ancestra, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"), create=True)
    SmallFarm(store).work(submission(batch_file(tmp_path)), most=12)
    said = ancestra("status", "--store", store.url)
    assert said.code == 0
    assert "nobody is at work" in said.out
    assert f"2 of 2 shots are unfinished, and nothing of them goes on: ancestra resume --store {store.url}" in said.out
    assert f"ancestra up --store {store.url} (on a cluster)" in said.out
    assert "at rest" in said.out
    assert "running" not in said.out
    assert ancestra("status", "--store", store.url, "--json").json["go_on"] == f"ancestra resume --store {store.url}"


def test_status_of_what_is_done_asks_for_nobody(ancestra: Ancestra, finished: Store) -> None:
    assert ancestra("status", "--store", finished.url, "--json").json["go_on"] is None
    assert "resume" not in ancestra("status", "--store", finished.url).out


def test_a_shot_that_is_not_there_is_bad_input_and_says_which_are(ancestra: Ancestra, finished: Store) -> None:
    said = ancestra("status", "--store", finished.url, "anc_999")
    assert said.code == 2
    assert "anc_010_0010" in said.err
    assert ancestra("explain", "--store", finished.url, "--batch", "other").code == 2


def test_the_store_comes_from_the_environment(
    ancestra: Ancestra, finished: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANCESTRA_STORE", finished.url)
    assert ancestra("status").code == 0
    assert ancestra("verify").code == 0


def test_a_store_that_is_not_there_is_bad_input_and_is_not_made(ancestra: Ancestra, tmp_path: Path) -> None:
    for command in (("status",), ("watch",), ("explain",), ("manifest",), ("resume",), ("why", "abcdef")):
        said = ancestra(*command, "--store", tmp_path / "nothing")
        assert said.code == 2, command
        assert "no store" in said.err
    assert not (tmp_path / "nothing").exists()


def test_a_shot_in_two_batches_asks_which(ancestra: Ancestra, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"), create=True)
    path = batch_file(tmp_path)
    farm = SmallFarm(store)
    farm.work(submission(path))
    path.write_text(path.read_text().replace("batch: demo", "batch: second"))
    farm.work(submission(path))
    said = ancestra("stitch", "anc_010_0010", "--store", store.url)
    assert said.code == 2
    assert "--batch" in said.err
    assert ancestra("stitch", "anc_010_0010", "--store", store.url, "--batch", "second").code == 0
    one = ancestra("manifest", "--store", store.url, "--batch", "second", "--json").json[0]["candidate_id"]
    assert "--batch" in ancestra("why", one, "--store", store.url).err
    assert ancestra("why", one, "--store", store.url, "--batch", "second").code == 0


def test_shots_of_the_same_name_are_told_apart_by_their_batch(ancestra: Ancestra, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"), create=True)
    path = batch_file(tmp_path, "select: close")
    SmallFarm(store).work(submission(path))
    alone = ancestra("status", "--store", store.url).out
    assert "demo" not in alone, "one batch needs no name before each of its shots"
    path.write_text(path.read_text().replace("batch: demo", "batch: second"))
    SmallFarm(store).work(submission(path))
    for command in (("status",), ("watch", "--once")):
        lines = ancestra(*command, "--store", store.url).out.splitlines()
        for batch in ("demo", "second"):
            assert any(line.startswith(f"{batch} anc_010_0010") and "24 stills" in line for line in lines), command
    rows = ancestra("manifest", "--store", store.url).out.splitlines()
    assert rows[0].startswith("batch ")
    assert {row.split()[0] for row in rows[1:]} == {"demo", "second"}
    watched = ancestra("watch", "--once", "--store", store.url).out
    assert "second anc_010_0010 still: waiting for people" in watched
    one = ancestra("manifest", "--store", store.url, "--where", "outcome=survivor", "--json").json[0]
    picked = ancestra("pick", one["candidate_id"], "--store", store.url, "--batch", one["batch"])
    said = picked.out.splitlines()[-1].partition("ancestra ")[2].split()
    assert ancestra(*said).code == 0, "what is said next can be given as it stands"


def test_status_says_how_a_batch_stands_in_line_where_somebody_ordered_it(ancestra: Ancestra, waiting: Store) -> None:
    at = ("--store", waiting.url)
    assert "class" not in ancestra("status", *at).out
    assert ancestra("priority", "dailies", "--weight", "2", *at).code == 0
    assert ancestra("pause", *at).code == 0
    assert ["demo", "dailies", "2.00", "paused"] in [line.split() for line in ancestra("status", *at).out.splitlines()]
    assert ancestra("status", *at, "--json").json["batches"] == [
        {"batch": "demo", "priority": "dailies", "weight": 2.0, "paused": True}
    ]
    assert ancestra("unpause", *at).code == 0
    orders = ancestra("manifest", "--table", "orders", *at, "--json").json
    assert [one["order"] for one in orders] == ["priority", "pause", "unpause"], "in the order they were given"


def test_explain_says_something_of_every_shot(ancestra: Ancestra, waiting: Store) -> None:
    rows = ancestra("explain", "--store", waiting.url, "--json").json
    assert [row["shot"] for row in rows] == ["anc_010_0010", "anc_010_0020"]
    assert all(row["state"] == "waiting_for_people" for row in rows)
    assert any("waits for a person" in sentence for sentence in rows[0]["says"])


def test_watch_reads_a_store_that_is_being_written(ancestra: Ancestra, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"), create=True)
    SmallFarm(store).work(submission(batch_file(tmp_path)), most=6)
    halfway = ancestra("watch", "--store", store.url, "--once")
    assert halfway.code == 0
    assert "anc_010_0010 still: running" in halfway.out
    SmallFarm(store).work()
    done = ancestra("watch", "--store", store.url)
    assert done.code == 0
    assert "anc_010_0010: done, auto-" in done.out
    assert "2 of 2 shots" in done.out


def test_why_tells_one_candidates_whole_story(ancestra: Ancestra, finished: Store) -> None:
    rows = ancestra(
        "manifest", "--store", finished.url, "--shot", "anc_010_0010", "--where", "stage=still", "--json"
    ).json
    best = max((row for row in rows if row["outcome"] == "survivor"), key=lambda row: row["scores"]["quality"])
    said = ancestra("why", best["candidate_id"][:9], "--store", finished.url, "--json").json
    assert said["recipe"]["seed"] == best["seed"]
    assert said["media"] == best["media"]
    kinds = [line["event"] for line in said["story"]]
    assert kinds == ["WaveReleased", "AttemptEnded", "WaveClosed", "BranchClosed", "StageClosed", "BranchOpened"]
    assert said["story"][-1]["says"] == "is an input of animate (anc_010_0010/animate/0)"
    reject = next(row for row in rows if row["outcome"] == "rejected")
    told = ancestra("why", reject["candidate_id"], "--store", finished.url).out
    assert "rejected by blur" in told
    assert reject["prompt"] in told


def test_why_follows_a_candidate_into_its_version(ancestra: Ancestra, finished: Store) -> None:
    version = ancestra("stitch", "anc_010_0010", "--store", finished.url, "--json").json[0]
    told = ancestra("why", version["chain"][0], "--store", finished.url).out
    assert f"goes into {version['version']} of anc_010_0010" in told
    assert f"{version['version']} published, 32 frames" in told


def test_why_refuses_what_is_no_id_or_names_none_or_several(ancestra: Ancestra, finished: Store) -> None:
    assert "hex digits" in ancestra("why", "xyz", "--store", finished.url).err
    said = ancestra("why", "0" * 31, "--store", finished.url)
    assert said.code == 2
    assert "no released candidate" in said.err


def test_why_finds_what_was_released_and_not_tried(ancestra: Ancestra, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"), create=True)
    SmallFarm(store).work(submission(batch_file(tmp_path)), most=2)
    rows = ancestra("manifest", "--store", store.url, "--outcome", "released", "--json").json
    untried = next(row for row in rows if row["attempts"] == 0)
    told = ancestra("why", untried["candidate_id"], "--store", store.url)
    assert told.code == 0
    assert "released in wave 0" in told.out
    assert "attempt" not in told.out


def test_manifest_filters_by_column_and_score(ancestra: Ancestra, finished: Store) -> None:
    every = ancestra("manifest", "--store", finished.url, "--json").json
    some = ancestra(
        "manifest", "--store", finished.url, "--where", "quality>=0.5", "--outcome", "survivor", "--json"
    ).json
    wanted = [row for row in every if row["outcome"] == "survivor" and row["scores"]["quality"] >= 0.5]
    assert some == wanted
    assert len(every) == 50


def test_manifest_is_current_though_the_tables_are_not(ancestra: Ancestra, waiting: Store) -> None:
    one = ancestra("manifest", "--store", waiting.url, "--outcome", "survivor", "--json").json[0]["candidate_id"]
    assert ancestra("pick", one, "--store", waiting.url, "--as", "bo", "--note", "calm").code == 0
    picks = ancestra("manifest", "--store", waiting.url, "--table", "picks", "--json").json
    assert [(pick["candidate_id"], pick["who"]) for pick in picks] == [(one, "bo")]
    assert picks[0]["note"].startswith("calm (given by "), "who gave it for bo stands with it"


def test_manifest_exports_csv_and_parquet_with_the_same_rows(
    ancestra: Ancestra, finished: Store, tmp_path: Path
) -> None:
    rows = ancestra("manifest", "--store", finished.url, "--json").json
    as_csv = list(csv.DictReader(io.StringIO(ancestra("manifest", "--store", finished.url, "--format", "csv").out)))
    assert [row["candidate_id"] for row in as_csv] == [row["candidate_id"] for row in rows]
    assert json.loads(as_csv[0]["scores"]) == rows[0]["scores"]
    out = tmp_path / "rows.parquet"
    said = ancestra("manifest", "--store", finished.url, "--format", "parquet", "--out", out)
    assert said.out.strip() == f"50 rows in {out}"
    assert pq.read_table(out).column("candidate_id").to_pylist() == [row["candidate_id"] for row in rows]


def test_manifest_writes_what_the_name_of_the_file_says(ancestra: Ancestra, finished: Store, tmp_path: Path) -> None:
    for name in ("rows.parquet", "rows.csv", "rows.json"):
        assert ancestra("manifest", "--store", finished.url, "--out", tmp_path / name).code == 0
    assert pq.read_table(tmp_path / "rows.parquet").num_rows == 50
    assert len(list(csv.DictReader(io.StringIO((tmp_path / "rows.csv").read_text())))) == 50
    assert len(json.loads((tmp_path / "rows.json").read_text())) == 50


def test_manifest_knows_what_a_misspelt_score_was_meant_to_be(ancestra: Ancestra, finished: Store) -> None:
    said = ancestra("manifest", "--store", finished.url, "--where", "qualty>0.8")
    assert (said.code, said.err) == (2, "there is no column or score 'qualty'; did you mean quality?\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--table", "shots"),
        ("--format", "xml"),
        ("--format", "parquet"),
        ("--where", "quality"),
        ("--where", "colour=red"),
        ("--where", "attempts=many"),
        ("--where", "parents=a"),
        ("--where", "judged_in_full=maybe"),
        ("--columns", "candidate_id,colour"),
        ("--table", "picks", "--outcome", "survivor"),
        ("--outcome", "surviver"),
        ("--shot", "anc_010_0099"),
        ("--batch", "other"),
    ],
)
def test_manifest_refuses_what_it_cannot_answer(
    ancestra: Ancestra, finished: Store, arguments: tuple[str, ...]
) -> None:
    said = ancestra("manifest", "--store", finished.url, *arguments)
    assert said.code == 2
    assert said.err.strip()
    assert "unexpected" not in said.err


def test_verify_is_quiet_about_a_sound_store_and_names_a_damaged_file(ancestra: Ancestra, waiting: Store) -> None:
    good = ancestra("verify", waiting.url, "--json")
    assert good.code == 0
    assert good.json["good"] is True
    assert good.json["candidates"] == 48
    medium = next(path for path in waiting.list("media"))
    where = waiting.local_path(medium)
    assert where is not None
    where.write_bytes(b"not what it was")
    bad = ancestra("verify", waiting.url)
    assert bad.code == 1
    assert medium in bad.out


def test_verify_is_told_the_store_as_other_commands_are_too(ancestra: Ancestra, finished: Store) -> None:
    assert ancestra("verify", "--store", finished.url).out == ancestra("verify", finished.url).out
    said = ancestra("verify")
    assert (said.code, said.err) == (2, "say which store: ancestra verify STORE\n")
