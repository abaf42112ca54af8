import itertools
import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from ancestra_farm.ledger import columns
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.read import candidates, deliveries, picks, read_table, stitches
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tables import Projection, decode_part, rebuild
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.ledger.verify import same_rows
from ancestra_farm.plan.events import EpochTaken, Event
from tests.ledger.film import Film, plan_of, shoot, submitted


def folded(events: Iterable[Event]) -> Projection:
    projection = Projection()
    projection.apply(EpochTaken(1, "ann", "run", 0.0))
    for event in events:
        projection.apply(event)
    assert projection.oddities == []
    return projection


def rows(projection: Projection, table: str = "candidates", shot: str = "anc_010_0010") -> list[dict]:
    return projection.table(table, "womb.v1", shot).to_pylist()


def outcomes(projection: Projection) -> list[tuple[str, str, int, str]]:
    return [(row["stage"], row["rung"], row["position"], row["outcome"]) for row in rows(projection)]


@pytest.fixture
def film() -> Film:
    return Film(plan_of())


@pytest.fixture
def begun(film: Film) -> list[Event]:
    """A batch submitted, its drafts' first wave released."""
    return [submitted(film.plan), film.opened("still"), film.released("still", 0, 0, 4, "draft")]


def test_a_whole_shot_ends_with_one_outcome_each(film: Film):
    events = [submitted(film.plan), *itertools.chain.from_iterable(film.whole())]
    assert outcomes(folded(events)) == [
        ("still", "draft", 0, "not_promoted"),
        ("still", "draft", 1, "rejected"),
        ("still", "draft", 2, "promoted"),
        ("still", "draft", 3, "promoted"),
        ("still", "full", 2, "survivor"),
        ("still", "full", 3, "rejected"),
        ("still", "draft", 4, "skipped"),
        ("still", "draft", 5, "skipped"),
        ("still", "draft", 6, "skipped"),
        ("still", "draft", 7, "skipped"),
        ("animate", "full", 0, "survivor"),
        ("animate", "full", 1, "quarantined"),
    ]
    assert folded(events).undecided() == (0, [])


def test_a_released_candidate_has_a_row_with_what_its_recipe_says(film: Film, begun: list[Event]):
    row = rows(folded(begun))[3]
    recipe = film.spaces[film.branch("still")].recipe(3, "draft")
    for name in [
        "candidate_id",
        "shot",
        "stage",
        "segment",
        "variant",
        "index",
        "seed",
        "rung",
        "model",
        "model_digest",
        "look",
        "prompt",
        "frames",
    ]:
        assert row[name] == getattr(recipe, name), name
    assert (row["width"], row["height"]) == recipe.size
    assert tuple(row["parents"]) == recipe.parents
    assert (row["batch"], row["show"], row["branch"], row["position"], row["wave"]) == (
        "womb.v1",
        "anc",
        "anc_010_0010/still/0",
        3,
        0,
    )
    assert (row["outcome"], row["attempts"], row["passed"], row["finished_at"]) == ("released", 0, None, None)
    assert (row["full_sample"], row["epoch"]) == (0.25, 1)


def test_parents_are_named(film: Film):
    events = [submitted(film.plan), *itertools.chain.from_iterable(film.whole())]
    clip = rows(folded(events))[-2]
    assert clip["parents"] == [film.id_of("still", 2)]


def test_an_attempt_fills_its_row(film: Film, begun: list[Event]):
    ended = film.attempt("still", 2, "draft", passed=False)
    row = rows(folded([*begun, ended]))[2]
    for name in [
        "reasons",
        "media",
        "thumbnail",
        "generate_s",
        "judge_s",
        "device_s",
        "host",
        "judged_in_full",
        "phash",
        "passed",
    ]:
        expected = getattr(ended, name)
        assert row[name] == (list(expected) if isinstance(expected, tuple) else expected), name
    assert dict(row["scores"]) == ended.scores
    assert row["finished_at"].timestamp() == pytest.approx(ended.at, abs=1e-6)
    assert (row["outcome"], row["attempts"]) == ("rejected", 1)


