import json
import os
import signal
import subprocess
import sys

import pytest

from ancestra_farm.ledger.errors import LogDamaged, StoreInUse, StoreRefused, Superseded
from ancestra_farm.ledger.gc import GRACE_S, Pile, gc
from ancestra_farm.ledger.liveness import Presence
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.read import candidates
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tables import rebuild
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.ledger.verify import verify
from ancestra_farm.plan.events import MediaCollected
from ancestra_farm.plan.farm_events import SettingsGiven
from tests.ledger.film import Film, plan_of, submitted

#: Two days after whatever is written in a test; attempts of a film are of 2023.
LATER = 2 * GRACE_S
OLD_S = 30 * 24 * 3600.0


def filmed(store: Store) -> Film:
    """A film whose rejects were kept: position 1 of the stills is one, and position 3 a near-duplicate of 2."""
    film = Film(plan_of(), store=store)
    writer = Writer.begin(store, "ann", "run", clock=lambda: 1.7e9)
    writer.commit([submitted(film.plan)])
    for events in film.whole():
        kept = []
        for event in events:
            if getattr(event, "cause", "") == "judged" and not event.passed:
                event = film.attempt("still", event.position, event.rung, passed=False, media=film.put("a reject"))  # noqa: PLW2901
            kept.append(event)
        writer.commit(kept)
    rebuild(store)
    return film


def later(store: Store) -> float:
    return max(store.modified(path) for path in store.list("media")) + LATER


def media_of(store: Store, outcome: str) -> set[str]:
    rows = candidates(store).to_pylist()
    return {row["media"] for row in rows if row["outcome"] == outcome and row["media"]}


def test_only_what_nothing_names_is_collected(store: Store):
    filmed(store)
    before = set(store.list("media"))
    orphan = store.put_media(b"left by a killed host", "png")
    swept = gc(store, "ann", now=later(store))
    assert swept.orphans == Pile(1, 21)
    assert swept.rejects == Pile()
    assert set(store.list("media")) == before
    assert orphan not in before
    assert verify(store).problems == ()
    assert gc(store, "ann", now=later(store)).orphans == Pile()


def test_what_is_young_stays_since_a_host_may_be_about_to_name_it(store: Store):
    filmed(store)
    store.put_media(b"left by a killed host", "png")
    swept = gc(store, "ann", rejects_older_than_s=0.0)
    assert (swept.orphans, swept.rejects) == (Pile(), Pile())
    assert swept.young.files >= 2


def test_an_old_orphan_that_is_put_again_is_young(local_store: Store):
    filmed(local_store)
    path = local_store.put_media(b"left by a killed host", "png")
    os.utime(local_store.local_path(path), (1.0, 1.0))
    assert gc(local_store, "ann", dry_run=True).orphans.files == 1
    assert local_store.put_media(b"left by a killed host", "png") == path
    assert gc(local_store, "ann", dry_run=True).orphans.files == 0


def test_old_rejects_go_when_asked_and_their_rows_say_so(store: Store):
    filmed(store)
    rejected, survivors = media_of(store, "rejected"), media_of(store, "survivor")
    assert len(rejected) == 2
    swept = gc(store, "noor", rejects_older_than_s=OLD_S, now=later(store))
    assert (swept.rejects.files, swept.candidates) == (2, 2)
    left = set(store.list("media"))
    assert not rejected & left
    assert survivors <= left
    assert media_of(store, "rejected") == set()
    assert all(row["thumbnail"] for row in candidates(store).to_pylist() if row["outcome"] == "rejected")
    said = [event for commit in read_commits(store) for event in commit.events if isinstance(event, MediaCollected)]
    assert [(event.who, len(event.candidate_ids)) for event in said] == [("noor", 2)]
    assert verify(store).problems == ()


def test_rejects_of_late_stay(local_store: Store):
    filmed(local_store)
    swept = gc(local_store, "ann", rejects_older_than_s=OLD_S, now=1.7e9 + LATER)
    assert swept.rejects == Pile()


def test_what_was_picked_stays_with_everything_it_was_made_from(local_store: Store):
    film = filmed(local_store)
    # A person picked the near-duplicate once and took it back: it stays all the same, and so does the reject's medium
    # where another row has the very same bytes.
    duplicate = film.id_of("still", 3)
    Writer.begin(local_store, "ann", "pick").commit(
        [film.order("pick", duplicate, "ben"), film.order("unpick", duplicate, "ben")]
    )
    kept = next(row["media"] for row in candidates(local_store).to_pylist() if row["candidate_id"] == duplicate)
    swept = gc(local_store, "ann", rejects_older_than_s=OLD_S, now=later(local_store))
    assert swept.candidates == 1
    assert local_store.exists(kept)


def test_a_dry_run_says_the_same_and_changes_nothing(local_store: Store):
    filmed(local_store)
    local_store.put_media(b"left by a killed host", "png")
    before = {path: local_store.read(path) for path in local_store.list()}
    now = later(local_store)
    said = gc(local_store, "ann", rejects_older_than_s=OLD_S, dry_run=True, now=now)
    assert {path: local_store.read(path) for path in local_store.list()} == before
    assert gc(local_store, "ann", rejects_older_than_s=OLD_S, now=now) == said


def test_files_in_the_making_go_when_nobody_can_be_making_them(local_store: Store):
    filmed(local_store)
    old, new = (local_store.local_path("media").parent / f".tmp-{name}" for name in ("old", "new"))
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (1.0, 1.0))
    local_store.create("probe/x/00", b"left by a killed probe")
    os.utime(local_store.local_path("probe/x/00"), (1.0, 1.0))
    assert gc(local_store, "ann").leftovers == Pile(2, 26)
    assert not old.exists()
    assert new.exists()
    assert local_store.list("probe") == []


