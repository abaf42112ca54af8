"""The real controller on a real Ray: people come and go while it works, and it works on."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ancestra_farm.api.client import Client, EndpointGone
from ancestra_farm.api.people import NotAllowed, issue
from ancestra_farm.api.tokens import OwnToken
from ancestra_farm.farm.run import checked_submission
from ancestra_farm.ledger.liveness import who_is_alive
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.ledger.verify import verify
from ancestra_farm.plan.events import AttemptEnded, OrderGiven, WaveReleased
from tests.farm.batches import batch_document, write_batch
from tests.farm.processes import wait_for

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]


class Detached:
    """A farm in the background, as `ancestra run --detach` leaves it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = str(folder / "store")
        self.environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "USER": "ada"}

    def ancestra(self, *arguments: object, code: int | None = 0) -> str:
        """A command in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "ancestra_farm.cli.main", *map(str, arguments), "--store", self.url],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def store(self) -> Store:
        return Store.open(self.url)

    def client(self, name: str = "ada", role: Any = "operator") -> Client:
        """Somebody with a token of their own."""
        store = self.store
        client = Client.of(store, token=OwnToken(issue(store, name, role, by="tester"), name, "a test"))
        assert client is not None
        return client

    def events(self, kind: type) -> list[Any]:
        return [event for commit in read_commits(self.store) for event in commit.events if isinstance(event, kind)]


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Detached]:
    """One farm for the module; it has a batch of stills that waits for people."""
    farm = Detached(tmp_path_factory.mktemp("farm"))
    batch = write_batch(farm.folder, batch_document(candidates=8, select="close"))
    said = farm.ancestra("run", batch, "--detach", "--stay", "--cpus", 2)
    try:
        assert "the farm is at work in the background" in said
        assert "ancestra stop" in said
        yield farm
    finally:
        with suppress(AssertionError):
            farm.ancestra("stop", code=None)


def batch(name: str, **still: Any) -> dict[str, Any]:
    return {**batch_document(**still), "batch": name}


def submit(farm: Detached, client: Client, document: dict[str, Any]) -> None:
    made = checked_submission(write_batch(farm.folder, document, f"{document['batch']}.yaml"), "x")
    client.submit(made.document, made.cards)


def test_the_farm_outlives_the_command_that_started_it(farm: Detached) -> None:
    presence = who_is_alive(farm.store)
    assert presence is not None
    assert os.getsid(presence.pid) != os.getsid(0)
    logs = list((farm.folder / "state" / "ancestra" / "logs").iterdir())
    assert [path.stat().st_mode & 0o777 for path in logs] == [0o600]
    with farm.client() as client:
        wait_for(lambda: client.status().waiting)
        assert client.status().idle is True


def test_a_shot_is_picked_and_closed_while_another_batch_runs(farm: Detached) -> None:
    with farm.client("noor", "artist") as noor, farm.client("ada") as ada:
        submit(farm, ada, batch("busy", candidates=64, parameters={"delay_s": 0.1}))
        wait_for(lambda: ada.status("tiny").waiting)
        (branch,) = {e.branch for e in farm.events(WaveReleased) if e.batch == "tiny"}
        passed = [e for e in farm.events(AttemptEnded) if (e.batch, e.branch, e.passed) == ("tiny", branch, True)]
        pick = OrderGiven("tiny", "pick", "", 0.0, shot="anc_000", stage="still", candidate_id=passed[0].candidate_id)
        picked = noor.give([pick])
        assert picked.orders[0].who == "noor"
        with pytest.raises(NotAllowed, match="noor is an artist"):
            noor.give([OrderGiven("tiny", "close", "", 0.0, shot="anc_000", stage="still")])
        ada.give([OrderGiven("tiny", "close", "", 0.0, shot="anc_000", stage="still")])
        wait_for(lambda: ada.status("tiny").shots[0].versions == ("v001",))
        assert {e.who for e in farm.events(OrderGiven)} == {"noor", "ada"}
        with suppress(Exception):
            ada.give([OrderGiven("busy", "cancel", "", 0.0)])


def test_once_a_pause_is_acknowledged_nothing_of_the_batch_starts(farm: Detached) -> None:
    with farm.client() as ada:
        submit(farm, ada, batch("held", candidates=96, wave=32, parameters={"delay_s": 0.1}))
        wait_for(lambda: [e for e in farm.events(AttemptEnded) if e.batch == "held"])
        ada.give([OrderGiven("held", "pause", "", 0.0)])
        # What runs goes on and counts; when it has ended, no host holds anything and nothing more is judged. What
        # hosts told last is in the log a commit later.
        wait_for(lambda: not any(host.working for host in ada.hosts().hosts))
        ran = ada.status().at
        wait_for(lambda: ada.status().at >= ran + 2.0)
        ended = len([e for e in farm.events(AttemptEnded) if e.batch == "held"])
        looked = ada.status().at
        wait_for(lambda: ada.status().at >= looked + 2.0)
        assert len([e for e in farm.events(AttemptEnded) if e.batch == "held"]) == ended < 96
        assert "paused by ada" in " ".join(ada.explain("held").shots[0].says)
        ada.give([OrderGiven("held", "unpause", "", 0.0)])
        wait_for(lambda: ada.status("held").shots[0].state == "done", 120)
        assert len({e.candidate_id for e in farm.events(AttemptEnded) if e.batch == "held"}) == 96


def test_two_people_hand_in_batches_at_once_and_both_are_run(farm: Detached) -> None:
    said: dict[str, str] = {}

    def hand_in(name: str) -> None:
        path = write_batch(farm.folder, batch(name, candidates=8), f"{name}.yaml")
        said[name] = farm.ancestra("run", path)

    threads = [threading.Thread(target=hand_in, args=(name,)) for name in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert set(said) == {"left", "right"}
    for name, text in said.items():
        assert f"{name} is handed to" in text
        assert "1 clip" in text
        assert "done after" in text


def test_a_wrong_token_gets_nowhere(farm: Detached) -> None:
    store = farm.store
    client = Client.of(store, token=OwnToken("ancestra_" + "A" * 43, "eve", "a test"))
    assert client is not None
    with client, pytest.raises(NotAllowed, match="none of"):
        client.stop()
    assert who_is_alive(store) is not None


def test_whoever_takes_the_epoch_over_ends_the_farm_and_orders_say_so(farm: Detached) -> None:
    """The last test of the module: the farm is gone afterwards."""
    with farm.client() as client:
        before = client.status().epoch
        Writer.begin(farm.store, "somebody else", "run")
        with pytest.raises(EndpointGone):
            client.give([OrderGiven("left", "pause", "", 0.0)])
    assert wait_for(lambda: who_is_alive(farm.store) is None) is True
    assert "nobody is at work" in farm.ancestra("stop")
    assert verify(farm.store).problems == ()
    assert max(commit.epoch for commit in read_commits(farm.store)) > before


def test_a_farm_that_cannot_come_up_says_why(tmp_path: Path) -> None:
    farm = Detached(tmp_path)
    path = write_batch(tmp_path, batch_document(candidates=4))
    said = farm.ancestra("run", path, "--detach", "--address", "127.0.0.1:9", code=1)
    assert "the farm did not come up" in said
    assert "there is no Ray at 127.0.0.1:9" in said
    assert not (tmp_path / "store").exists()
