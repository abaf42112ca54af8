"""A cluster's head over HTTP: what is asked of it and what it must never be sent. Answers come from a small server."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ancestra_farm.farm.head import (
    Head,
    HeadNotReady,
    HeadRefused,
    HeadUnreachable,
    RayNode,
    WaitingActor,
    address_of,
    satisfies,
)

TOKEN = "a" * 64
Answer = tuple[int, Any]


class Asked:
    """What was asked, in order: (method, path, authorization)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[tuple[str, str, str]] = []


@contextmanager
def head_that(answers: Callable[[str, str, str], Answer]) -> Iterator[Asked]:
    """A server on loopback; ``answers`` takes method, path and authorization, and gives status and body."""
    asked = Asked("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.answer()

        def answer(self) -> None:
            who = self.headers.get("authorization", "")
            asked.requests.append((self.command, self.path, who))
            status, body = answers(self.command, self.path, who)
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("location", data.decode())
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        asked.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


def closed(method: str, path: str, who: str) -> Answer:
    """A head that wants the token and has no jobs."""
    if who != f"Bearer {TOKEN}":
        return (403 if who else 401), b"Unauthorized"
    return (200, []) if path == "/api/jobs/" else (404, b"no such job")


def test_an_address_is_the_heads_http_side() -> None:
    assert address_of("head") == "http://head:8265"
    assert address_of("http://10.0.0.1:9000/") == "http://10.0.0.1:9000"
    assert address_of("https://farm.example.com") == "https://farm.example.com:443"
    assert address_of("http://[::1]:8265") == "http://[::1]:8265"


@pytest.mark.parametrize(
    "address",
    ["ray://head:10001", "head:6379", "http://head:8265/api", "http://me:pw@head:8265", "os.path://x", "http://", ""],
)
def test_what_is_no_such_address_is_refused_before_anything_is_sent(address: str) -> None:
    with pytest.raises(HeadRefused, match=r"http://HOST:8265"):
        Head(address, token=TOKEN)


def test_an_open_cluster_is_refused_and_never_sent_a_token() -> None:
    with head_that(lambda *_: (200, [])) as asked, Head(asked.url, token=TOKEN) as head:
        with pytest.raises(HeadRefused, match="RAY_AUTH_MODE=token"):
            head.jobs()
        assert asked.requests == [("GET", "/api/jobs/", "")]
    with head_that(lambda *_: (200, [])) as asked, Head(asked.url, token=TOKEN, insecure=True) as head:
        assert head.jobs() == []
        assert head.asks_for_token is False
        assert {who for _, _, who in asked.requests} == {""}


def test_a_token_is_not_sent_in_the_clear_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with head_that(closed) as asked:
        head = Head("http://10.1.2.3:8265", token=TOKEN)
        monkeypatch.setattr(head, "_request", lambda *_: (401, b""))  # what such a machine would say
        with pytest.raises(HeadRefused, match="through a tunnel"):
            head.jobs()
        assert asked.requests == []


def test_a_closed_cluster_is_asked_with_its_token() -> None:
    with head_that(closed) as asked, Head(asked.url, token=TOKEN) as head:
        assert head.jobs() == []
        assert head.job("farm") is None
        assert [who for _, _, who in asked.requests] == ["", f"Bearer {TOKEN}", f"Bearer {TOKEN}"]


@pytest.mark.parametrize(("token", "says"), [("", "none is here"), ("wrong", "the one here is another's")])
def test_a_missing_or_wrong_token_is_told_apart(token: str, says: str) -> None:
    with head_that(closed) as asked, Head(asked.url, token=token) as head, pytest.raises(HeadRefused, match=says):
        head.jobs()


@pytest.mark.parametrize("answer", [(200, b"<html>"), (200, {}), (502, b"bad gateway"), (404, b""), (301, b"")])
def test_what_is_no_ray_head_is_said(answer: Answer) -> None:
    with head_that(lambda *_: answer) as asked, Head(asked.url, token=TOKEN) as head:
        with pytest.raises(HeadUnreachable, match="no Ray head"):
            head.jobs()
        assert [who for _, _, who in asked.requests] == [""]


def test_a_head_that_is_not_there_is_said() -> None:
    with head_that(closed) as asked:
        url = asked.url
    with Head(url, token=TOKEN) as head, pytest.raises(HeadUnreachable, match="is the tunnel up"):
        head.jobs()


def test_a_redirect_is_not_followed_with_the_token() -> None:
    with head_that(closed) as elsewhere:

        def answers(method: str, path: str, who: str) -> Answer:
            return (302, f"{elsewhere.url}/api/jobs/".encode()) if who else (401, b"")

        with (
            head_that(answers) as asked,
            Head(asked.url, token=TOKEN) as head,
            pytest.raises(HeadRefused, match="302"),
        ):
            head.jobs()
        assert elsewhere.requests == []


def test_a_job_whose_id_is_taken_is_the_others() -> None:
    def answers(method: str, path: str, who: str) -> Answer:
        if method == "POST":
            return 500, b"ValueError: Job with submission_id farm-1 already exists."
        if not who:
            return 401, b""
        return 200, {"submission_id": "farm-1", "status": "RUNNING", "metadata": {"a": "b"}, "start_time": 5000}

    with head_that(answers) as asked, Head(asked.url, token=TOKEN) as head:
        assert head.submit("true", "farm-1", {}) is False
        job = head.job("farm-1")
        assert job is not None
        assert (job.status, job.ended, dict(job.metadata), job.at) == ("RUNNING", False, {"a": "b"}, 5.0)


def test_a_job_that_is_not_taken_says_why() -> None:
    def answers(method: str, path: str, who: str) -> Answer:
        if method == "POST":
            return 400, b"TypeError: entrypoint must be a string"
        return (404, b"does not exist") if who else (401, b"")

    with (
        head_that(answers) as asked,
        Head(asked.url, token=TOKEN) as head,
        pytest.raises(HeadRefused, match="entrypoint must be a string"),
    ):
        head.submit("true", "farm-1", {})


def test_a_head_that_takes_no_jobs_yet_is_told_from_one_that_refuses() -> None:
    def answers(method: str, path: str, who: str) -> Answer:
        if method == "POST":
            return 500, b"No available agent to submit job, please try again later."
        return (404, b"does not exist") if who else (401, b"")

    with (
        head_that(answers) as asked,
        Head(asked.url, token=TOKEN) as head,
        pytest.raises(HeadNotReady, match="takes no jobs yet"),
    ):
        head.submit("true", "farm-1", {})


def test_label_selectors_are_read_as_ray_reads_them() -> None:
    for value, wanted, fits in (
        ("spot", "spot", True),
        ("spot", "on_demand", False),
        (None, "spot", False),
        ("spot", "!spot", False),
        (None, "!spot", True),
        ("a", "in(a, b)", True),
        ("c", "in(a,b)", False),
        ("c", "!in(a,b)", True),
    ):
        assert satisfies(value, wanted) is fits, (value, wanted)


def test_an_actor_fits_a_node_that_has_its_resources_and_labels() -> None:
    node = RayNode("ab", "10.0.0.2", False, {"GPU": 1.0, "CPU": 4.0}, {"ancestra/market": "spot"})
    assert WaitingActor("Host", "", {"GPU": 1.0}, {"ancestra/market": "spot"}).fits(node)
    assert not WaitingActor("Host", "", {"GPU": 2.0}, {}).fits(node)
    assert not WaitingActor("Host", "", {"GPU": 0.5}, {"ancestra/market": "on_demand"}).fits(node)