def test_beside_a_controller_it_is_only_said_what_would_go(local_store: Store):
    filmed(local_store)
    local_store.put_media(b"left by a killed host", "png")
    now = later(local_store)
    Presence.here("ann", 1).write(local_store)
    with pytest.raises(StoreInUse, match=r"ann .* is at work there; nothing was collected"):
        gc(local_store, "noor", now=now)
    assert gc(local_store, "noor", dry_run=True, now=now).orphans.files == 1


def test_it_stops_when_somebody_begins_to_write(local_store: Store, monkeypatch: pytest.MonkeyPatch):
    filmed(local_store)
    orphan = local_store.put_media(b"left by a killed host", "png")
    from ancestra_farm.ledger import gc as module

    monkeypatch.setattr(module, "reached", lambda _: Writer.begin(local_store, "ben", "run"))
    with pytest.raises(Superseded):
        gc(local_store, "ann", now=later(local_store))
    assert local_store.exists(orphan)


def test_nothing_is_collected_from_a_log_that_cannot_be_read(local_store: Store):
    filmed(local_store)
    local_store.local_path("log/00000003.parquet").write_bytes(b"")
    before = local_store.list("media")
    with pytest.raises(LogDamaged):
        gc(local_store, "ann", rejects_older_than_s=0.0, now=later(local_store))
    assert local_store.list("media") == before


def test_what_a_killed_collection_left_goes_the_next_time(local_store: Store):
    filmed(local_store)
    rejected = media_of(local_store, "rejected")
    for path in local_store.list("media"):
        os.utime(local_store.local_path(path), (1.0, 1.0))
    script = (
        "import sys; from ancestra_farm.ledger.store import Store; from ancestra_farm.ledger.gc import gc\n"
        "gc(Store.open(sys.argv[1]), 'ann', rejects_older_than_s=1.0)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, local_store.url],
        env={**os.environ, "ANCESTRA_KILL_AT": "gc.after_commit_before_deletes"},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert rejected <= set(local_store.list("media"))
    assert verify(local_store).problems == ()
    assert gc(local_store, "ann").orphans.files == 2
    assert not rejected & set(local_store.list("media"))


@pytest.mark.parametrize(
    "path", ["log/00000001.parquet", "STORE", "deliveries/a/b", "media/ab/x.png", "media/../STORE"]
)
def test_the_way_to_delete_media_leads_to_nothing_else(local_store: Store, path: str):
    with pytest.raises(StoreRefused):
        local_store.delete_collected(path)
    with pytest.raises(StoreRefused):
        local_store.delete_leftover(path)


def test_a_reject_whose_medium_was_collected_is_made_again_when_restored(local_store: Store):
    from tests.scheduler.world import STILLS, World, batch_of

    def keeping(fate: World) -> None:
        fate.fate.writes = lambda ticket, passed, cause: cause == "judged"

    world = World(seed=1, check=True)
    keeping(world)
    world.submit(batch_of(f"{{still: {STILLS}}}", shots=1))
    world.run()
    branch = next(iter(world.scheduler.state.batches["b"].branches.values()))
    first, second = [r.candidate_id for r in branch.results["full"].values() if r.outcome == "rejected"][:2]
    world.log.append(MediaCollected("b", (first,), "ann", 1.0))
    again = World(seed=2, check=True, log=world.log)
    keeping(again)
    for name in (first, second):
        again.order("restore", "s000", "still", name)
    again.run()
    made = [ticket.space.id_of(p, ticket.rung) for ticket in again.dispatched for p in ticket.positions]
    assert made == [first]
    assert {first, second} <= set(again.survivors()["s000", "still"])


def test_the_command_counts_in_files_and_bytes(local_store: Store):
    from typer.testing import CliRunner

    from ancestra_farm.cli.main import app

    filmed(local_store)
    path = local_store.put_media(b"left by a killed host", "png")
    os.utime(local_store.local_path(path), (1.0, 1.0))
    ran = CliRunner().invoke(app, ["gc", "--store", local_store.url, "--dry-run"])
    assert ran.exit_code == 0, "nobody has to say who they are"
    asked = ["gc", "--store", local_store.url, "--as", "ann", "--rejects-older-than", "30"]
    ran = CliRunner().invoke(app, [*asked, "--dry-run", "--json"])
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    assert (found["dry_run"], found["orphans"]) == (True, {"files": 1, "bytes": 21})
    ran = CliRunner().invoke(app, asked)
    assert "1 media that nothing names, 21 bytes: collected" in ran.stdout
    assert not local_store.exists(path)


def test_rejects_go_after_the_days_that_their_show_keeps_them(local_store: Store):
    film = filmed(local_store)
    show = film.plan.batch.show
    assert media_of(local_store, "rejected")
    for days, goes in ((None, False), (36_500.0, False), (5.0, True)):
        document = json.dumps({"schema": "ancestra/show/v1", "show": show, "retention": {"rejects_days": days}})
        Writer.begin(local_store, "ann", "settings").commit([SettingsGiven("show", show, document, "ann", 1.0)])
        swept = gc(local_store, "ann", dry_run=True, now=later(local_store))
        assert bool(swept.candidates) == goes, days
    other = json.dumps({"schema": "ancestra/show/v1", "show": "another", "retention": {"rejects_days": 0}})
    none = json.dumps({"schema": "ancestra/show/v1", "show": show})
    Writer.begin(local_store, "ann", "settings").commit(
        [SettingsGiven("show", "another", other, "ann", 1.0), SettingsGiven("show", show, none, "ann", 1.0)]
    )
    assert gc(local_store, "ann", dry_run=True, now=later(local_store)).candidates == 0
    assert gc(local_store, "ann", dry_run=True, rejects_older_than_s=0.0, now=later(local_store)).candidates
