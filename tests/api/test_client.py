"""The client and the one way to give orders: controllers come, go and move, and an order counts once."""

import dataclasses
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ancestra_farm.api import client as client_module
from ancestra_farm.api.afar import Afar
from ancestra_farm.api.client import Client, EndpointGone
from ancestra_farm.api.door import give
from ancestra_farm.api.people import NotAllowed, issue
from ancestra_farm.api.server import AddressTaken, listening, parsed_address
from ancestra_farm.api.tokens import OwnToken, keep_token
from ancestra_farm.ledger.liveness import PATH, Presence
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.plan.events import BatchSubmitted, OrderGiven
from ancestra_farm.scheduler.world import OrderRefused, Submit
from tests.api.door import OpenDoor
from tests.api.test_register import away
from tests.farm.processes import wait_for


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PAUSE_S", 0.02)


@pytest.fixture
def door(store: Store, waiting_batch: Submit) -> Any:
    with OpenDoor(store, waiting_batch) as door:
        door.until(lambda status: status["waiting"])
        yield door


def pause(**more: Any) -> OrderGiven:
    return OrderGiven("tiny", "pause", "", 0.0, **more)


def unpause(**more: Any) -> OrderGiven:
    return OrderGiven("tiny", "unpause", "", 0.0, **more)


def test_with_nobody_at_work_there_is_no_client(store: Store) -> None:
    assert Client.of(store) is None


def test_the_client_asks_what_the_door_answers(door: OpenDoor, waiting_batch: Submit) -> None:
    client = Client.of(door.store)
    assert client is not None
    with client:
        assert client.health().epoch == door.epoch
        status = client.status("tiny")
        assert status.shots == list(door.scheduler.progress())
        assert client.explain(shot="anc_000").shots[0].says == list(door.scheduler.explain("tiny", "anc_000"))
        assert [one.batch for one in client.batches().batches] == ["tiny"]
        assert {one.model for one in client.hosts().hosts} == {"procedural/stills"}
        survivor = door.survivors()[0]
        (found,) = client.candidates(survivor[:12]).candidates
        assert (found.candidate_id, found.shot, found.stage, found.outcome) == (
            survivor,
            "anc_000",
            "still",
            "survivor",
        )
        assert client.events(0, limit=1).events[0].kind == "EpochTaken"
        assert client.submit(waiting_batch.document, waiting_batch.cards).commit >= 2
        with pytest.raises(OrderRefused, match="is here already, just so"):
            client.submit(waiting_batch.document, waiting_batch.cards, time.time() + 3600)
        pick = OrderGiven("tiny", "pick", "", 0.0, shot="anc_000", stage="still", candidate_id=survivor, note="calm")
        taken = client.give([pick])
        assert (taken.orders[0].who, taken.orders[0].by) == ("ada", "")
        assert (door.logged()[-1].who, door.logged()[-1].note) == ("ada", "calm")
        with pytest.raises(OrderRefused, match="already"):
            client.give([pick])
        with pytest.raises(OrderRefused, match="there is no batch"):
            client.status("nowhere")


def test_somebody_elses_token_gives_their_rights(door: OpenDoor) -> None:
    keep_token(door.store.id, issue(door.store, "bo", "artist", by="ada"), "bo")
    client = Client.of(door.store)
    assert client is not None
    with client, pytest.raises(NotAllowed, match="bo is an artist and may not pause"):
        client.give([pause()])
    as_noor = Client.of(door.store, "noor")
    assert as_noor is not None
    pick = OrderGiven("tiny", "pick", "", 0.0, shot="anc_000", stage="still", candidate_id=door.survivors()[0])
    with as_noor, pytest.raises(NotAllowed, match="may not act for others"):
        as_noor.give([pick])


def test_a_token_that_nobody_knows_is_said_without_showing_it(door: OpenDoor) -> None:
    keep_token(door.store.id, "ancestra_unknown", "ada")
    client = Client.of(door.store)
    assert client is not None
    with client, pytest.raises(NotAllowed, match="ancestra token issue") as refused:
        client.status()
    assert "ancestra_unknown" not in str(refused.value)


def test_an_order_finds_the_controller_that_took_over(store: Store, waiting_batch: Submit) -> None:
    with OpenDoor(store, waiting_batch) as first:
        first.until(lambda status: status["waiting"])
        client = Client.of(store)
        assert client is not None
        client.status()
        with OpenDoor(store) as second:
            second.until(lambda status: status["waiting"])
            assert client.presence.epoch == first.epoch
            with client:
                taken = client.give([pause()])
            assert (taken.epoch, client.presence.endpoint) == (second.epoch, second.endpoint)
    assert [one.order for one in second.logged()] == ["pause"]


