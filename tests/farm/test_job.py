"""The thin job on its own: how it is spelt, whom it gives way to, and how often it begins anew."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.farm import job as job_module
from ancestra_farm.farm.cluster import ClusterUnreachable
from ancestra_farm.farm.head import Head
from ancestra_farm.farm.job import AGAIN_S, PREFIX, STORE_KEY, JobBroke, JobLeft, Wanted, bring_up, keep_at_work, main
from ancestra_farm.farm.run import AlreadyAtWork, RunBroke, Summary
from ancestra_farm.ledger.errors import StoreUnavailable
from ancestra_farm.ledger.liveness import Presence
from ancestra_farm.ledger.store import Store
from tests.farm.test_head import TOKEN, Answer, head_that


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), create=True)


def lives(*ends: Exception | None) -> Any:
    """What happens to one controller after the other: it breaks, or is stopped."""
    left = list(ends)

    def run() -> Summary:
        end = left.pop(0)
        if end is not None:
            raise end
        return Summary("interrupted", (), (), "", 1, 1.0)

    return run


class Elsewhere:
    """A store's address that somebody thought up."""

    id = "0" * 36

    def __init__(self, url: str) -> None:
        self.url = url


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
)
def test_every_word_of_a_job_reaches_the_program_as_it_was_said(url: str, who: str) -> None:
    words = shlex.split(Wanted(who, hosts=2, metrics_port=0).command(Elsewhere(url)))  # type: ignore[arg-type]
    assert words[:3] == ["python", "-m", "ancestra_farm.farm.job"]
    assert words[words.index("--store") + 1] == url
    assert words[words.index("--as") + 1] == who