def test_what_passed_waits_for_its_wave(film: Film, begun: list[Event]):
    row = rows(folded([*begun, film.attempt("still", 2, "draft")]))[2]
    assert (row["outcome"], row["passed"]) == ("released", True)


def test_failed_attempts_are_counted_and_cost_what_they_cost(film: Film, begun: list[Event]):
    attempts = [film.attempt("still", 1, "draft", cause=cause) for cause in ("crash", "aborted", "host_lost")]
    row = rows(folded([*begun, *attempts, film.attempt("still", 1, "draft")]))[1]
    assert (row["attempts"], row["device_s"], row["generate_s"]) == (4, 2.0, 0.25)
    assert (row["passed"], row["message"]) == (True, "")


def test_a_second_verdict_never_counts(film: Film, begun: list[Event]):
    first, second = film.attempt("still", 1, "draft"), film.attempt("still", 1, "draft", passed=False)
    row = rows(folded([*begun, first, second]))[1]
    assert (row["passed"], row["media"], row["attempts"], row["outcome"]) == (True, first.media, 2, "released")


def test_a_verdict_after_the_decision_does_not_undo_it(film: Film, begun: list[Event]):
    skipped = film.wave_closed("still", 0, "draft", skipped=(0, 1, 2, 3))
    row = rows(folded([*begun, skipped, film.attempt("still", 1, "draft")]))[1]
    assert (row["outcome"], row["passed"], row["attempts"]) == ("skipped", None, 1)


def test_a_duplicate_names_its_original(film: Film):
    events = [submitted(film.plan), *itertools.chain.from_iterable(film.whole())]
    row = rows(folded(events))[5]
    assert (row["reasons"], row["duplicate_of"], row["passed"]) == (["duplicate"], film.id_of("still", 2), True)


def test_who_was_given_up_says_why(film: Film):
    events = [submitted(film.plan), *itertools.chain.from_iterable(film.whole())]
    row = rows(folded(events))[-1]
    assert row["reasons"] == ["three strikes: exception happened"]
    assert (row["message"], row["attempts"]) == ("exception happened", 3)


def test_picks_are_per_person_and_can_be_withdrawn(film: Film):
    events = [submitted(film.plan), *itertools.chain.from_iterable(film.whole())]
    found = rows(folded(events), "picks")
    assert [(row["who"], row["note"], row["stage"], row["withdrawn_at"] is None) for row in found] == [
        ("ann", "the light", "animate", True),
        ("ben", "", "animate", False),
    ]


def test_a_pick_again_is_a_row_again(film: Film, begun: list[Event]):
    name = film.id_of("still", 0)
    orders = [film.order(order, name) for order in ("pick", "unpick", "pick")]
    assert [row["withdrawn_at"] is None for row in rows(folded([*begun, *orders]), "picks")] == [False, True]


def test_a_stitch_and_its_files_have_rows(film: Film):
    events = [submitted(film.plan), *itertools.chain.from_iterable(film.whole())]
    projection = folded(events)
    (stitch,) = rows(projection, "stitches")
    assert (stitch["state"], stitch["version"], stitch["frames"], stitch["chain"]) == (
        "done",
        "v001",
        17,
        [film.id_of("animate", 0)],
    )
    assert stitch["seams"] == [[("frame_difference", 0.5)]]
    files = rows(projection, "deliveries")
    assert [row["kind"] for row in files] == ["mp4", "otio", "report"]
    assert {row["rate"] for row in files} == {"16"}
    assert files[0]["path"] == "deliveries/anc/anc_010_0010/v001/shot.mp4"


def test_a_failed_stitch_delivers_nothing(film: Film, begun: list[Event]):
    from dataclasses import replace

    planned, ended = film.stitched(("a", "b"))
    failed = replace(ended, ok=False, files={}, sha256={}, bad_pair=("a", "b"), message="seam")
    projection = folded([*begun, planned, failed])
    (stitch,) = rows(projection, "stitches")
    assert (stitch["state"], stitch["bad_pair"], stitch["message"]) == ("failed", ["a", "b"], "seam")
    assert rows(projection, "deliveries") == []