def test_an_answer_that_got_lost_is_asked_for_again_and_counts_once(
    door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client.of(door.store)
    assert client is not None
    client.status()
    request, calls = client._pool.request, []

    def lossy(method: str, url: str, **more: Any) -> Any:
        answer = request(method, url, **more)
        calls.append(url)
        if url.endswith("/orders") and sum(call.endswith("/orders") for call in calls) == 1:
            raise client_module.urllib3.exceptions.ProtocolError("the connection broke")
        return answer

    monkeypatch.setattr(client._pool, "request", lossy)
    with client:
        assert client.give([pause()]).orders[0].order == "pause"
    assert sum(call.endswith("/orders") for call in calls) == 2
    assert len(door.logged()) == 1


@pytest.mark.parametrize("meanwhile", ["revised", "cancelled"])
def test_a_submission_whose_answer_got_lost_undoes_nothing_that_others_did_since(
    door: OpenDoor, waiting_batch: Submit, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    first, second = reseeded(waiting_batch, 11), reseeded(waiting_batch, 12)
    client, other = Client.of(door.store), Client.of(door.store)
    assert client is not None
    assert other is not None
    client.status()
    request, lost = client._pool.request, []

    def lossy(method: str, url: str, **more: Any) -> Any:
        answer = request(method, url, **more)
        if url.endswith("/batches") and method == "POST" and not lost:
            lost.append(url)
            if meanwhile == "revised":
                other.submit(second.document, second.cards)
            else:
                other.give([OrderGiven("tiny", "cancel", "", 0.0)])
            raise client_module.urllib3.exceptions.ProtocolError("the connection broke")
        return answer

    monkeypatch.setattr(client._pool, "request", lossy)
    with client, other:
        client.submit(first.document, first.cards)
        (batch,) = client.batches().batches
        states = {shot.state for shot in client.explain("tiny").shots}
    assert lost
    handed_in = [one for commit in read_commits(door.store) for one in commit.events if isinstance(one, BatchSubmitted)]
    assert len(handed_in) == (3 if meanwhile == "revised" else 2)
    assert batch.digest == handed_in[-1].digest
    assert ("cancelled" in states) == (meanwhile == "cancelled")


def reseeded(batch: Submit, seed: int) -> Submit:
    """The same with other candidates."""
    return dataclasses.replace(batch, document=json.dumps(json.loads(batch.document) | {"seed": seed}))


def test_a_controller_that_has_ended_is_gone(store: Store, waiting_batch: Submit) -> None:
    with OpenDoor(store, waiting_batch) as door:
        door.until(lambda status: status["waiting"])
        client = Client.of(store)
        assert client is not None
        client.status()
    with client, pytest.raises(EndpointGone, match="has ended") as gone:
        client.give([pause()])
    assert gone.value.presence is None


def test_a_controller_that_cannot_take_an_order_now_is_not_said_to_be_out_of_reach(door: OpenDoor) -> None:
    client = Client.of(door.store, token=OwnToken(door.token("operator"), "", "here"), patience_s=2.0)
    assert client is not None
    with client, away(door.store):
        wait_for(lambda: (client.status(), door.desk._register._trouble)[1] is not None, 30)
        with pytest.raises(EndpointGone, match="cannot take it now: nobody can say whose token") as gone:
            client.give([pause()])
    assert gone.value.presence is not None


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:9"])
def test_a_controller_out_of_reach_is_said_with_where_it_is(store: Store, endpoint: str) -> None:
    presence = dataclasses.replace(Presence.here("bo", 7, endpoint), host="render01", machine="render01")
    presence.write(store)
    client = Client.of(store)
    assert client is not None
    with client, pytest.raises(EndpointGone, match=r"on render01, epoch 7.*--listen") as gone:
        client.give([pause()])
    assert gone.value.presence is not None
    with pytest.raises(EndpointGone):
        give(store, [pause()])


def test_no_token_is_shown_to_the_controller_of_another_store(
    door: OpenDoor, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Store.open(str(tmp_path / "other"), create=True)
    Presence.here("bo", door.epoch, door.endpoint).write(other)
    shown = []
    monkeypatch.setattr(door.desk, "person", shown.append)
    client = Client.of(other, patience_s=0.2)
    assert client is not None
    with client, pytest.raises(EndpointGone, match="belongs to another store"):
        client.status()
    assert shown == []


def test_an_order_goes_to_whoever_is_at_work_or_into_the_log(store: Store, waiting_batch: Submit) -> None:
    with OpenDoor(store, waiting_batch) as door:
        door.until(lambda status: status["waiting"])
        live = give(store, [pause(note="lunch")])
        assert (live.live, live.who) == (True, "ada")
    offline = give(store, [unpause()], "noor")
    assert (offline.live, offline.who) == (False, "noor")
    assert [(one.order, one.who, one.note) for one in door.logged()] == [
        ("pause", "ada", "lunch"),
        ("unpause", "noor", "given by ada"),
    ]
    with pytest.raises(OrderRefused, match="not paused"):
        give(store, [unpause()])


def test_an_order_whose_controller_left_before_answering_is_in_the_log_once(
    store: Store, waiting_batch: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit was made, the answer got lost, and the controller was gone when it was asked for again."""
    with OpenDoor(store, waiting_batch) as door:
        door.until(lambda status: status["waiting"])
        request = client_module.urllib3.PoolManager.request

        def lost(self: Any, method: str, url: str, **more: Any) -> Any:
            answer = request(self, method, url, **more)
            if url.endswith("/orders"):
                door.close()
                raise client_module.urllib3.exceptions.ProtocolError("the connection broke")
            return answer

        monkeypatch.setattr(client_module.urllib3.PoolManager, "request", lost)
        assert give(store, [pause()]).live is False
    assert [one.order for one in door.logged()] == ["pause"]


def test_a_farm_known_by_its_door_alone_may_begin_anew_while_somebody_orders(
    store: Store, waiting_batch: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenDoor(store, waiting_batch) as first:
        first.until(lambda status: status["waiting"])
        token = OwnToken(first.token("operator"), "", "here")
        client = Client.of(Afar.at(first.endpoint), token=token)
        assert client is not None
    looked, presence = threading.Event(), Afar.presence
    monkeypatch.setattr(Afar, "presence", lambda self: (presence(self), looked.set())[0])
    with ThreadPoolExecutor(1) as pool, client:
        taken = pool.submit(client.give, [pause()])
        assert looked.wait(30), "the answer did not come, and it was looked who is there"
        with OpenDoor(store, listen=first.endpoint.removeprefix("http://")) as second:
            assert taken.result(30).epoch == second.epoch
            assert [one.order for one in second.logged()] == ["pause"]


def test_a_farm_whose_clock_is_behind_is_given_the_order_and_not_ended(
    store: Store, waiting_batch: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenDoor(store, waiting_batch) as door:
        door.until(lambda status: status["waiting"])

        def write(presence: Presence, to: Store) -> None:
            there = dataclasses.replace(presence, machine="elsewhere/boot/pid", at=time.time() - 60.0)
            to.replace(PATH, json.dumps(dataclasses.asdict(there)).encode())

        monkeypatch.setattr(Presence, "write", write)
        wait_for(lambda: Client.of(store) is None, 30)
        given = give(store, [pause()])
        assert given.live is True
        assert door.thread.is_alive()
        assert [one.order for one in door.logged()] == ["pause"]


def test_an_order_through_a_door_that_closes_is_not_said_to_have_come_to_nothing(
    door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm, of = Afar.at(door.endpoint), Client.of
    keep_token(farm.id, door.token("operator"), "operator")

    def found(store: Afar, who: str) -> Client | None:
        client = of(store, who, patience_s=0.3)
        door.close()
        return client

    monkeypatch.setattr(Client, "of", found)
    with pytest.raises(EndpointGone, match="whether it was taken nobody can say"):
        give(farm, [pause()])


def test_people_who_order_at_once_are_all_heard(door: OpenDoor) -> None:
    survivors = door.survivors()
    failures: list[Exception] = []

    def work(name: str) -> None:
        try:
            for one in survivors:
                order = OrderGiven("tiny", "pick", "", 0.0, shot="anc_000", stage="still", candidate_id=one)
                give(door.store, [order], name)
        except Exception as error:  # noqa: BLE001 - looked at below
            failures.append(error)

    give(door.store, [OrderGiven("tiny", "pause", "", 0.0)])  # which makes the token
    threads = [threading.Thread(target=work, args=(f"person-{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len([one for one in door.logged() if one.order == "pick"]) == 3 * len(survivors)


def test_the_client_loads_no_ray_and_nothing_heavy() -> None:
    script = (
        "import sys, ancestra_farm.api.door; "
        "print([m for m in ('ray', 'torch', 'numpy', 'pyarrow', 'uvicorn', 'starlette', 'fsspec') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("address", ["", "8000", "localhost", "localhost:x", "localhost:70000", ":1"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(AddressTaken, match="HOST:PORT"):
        parsed_address(address)


def test_an_address_that_is_taken_is_refused() -> None:
    with listening("127.0.0.1:0") as first:
        port = first.getsockname()[1]
        with pytest.raises(AddressTaken, match=f"127.0.0.1:{port}"):
            listening(f"127.0.0.1:{port}")
