"""The thin job on its own: how it is spelt, whom it gives way to, and how often it begins anew."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.farm import job as job_module
from ancestra_farm.farm.cluster import ClusterUnreachable
from ancestra_farm.farm.job import AGAIN_S, JobBroke, Wanted, keep_at_work, main
from ancestra_farm.farm.run import AlreadyAtWork, RunBroke, Summary
from ancestra_farm.ledger.errors import StoreUnavailable
from ancestra_farm.ledger.liveness import Presence
from ancestra_farm.ledger.store import Store


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