# ---- revisions and rounds ------------------------------------------------------------------------------------------


def test_a_newer_revision_keeps_rows_and_takes_known_verdicts_over(film: Film, begun: list[Event]):
    judged = [film.attempt("still", n, "draft", passed=n != 1) for n in range(3)]
    newer = Film(plan_of(("the sea at dawn", "light like petals")))
    events = [
        *begun,
        *judged,
        submitted(newer.plan, 2.0),
        newer.opened("still"),
        newer.released("still", 0, 0, 8, "draft"),
    ]
    projection = folded(events)
    found = rows(projection)
    assert len(found) == 4 + 4  # every other position is the wording there was before
    assert [row["outcome"] for row in found[:4]] == ["released", "rejected", "released", "released"]
    assert [row["passed"] for row in found[:4]] == [True, False, True, None]
    kept = [n for n in range(8) if newer.spaces[newer.branch("still")].place(n)[1].prompt == "the sea at dawn"]
    closed = newer.wave_closed("still", 0, "draft", promoted=(kept[0],))
    assert [row["outcome"] for row in rows(folded([*events, closed]))[:4]] == [
        "promoted",
        "rejected",
        "not_promoted",
        "released",
    ]


def test_a_newer_revision_skips_what_it_does_not_want(film: Film, begun: list[Event]):
    newer = Film(plan_of(("something else",)))
    late = film.attempt("still", 0, "draft")
    projection = folded([*begun, submitted(newer.plan, 2.0), late])
    assert [row["outcome"] for row in rows(projection)] == ["skipped"] * 4
    assert rows(projection)[0]["attempts"] == 1
    assert projection.undecided() == (0, [])


def test_what_was_given_up_is_tried_again_by_a_newer_revision(film: Film, begun: list[Event]):
    given_up = film.given_up("still", 0, "draft")
    again = [submitted(film.plan, 2.0), film.opened("still"), film.released("still", 0, 0, 4, "draft")]
    projection = folded([*begun, given_up, *again, film.attempt("still", 0, "draft")])
    row = rows(projection)[0]
    assert (row["outcome"], row["passed"], row["reasons"]) == ("released", True, [])


def test_a_reject_that_is_judged_anew_after_a_revision_takes_the_new_verdict(film: Film, begun: list[Event]):
    again = [submitted(film.plan, 2.0), film.opened("still"), film.released("still", 0, 0, 4, "draft")]
    events = [*begun, film.attempt("still", 0, "draft", passed=False), *again]
    assert rows(folded(events))[0]["outcome"] == "rejected"
    assert rows(folded([*events, film.attempt("still", 0, "draft")]))[0]["passed"] is True


def test_a_later_round_has_no_second_row_for_the_same_candidate(film: Film, begun: list[Event]):
    closed = film.wave_closed("still", 0, "draft", skipped=(0, 1, 2, 3))
    events = [*begun, closed, film.closed("still", "superseded"), film.opened("still", generation=2)]
    film.branch = lambda stage: f"anc_010_0010/{stage}/0/2"
    events.append(film.released("still", 0, 0, 4, "draft"))
    found = rows(folded(events))
    assert len(found) == 4
    assert {row["outcome"] for row in found} == {"released"}
    assert folded(events).undecided() == (4, [])


def test_what_the_log_cannot_mean_is_said(film: Film, begun: list[Event]):
    from dataclasses import replace

    stranger = replace(film.attempt("still", 0, "draft"), candidate_id="f" * 32)
    projection = Projection()
    for event in [
        *begun,
        stranger,
        replace(stranger, batch="other"),
        replace(stranger, branch="nowhere/still/0"),
        film.wave_closed("still", 9),
    ]:
        projection.apply(event)
    assert [text.split(",")[0].split(" of ")[0] for text in projection.oddities] == [
        f"an attempt at {'f' * 32} in womb.v1/anc_010_0010/still/0",
        "AttemptEnded",
        "AttemptEnded",
        "wave 9 (full)",
    ]