def test_a_controller_that_breaks_is_begun_anew(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    slept: list[float] = []
    assert keep_at_work(store, lives(RunBroke("killed"), RunBroke("again"), None), sleep=slept.append) == 0
    assert slept == list(AGAIN_S[:2])
    assert "begun anew" in capsys.readouterr().out


def test_a_store_that_stays_away_for_a_while_does_not_end_the_job(store: Store) -> None:
    away = StoreUnavailable("503 Slow Down")
    assert keep_at_work(store, lives(away, ClusterUnreachable("the head is coming"), None), sleep=lambda _s: None) == 0


def test_one_that_breaks_again_and_again_is_left_to_people(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    ends = [RunBroke(f"broke {n}") for n in range(len(AGAIN_S) + 1)]
    assert keep_at_work(store, lives(*ends), sleep=lambda _s: None) == 1
    assert f"given up after {len(AGAIN_S)} tries" in capsys.readouterr().err


def test_a_job_gives_way_to_whoever_is_at_work(store: Store) -> None:
    assert keep_at_work(store, lives(AlreadyAtWork("ada is at work")), sleep=lambda _s: None) == 0


def test_a_store_that_the_cluster_does_not_see_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", str(tmp_path / "no"), "--store-id", "x", "--as", "ada"]) == 1
    assert "the cluster does not see the store" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_another_store_under_the_same_address_is_said(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", store.url, "--store-id", "x", "--as", "ada"]) == 1
    assert f"is another store here (id {store.id})" in capsys.readouterr().err


def test_a_job_ends_where_somebody_shows_a_sign_of_life(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = Presence.here("ada", 3, "http://127.0.0.1:1")
    beats = iter(range(100))
    monkeypatch.setattr(job_module, "LOOK_S", 0.01)
    monkeypatch.setattr(
        job_module, "who_is_alive", lambda _store: Presence(*[*_fields(alive)[:6], alive.at + next(beats), ""])
    )
    assert main(["--store", store.url, "--store-id", store.id, "--as", "noor"]) == 0
    assert "is at work in" in capsys.readouterr().out


def _fields(presence: Presence) -> list[Any]:
    return [getattr(presence, name) for name in ("who", "host", "machine", "pid", "started", "epoch")]


def test_a_mark_that_nobody_renews_is_not_waited_for_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Presence.here("ada", 3)
    looks = iter([gone, gone, gone])
    monkeypatch.setattr(job_module, "LOOK_S", 0.01)
    monkeypatch.setattr(job_module, "who_is_alive", lambda _store: next(looks, None))
    assert job_module._somebody_else(store) is None


def test_what_a_job_said_last_is_shown_line_by_line() -> None:
    broke = JobBroke("it ended:", "\n".join(f"line {n}" for n in range(50)))
    assert str(broke).splitlines()[0] == "it ended:"
    assert str(broke).splitlines()[-1] == "line 49"
    assert len(broke.problems) == job_module.LAST_LINES


def test_what_the_door_shows_reaches_the_job() -> None:
    wanted = Wanted("ada", "0.0.0.0:8470", certificate="/etc/farm/cert.pem", key="/etc/farm/key.pem")
    words = shlex.split(wanted.command(Elsewhere("s3://b/farm")))  # type: ignore[arg-type]
    assert words[words.index("--certificate") + 1] == "/etc/farm/cert.pem"
    assert words[words.index("--key") + 1] == "/etc/farm/key.pem"
    assert "--plain-http" not in words
    plain = shlex.split(Wanted("ada", plain_http=True).command(Elsewhere("s3://b/farm")))  # type: ignore[arg-type]
    assert "--plain-http" in plain
    assert "--certificate" not in plain


def test_a_job_hands_what_the_door_shows_to_the_controller(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    given_on: list[dict[str, Any]] = []

    def run_batch(*_: object, **given: Any) -> Summary:
        given_on.append(given)
        return Summary("interrupted", (), (), "", 1, 1.0)

    monkeypatch.setattr("ancestra_farm.farm.run.run_batch", run_batch)
    base = ["--store", store.url, "--as", "ada"]
    assert main([*base, "--certificate", "/c.pem", "--key", "/k.pem"]) == 0
    assert main([*base, "--plain-http"]) == 0
    wanted = ("certificate", "key", "plain_http")
    assert [[given[name] for name in wanted] for given in given_on] == [["/c.pem", "/k.pem", False], ["", "", True]]


@pytest.mark.parametrize(
    "words", [["--certificate", "c"], ["--key", "k"], ["--certificate", "c", "--key", "k", "--plain-http"]]
)
def test_a_job_that_is_told_two_things_at_once_is_refused(store: Store, words: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--store", store.url, "--as", "ada", *words])


# ---- coming up -----------------------------------------------------------------------------------------------------


class Jobs:
    """The jobs of a head, oldest first. ``looks``: how often one is looked at until it ends, ``how``, if it does.

    The controller of one that does not end opens its door as soon as that is looked at.
    """

    def __init__(self, store: Store, *looks: int | None, how: str = "SUCCEEDED") -> None:
        self.store = store
        self.rows: list[dict[str, Any]] = []
        self.looks = list(looks)
        self.how = how

    def add(self, submission_id: str | None = None, of: str | None = None) -> None:
        """Another job of this store. ``of``: how it names the store, where that is not its id."""
        number = 1 + sum(row["submission_id"].startswith(PREFIX) for row in self.rows)
        self.rows.append({
            "submission_id": submission_id or f"{PREFIX}{self.store.id[:13]}-{number}", "status": "RUNNING",
            "metadata": {STORE_KEY: of or self.store.id}, "start_time": len(self.rows) * 1000,
        })  # fmt: skip

    def answer(self, method: str, path: str, who: str) -> Answer:
        """As Ray's head does."""
        if who != f"Bearer {TOKEN}":
            return 401, b"Unauthorized"
        if path.endswith("/logs"):
            return 200, {"logs": "interrupted"}
        if path == "/api/jobs/" and method == "GET":
            return 200, self.rows
        if method == "POST":
            self.add()
            return 200, {"submission_id": self.rows[-1]["submission_id"]}
        number = next(n for n, row in enumerate(self.rows) if path.endswith(f"/{row['submission_id']}"))
        self.look(number)
        return 200, self.rows[number]

    def look(self, number: int) -> None:
        left = self.looks[number]
        if left is None:
            Presence.here("ada", number + 1, "http://127.0.0.1:1").write(self.store)
        elif left == 0:
            self.rows[number]["status"] = self.how
        else:
            self.looks[number] = left - 1


def brought_up(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> tuple[Presence, list[str]]:
    """Who is at work once the farm is up, and what people were told."""
    told: list[str] = []
    monkeypatch.setattr(job_module, "LOOK_S", 0.01)
    with head_that(jobs.answer) as asked, Head(asked.url, token=TOKEN) as head:
        return bring_up(head, jobs.store, Wanted("ada"), patience_s=20.0, on_message=told.append), told


def test_a_farm_that_was_just_stopped_comes_up_by_the_next_job(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs(store, 2, None)
    jobs.add()
    presence, told = brought_up(jobs, monkeypatch)
    assert presence.epoch == 2
    assert [row["submission_id"][-2:] for row in jobs.rows] == ["-1", "-2"]
    assert any("was just leaving; the next one is" in one for one in told)


def test_only_one_job_is_begun_after_the_one_that_left(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs(store, 2, 2)
    jobs.add()
    with pytest.raises(JobLeft, match="before the farm was up"):
        brought_up(jobs, monkeypatch)
    assert len(jobs.rows) == 2


def test_a_job_of_ours_that_ends_at_once_is_told_and_not_begun_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(store, 1)
    with pytest.raises(JobLeft, match=r"ended \(succeeded\)"):
        brought_up(jobs, monkeypatch)
    assert len(jobs.rows) == 1


def test_a_job_that_failed_is_told_and_not_begun_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs(store, 1, None, how="FAILED")
    jobs.add()
    with pytest.raises(JobBroke, match=r"ended \(failed\)") as broke:
        brought_up(jobs, monkeypatch)
    assert not isinstance(broke.value, JobLeft)
    assert len(jobs.rows) == 1


def test_the_job_of_a_manifest_is_known_by_the_address_of_the_store(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(store, None)
    jobs.add("farm-24567", of=store.url)
    presence, told = brought_up(jobs, monkeypatch)
    assert presence.epoch == 1
    assert len(jobs.rows) == 1
    assert "job farm-24567" in told[0]


def test_the_next_job_after_that_of_a_manifest_is_the_first_of_ours(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(store, 0, None)
    jobs.add("farm-24567", of=store.url)
    jobs.rows[0]["status"] = "SUCCEEDED"
    brought_up(jobs, monkeypatch)
    assert [row["submission_id"] for row in jobs.rows] == ["farm-24567", f"{PREFIX}{store.id[:13]}-1"]
