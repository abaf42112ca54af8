"""Notices reach a real HTTP server and a real program, signed and with their id, and nothing else does."""

import hashlib
import hmac
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ancestra_farm.batch.show_settings import Recipient
from ancestra_farm.farm import notify
from ancestra_farm.farm.control import ControlLoop
from ancestra_farm.farm.news import Inbox
from ancestra_farm.farm.notify import Messenger, NotDelivered, body_of, deliver
from ancestra_farm.farm.upkeep import Upkeep
from ancestra_farm.ledger.liveness import Presence
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.plan.farm_events import NoticeDelivered, SettingsGiven
from ancestra_farm.scheduler.scheduler import Scheduler
from ancestra_farm.scheduler.world import ChangeSettings, Notice, NoticeTried, Tell
from ancestra_farm.telemetry.metrics import Metrics
from tests.farm.batches import batch_document
from tests.farm.processes import wait_for
from tests.farm.threads import Asked, ThreadHands, submission

SECRET = "0123456789abcdef0123456789abcdef"
NOTICE = Notice("ab" * 16, "delivered", "s", "b", "s000", "", "v001", "s000 v001 of b is published, 36 frames.")


class Receiver(ThreadingHTTPServer):
    """Takes notices in. ``statuses``: what it answers, in turn; the last one from then on."""

    daemon_threads = True

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses) or [204]
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self) -> None:
        self.shutdown()
        self.thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        statuses = self.server.statuses
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        self.send_response(status)
        if status == 302:
            self.send_header("location", f"{self.server.url}/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Callable[..., Receiver]]:
    made: list[Receiver] = []

    def make(*statuses: int) -> Receiver:
        made.append(Receiver(*statuses))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A notification folder with one secret."""
    folder = tmp_path / "notify"
    folder.mkdir()
    monkeypatch.setenv("ANCESTRA_NOTIFY", str(folder))
    put(folder / "studio.secret", SECRET + "\n", 0o600)
    return folder


def put(path: Path, text: str, mode: int) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def hook(url: str, **fields: Any) -> Recipient:
    return Recipient(webhook=url, secret=fields.pop("secret", "studio"), **fields)


# ---- webhooks --------------------------------------------------------------------------------------------------------


def test_a_webhook_gets_the_notice_signed_and_with_its_id(receiver: Callable[..., Receiver]) -> None:
    server = receiver(200)
    body = body_of(NOTICE, "file:///farm", 17.0)
    deliver(body, NOTICE.event_id, hook(f"{server.url}/in?for=film"))
    ((path, headers, got),) = server.got
    assert path == "/in?for=film"
    assert got == body
    assert headers["ancestra-event"] == NOTICE.event_id
    timestamp = headers["ancestra-timestamp"]
    signed = hmac.new(SECRET.encode(), timestamp.encode() + b"." + got, hashlib.sha256).hexdigest()
    assert headers["ancestra-signature"] == f"v1={signed}"
    assert headers["host"] == f"127.0.0.1:{server.server_port}"
    assert json.loads(got) == {
        "schema": "ancestra/notice/v1",
        "event_id": NOTICE.event_id,
        "occasion": "delivered",
        "at": 17.0,
        "store": "file:///farm",
        "show": "s",
        "batch": "b",
        "shot": "s000",
        "stage": "",
        "version": "v001",
        "says": NOTICE.says,
    }


@pytest.mark.parametrize("status", [302, 400, 410, 500, 503])
def test_nothing_but_a_status_of_the_200s_counts_and_no_redirect_is_followed(
    receiver: Callable[..., Receiver], status: int
) -> None:
    server = receiver(status)
    with pytest.raises(NotDelivered, match=f"answered {status}"):
        deliver(b"{}", "id", hook(server.url))
    assert [path for path, _, _ in server.got] == ["/"]


def test_who_is_not_there_is_said() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(NotDelivered, match="cannot be reached"):
            deliver(b"{}", "id", hook(f"http://127.0.0.1:{unused.getsockname()[1]}/"))
    with pytest.raises(NotDelivered, match="has no address"):
        deliver(b"{}", "id", hook("http://nowhere.invalid/"))


def test_a_name_that_stands_for_a_metadata_address_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: found)
    with pytest.raises(NotDelivered, match=r"hooks\.example\.com is 169\.254\.169\.254"):
        deliver(b"{}", "id", hook("http://hooks.example.com/"))
    with pytest.raises(ValidationError, match="no webhook goes there"):
        hook("http://2852039166/")


def test_a_receiver_without_a_certificate_of_its_name_gets_nothing(receiver: Callable[..., Receiver]) -> None:
    server = receiver()
    with pytest.raises(NotDelivered, match="no answer"):
        deliver(b"{}", "id", hook(server.url.replace("http:", "https:")))
    assert server.got == []


def test_a_receiver_that_drips_its_answer_is_not_listened_to_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "WEBHOOK_S", 1.0)
    over = threading.Event()

    def drip(listener: socket.socket) -> None:
        line, _ = listener.accept()
        with line, suppress(OSError):
            while not over.wait(0.1):
                line.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(2) as pool:
        pool.submit(drip, listener)
        tried = pool.submit(deliver, b"{}", "id", hook(f"http://127.0.0.1:{listener.getsockname()[1]}/"))
        try:
            with pytest.raises(NotDelivered, match="no answer"):
                tried.result(20)
        finally:
            over.set()


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [(SECRET, 0o604, "everybody can read it"), ("short", 0o600, "too short"), (None, 0, "there is no secret")],
)
def test_a_secret_that_is_none_signs_nothing(
    folder: Path, receiver: Callable[..., Receiver], text: str | None, mode: int, says: str
) -> None:
    server = receiver()
    if text is not None:
        put(folder / "other.secret", text, mode)
    with pytest.raises(NotDelivered, match=says):
        deliver(b"{}", "id", hook(server.url, secret="other"))
    assert server.got == []


# ---- programs --------------------------------------------------------------------------------------------------------


def test_a_program_gets_the_notice_and_nothing_of_the_controllers_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "not for others")
    put(folder / "page", f"#!/bin/sh\ncat > {folder}/got\nenv > {folder}/env\n", 0o700)
    deliver(b'{"a": 1}', "the-id", Recipient(command="page"))
    assert (folder / "got").read_text() == '{"a": 1}'
    environment = (folder / "env").read_text()
    assert "ANCESTRA_EVENT=the-id" in environment
    assert "not for others" not in environment


@pytest.mark.parametrize(
    ("script", "mode", "says"),
    [
        ("#!/bin/sh\necho no pager >&2\nexit 3\n", 0o700, "page ended with 3: no pager"),
        ("#!/bin/sh\n", 0o722, "others could change it"),
        ("#!/bin/sh\n", 0o600, "no program that can be run"),
        ("#!/nowhere/sh\n", 0o700, "cannot be run"),
        (None, 0, "there is no program page"),
    ],
)
def test_a_program_that_fails_or_is_none_tells_nobody(folder: Path, script: str | None, mode: int, says: str) -> None:
    if script is not None:
        put(folder / "page", script, mode)
    with pytest.raises(NotDelivered, match=says):
        deliver(b"{}", "id", Recipient(command="page"))


def test_a_program_that_leaves_something_running_has_ended_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "PROGRAM_S", 5.0)
    put(folder / "page", f"#!/bin/sh\nsleep 60 & echo $! > {folder}/left\n", 0o700)
    try:
        deliver(b"{}", "id", Recipient(command="page"))
    finally:
        os.kill(int((folder / "left").read_text()), signal.SIGKILL)


def test_a_program_that_does_not_end_is_ended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "PROGRAM_S", 0.2)
    put(folder / "page", "#!/bin/sh\nexec sleep 60\n", 0o700)
    with pytest.raises(NotDelivered, match="had not ended"):
        deliver(b"{}", "id", Recipient(command="page"))


# ---- with a farm at work ---------------------------------------------------------------------------------------------


class TellingFarm:
    """A loop with the real scheduler, log and messenger, and hosts on threads."""

    def __init__(self, store: Store) -> None:
        self.inbox = Inbox()
        self.hands = ThreadHands(self.inbox, store, 2)
        writer = Writer.begin(store, "tester", "run")
        upkeep = Upkeep(store, Presence.here("tester", writer.epoch), Metrics())
        messenger = Messenger(
            store.url, lambda order, ok: self.inbox.put(lambda: NoticeTried(order.notice, order.to, ok))
        )
        self.loop = ControlLoop(Scheduler(writer.epoch), writer, self.hands, self.inbox, upkeep, messenger=messenger)


def listening(url: str) -> Asked:
    document = {"schema": "ancestra/show/v1", "show": "anc", "notify": [{"webhook": url, "secret": "studio"}]}
    return Asked(ChangeSettings(SettingsGiven("show", "anc", json.dumps(document), "ana", 1.0)))


def delivered(store: Store) -> list[NoticeDelivered]:
    return [one for commit in read_commits(store) for one in commit.events if isinstance(one, NoticeDelivered)]


def test_a_farm_tells_what_it_delivered_and_what_waits_before_it_leaves(
    tmp_path: Path, receiver: Callable[..., Receiver]
) -> None:
    server = receiver(200)
    store = Store.open(str(tmp_path / "store"), create=True)
    batch = batch_document(candidates=8, select="close")
    TellingFarm(store).loop.run([listening(server.url), submission(tmp_path, batch)])
    told = [json.loads(body) for _, _, body in server.got]
    assert {one["occasion"] for one in told} == {"waits_for_picks"}
    assert len({one["event_id"] for one in told}) == len(told)
    assert {one["store"] for one in told} == {store.url}
    assert sorted(event.event_id for event in delivered(store)) == sorted(one["event_id"] for one in told)


def test_what_a_farm_could_not_tell_the_next_one_tells_under_the_same_id(
    tmp_path: Path, receiver: Callable[..., Receiver]
) -> None:
    server = receiver(503, 200)
    store = Store.open(str(tmp_path / "store"), create=True)
    batch = batch_document(candidates=8, select="close")
    TellingFarm(store).loop.run([listening(server.url), submission(tmp_path, batch)])
    first = [headers["ancestra-event"] for _, headers, _ in server.got]
    assert len(first) == 1
    assert delivered(store) == []
    TellingFarm(store).loop.run([])
    assert [headers["ancestra-event"] for _, headers, _ in server.got] == first * 2
    TellingFarm(store).loop.run([])
    assert len(server.got) == 2, "who was told is told no more"
    assert len(delivered(store)) == 1


def test_a_messenger_says_how_each_try_went(receiver: Callable[..., Receiver]) -> None:
    server, tried = receiver(500, 200), []
    messenger = Messenger("store", lambda order, ok: tried.append(ok))
    for number in (1, 2):
        messenger.tell(Tell(NOTICE, hook(server.url)))
        wait_for(lambda number=number: len(tried) == number, 20.0)
    messenger.close()
    assert tried == [False, True]


def test_secrets_lie_in_the_persons_own_configuration_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANCESTRA_NOTIFY")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    assert notify.folder() == Path("/somewhere/ancestra/notify")
    monkeypatch.setenv("XDG_CONFIG_HOME", "not/absolute")
    assert notify.folder() == Path.home() / ".config" / "ancestra" / "notify"
    assert os.environ["HOME"]