# ---- parts ---------------------------------------------------------------------------------------------------------


def logical(store: Store) -> dict[str, pa.Table]:
    return {path: decode_part(store.read(path))[0] for path in store.list("tables") if path.endswith(".parquet")}


def test_refreshing_step_by_step_gives_what_a_rebuild_gives(store: Store):
    shoot(store, shots=("anc_010_0010", "anc_010_0020"))
    step_by_step = Projection()
    rng = random.Random(1)
    for commit in read_commits(store):
        step_by_step.fold(commit)
        if rng.random() < 0.5:
            step_by_step.refresh(store)
    step_by_step.refresh(store)
    before = logical(store)
    for path in store.list("tables"):
        store.delete(path)
    rebuild(store)
    after = logical(store)
    assert before.keys() == after.keys()
    assert len(before) == 5 * 3
    assert all(before[path].equals(after[path]) for path in before)
    bytes_before = {path: store.read(path) for path in after}
    rebuild(store)
    assert bytes_before == {path: store.read(path) for path in after}


def test_only_parts_that_changed_are_written(store: Store):
    _, second = shoot(store, stop_after=1, shots=("anc_010_0010", "anc_010_0020"))
    projection = rebuild(store)
    before = {path: store.read(path) for path in store.list("tables")}
    for event in [second.attempt("still", 0, "draft")]:
        projection.apply(event)
    assert projection.refresh(store, through=99) == 1
    changed = {path for path in store.list("tables") if store.read(path) != before.get(path)}
    assert changed == {"tables/candidates/part-womb.v1~anc_010_0020.parquet", "tables/THROUGH"}
    assert projection.refresh(store, through=99) == 0


def test_a_rebuild_removes_parts_that_no_shot_has(store: Store):
    shoot(store)
    store.replace("tables/candidates/part-other~shot.parquet", b"old")
    rebuild(store)
    assert not store.exists("tables/candidates/part-other~shot.parquet")


def test_shots_whose_names_run_together_have_parts_of_their_own(local_store: Store):
    writer = Writer.begin(local_store, "ann", "run")
    for batch, shot in (("a.b", "c"), ("a", "b.c")):
        film = Film(plan_of(shots=(shot,), batch=batch), shot)
        writer.commit([submitted(film.plan), film.opened("still"), film.released("still", 0, 0, 4, "draft")])
    rebuild(local_store)
    assert candidates(local_store, "a.b", "c").num_rows == 4
    assert candidates(local_store, "a", "b.c").num_rows == 4
    assert candidates(local_store).num_rows == 8


def test_waves_kept_as_arrays_change_like_any_others(film: Film):
    """A refresh after every event turns decided waves into arrays and back; the rows are the same."""
    events = [submitted(film.plan), *itertools.chain.from_iterable(film.whole())]
    often = Projection()
    often.apply(EpochTaken(1, "ann", "run", 0.0))
    for event in events:
        often.apply(event)
        for part in often.parts():
            often.table(*part)
    once = folded(events)
    for part in once.parts():
        assert often.table(*part).equals(once.table(*part))


# ---- readers -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["full", "empty"])
def written(request: pytest.FixtureRequest, local_store: Store) -> Path:
    if request.param == "full":
        shoot(local_store, shots=("anc_010_0010", "anc_010_0020"))
    rebuild(local_store)
    return local_store.local_path("tables")


@pytest.mark.parametrize("table", columns.TABLES)
def test_duckdb_pandas_and_polars_read_the_parts_as_they_are(written: Path, local_store: Store, table: str):
    expected = read_table(local_store, table)
    pattern = str(written / table / "part-*.parquet")
    names = columns.schema_of(table).names
    by_duckdb = duckdb.sql(f"select * from '{pattern}'")
    assert by_duckdb.columns == names
    # through Arrow: DuckDB wants pytz for Python's own times with zones
    assert by_duckdb.to_arrow_table().num_rows == expected.num_rows
    by_polars = pl.scan_parquet(pattern).collect()
    assert (by_polars.columns, by_polars.height) == (names, expected.num_rows)
    by_pandas = pd.concat(pd.read_parquet(path) for path in sorted((written / table).glob("part-*.parquet")))
    assert (list(by_pandas.columns), len(by_pandas)) == (names, expected.num_rows)


def test_duckdb_answers_what_people_ask(local_store: Store):
    shoot(local_store)
    rebuild(local_store)
    pattern = local_store.local_path("tables/candidates") / "part-*.parquet"
    counted = duckdb.sql(f"select outcome, count(*) from '{pattern}' where stage = 'still' group by all order by all")
    assert dict(counted.fetchall()) == {"not_promoted": 1, "promoted": 2, "rejected": 2, "skipped": 4, "survivor": 1}
    best = duckdb.sql(f"select scores['quality'] from '{pattern}' where outcome = 'survivor' and stage = 'still'")
    assert best.fetchall() == [(0.2,)]
    when = duckdb.sql(f"select typeof(finished_at), typeof(phash), typeof(parents) from '{pattern}' limit 1")
    assert when.fetchall() == [("TIMESTAMP WITH TIME ZONE", "UBIGINT", "VARCHAR[]")]


def test_tables_are_read_by_batch_and_shot(store: Store):
    shoot(store, shots=("anc_010_0010", "anc_010_0020"))
    assert candidates(store).num_rows == 0
    rebuild(store)
    assert candidates(store).num_rows == 24
    assert candidates(store, "womb.v1", "anc_010_0020").num_rows == 12
    assert candidates(store, "womb").num_rows == 0
    assert (picks(store).num_rows, stitches(store).num_rows, deliveries(store).num_rows) == (4, 2, 6)
    with pytest.raises(KeyError, match="there are: candidates"):
        read_table(store, "people")


def test_every_column_is_explained():
    text = columns.markdown()
    for table in columns.TABLES:
        assert f"### {table}" in text
        for field in columns.schema_of(table):
            assert field.metadata[b"doc"].decode() in text
            assert f"| `{field.name}` |" in text
    wanted = (
        "candidate_id batch show shot stage segment variant index seed rung model model_digest look parents outcome "
        "reasons judged_in_full scores media thumbnail generate_s judge_s device_s host attempts epoch finished_at"
    )
    assert set(wanted.split()) <= set(columns.candidate_schema().names)


def test_parts_carry_the_explanations_of_their_columns(local_store: Store):
    import pyarrow.parquet as pq

    rebuild(local_store)
    schema = pq.read_schema(local_store.local_path("tables/candidates/part-~.parquet"))
    assert b"recipe alone" in schema.field("candidate_id").metadata[b"doc"]


def test_rows_with_nan_scores_equal_themselves(film: Film, begun: list[Event]):
    attempt = film.attempt("still", 0, "draft", scores={"quality": float("nan")})
    projection = folded([*begun, attempt])
    part = ("candidates", "womb.v1", "anc_010_0010")
    assert same_rows(projection.table(*part), projection.table(*part))


THREADS_OF_READING = """
import os, sys
from pathlib import Path
from ancestra_farm.ledger.commit import decode_commit
from ancestra_farm.ledger.tables import decode_part

root = Path(sys.argv[1])
threads = len(os.listdir("/proc/self/task"))
for part in root.glob("tables/*/part-*.parquet"):
    decode_part(part.read_bytes())
for commit in root.glob("log/*.parquet"):
    decode_commit(f"log/{commit.name}", commit.read_bytes())
print(len(os.listdir("/proc/self/task")) - threads)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_reading_leaves_no_thread_that_could_outlive_the_interpreter(local_store: Store):
    shoot(local_store)
    rebuild(local_store)
    log = local_store.local_path("log")
    assert log is not None
    done = subprocess.run(
        [sys.executable, "-c", THREADS_OF_READING, str(log.parent)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["0"], done.stderr
