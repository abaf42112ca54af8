"""Files that come in through the door: by parts, past a killed client and a killed controller, and for nobody else."""

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ancestra_farm.api import uploads as uploading
from ancestra_farm.api.afar import Afar
from ancestra_farm.api.client import Client, EndpointGone
from ancestra_farm.api.problems import Refusal
from ancestra_farm.api.tokens import OwnToken
from ancestra_farm.api.uploading import carry
from ancestra_farm.batch.materials import Material
from ancestra_farm.ledger.errors import MaterialDamaged, SourceChanged
from ancestra_farm.ledger.materials import NodeMaterials
from ancestra_farm.ledger.revoked import revoke
from ancestra_farm.ledger.store import Store, material_path
from ancestra_farm.ledger.uploads import PART_BYTES, Part, held, put_part, sweep
from ancestra_farm.scheduler.world import OrderRefused
from tests.api.door import OpenDoor
from tests.farm.processes import wait_for

DATA = random.Random(7).randbytes(4 * PART_BYTES + 1000)
SHA256 = hashlib.sha256(DATA).hexdigest()
PATH = material_path(SHA256)

#: Brings a file as `ancestra submit` does; arguments: door, token, digest, bytes, file.
BRING = """
import sys; from pathlib import Path
from ancestra_farm.api.afar import Afar
from ancestra_farm.api.client import Client
from ancestra_farm.api.tokens import OwnToken
from ancestra_farm.api.uploading import carry
from ancestra_farm.batch.materials import Material
door, token, digest, size, file = sys.argv[1:]
sent = []
with Client.of(Afar.at(door), token=OwnToken(token, "", "here"), patience_s=1.0) as client:
    carry(client, [Material(digest, int(size), Path(file))], lambda _, count: sent.append(count), line_s=1.0)
print(sent[0])
"""
#: A controller and its door, until it is killed or told to stop; arguments: store.
CONTROL = """
import sys
from ancestra_farm.ledger.store import Store
from tests.api.door import OpenDoor
with OpenDoor(Store.open(sys.argv[1])) as door:
    print(door.endpoint, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def material(tmp_path: Path) -> Material:
    file = tmp_path / "plate.mov"
    file.write_bytes(DATA)
    return Material(f"sha256:{SHA256}", len(DATA), file)


def parts() -> list[tuple[Part, bytes]]:
    cut = [DATA[start : start + PART_BYTES] for start in range(0, len(DATA), PART_BYTES)]
    return [(Part(number, hashlib.sha256(data).hexdigest()), data) for number, data in enumerate(cut)]


@contextlib.contextmanager
def client_of(door: OpenDoor, role: str = "wrangler") -> Iterator[Client]:
    client = Client.of(Afar.at(door.endpoint), token=OwnToken(door.token(role), "", "here"), patience_s=2.0)
    assert client is not None
    with client:
        yield client


@contextlib.contextmanager
def controller(store: Store, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A controller in a process of its own, and its door."""
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", CONTROL, store.url],
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
        if process.poll() is None:
            process.stdin.write("\n")
            process.stdin.flush()
            process.wait(60)
    finally:
        process.kill()
        process.wait(30)
        process.stdin.close()
        process.stdout.close()


def bring(door: str, token: str, material: Material, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BRING, door, token, material.digest, str(material.bytes), str(material.file)],
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_a_file_goes_on_past_a_killed_client_and_a_killed_controller(store: Store, material: Material) -> None:
    from ancestra_farm.api.people import issue

    token = issue(store, "noor", "wrangler", by="tester")
    with controller(store, ANCESTRA_KILL_AT="uploads.after_part:4") as (process, door):
        killed = bring(door, token, material, ANCESTRA_KILL_AT="uploads.after_answer:2")
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert {part.number for part in held(store, SHA256)} == {0, 1}
        left = bring(door, token, material)
        assert left.returncode == 1
        assert "EndpointGone" in left.stderr
        assert process.wait(30) == -signal.SIGKILL
    assert {part.number for part in held(store, SHA256)} == {0, 1, 2, 3}
    assert store.list("materials") == []
    with controller(store) as (_, door):
        whole = bring(door, token, material)
        assert whole.returncode == 0, whole.stderr
        assert int(whole.stdout) == 1000, "of what had arrived nothing was sent again"
        assert int(bring(door, token, material).stdout) == 0
    assert store.read(PATH) == DATA
    assert store.list("uploads") == []


def test_a_controller_killed_while_it_joins_is_followed_by_one_that_does(store: Store, material: Material) -> None:
    from ancestra_farm.api.people import issue

    token = issue(store, "noor", "wrangler", by="tester")
    with controller(store, ANCESTRA_KILL_AT="uploads.before_join") as (process, door):
        assert bring(door, token, material).returncode == 1
        assert process.wait(30) == -signal.SIGKILL
    assert len(held(store, SHA256)) == 5
    with OpenDoor(store) as open_door, client_of(open_door) as client:
        told: list[int] = []
        carry(client, [material], lambda _, sent: told.append(sent))
    assert told == [0]
    assert store.read(PATH) == DATA


def test_progress_goes_over_the_whole_of_what_is_brought(store: Store, material: Material, tmp_path: Path) -> None:
    small = tmp_path / "way.json"
    small.write_bytes(b"{}")
    second = Material(f"sha256:{hashlib.sha256(b'{}').hexdigest()}", 2, small)
    put_part(store, SHA256, *parts()[1])
    arrived: list[int] = []
    told: list[tuple[str, int]] = []
    with OpenDoor(store) as door, client_of(door) as client:
        carry(
            client,
            [material, second],
            lambda one, sent: told.append((one.file.name, sent)),
            lambda more, _sent: arrived.append(more),
        )
    assert sum(arrived) == len(DATA) + 2
    assert told == [("plate.mov", len(DATA) - PART_BYTES), ("way.json", 2)]


def test_a_file_that_changes_on_its_way_is_not_kept(store: Store, material: Material) -> None:
    material.file.write_bytes(DATA[:-1] + b"!")
    with OpenDoor(store) as door, client_of(door) as client:
        with pytest.raises(SourceChanged, match="check the batch again"):
            carry(client, [material])
        assert store.list("materials") == []


def test_what_a_node_found_damaged_is_brought_once_more(store: Store, material: Material) -> None:
    with OpenDoor(store) as door, client_of(door) as client:
        carry(client, [material])
        here = store.local_path(PATH)
        assert here is not None
        here.write_bytes(DATA[:-1] + b"!")
        with pytest.raises(MaterialDamaged, match="hand the batch in again"):
            NodeMaterials(store)(material.digest)
        sent: list[int] = []
        for _ in range(2):
            carry(client, [material], lambda _, count: sent.append(count))
        assert sent == [len(DATA), 0]
    assert NodeMaterials(store)(material.digest).read_bytes() == DATA
    assert store.list("uploads") == []


def test_what_was_revoked_is_refused_before_a_byte_of_it_is_sent(store: Store, material: Material) -> None:
    revoke(store, material.digest, "noor", "she changed her mind", 1.7e9)
    with OpenDoor(store) as door, client_of(door) as client, pytest.raises(OrderRefused, match="she changed her mind"):
        carry(client, [material])
    assert store.list("uploads") == []


def test_what_was_revoked_on_its_way_does_not_become_material(store: Store) -> None:
    with OpenDoor(store) as door:
        for part, data in parts():
            assert raw(door, part_of(part), data).status == 200
        revoke(store, f"sha256:{SHA256}", "noor", "she changed her mind", 1.7e9)
        named = [f"sha256:{part.sha256}" for part, _ in parts()]
        said = door.ask("POST", "/v1/upload_joins", {"digest": f"sha256:{SHA256}", "bytes": len(DATA), "parts": named})
        assert said.status == 409
        assert "she changed her mind" in said.json["detail"]
    assert store.list("materials") == []


def test_a_door_that_stays_away_is_said_and_what_arrived_stays(store: Store, material: Material) -> None:
    put_part(store, SHA256, *parts()[0])
    with OpenDoor(store) as door, client_of(door) as client:
        door.close()
        with pytest.raises(EndpointGone):
            carry(client, [material], line_s=0.5)
    assert len(held(store, SHA256)) == 1


def part_of(part: Part, sha256: str = SHA256) -> str:
    return f"/v1/upload_parts?digest=sha256:{sha256}&number={part.number}&part=sha256:{part.sha256}"


def raw(door: OpenDoor, path: str, data: bytes, **how: Any) -> Any:
    return door.ask("POST", path, data, headers={"content-type": "application/octet-stream"}, **how)


def test_wrong_parts_are_refused_by_a_sentence_and_nothing_is_kept(open_door: OpenDoor) -> None:
    (first, data), *_ = parts()
    assert raw(open_door, part_of(first), data[:-1]).json["type"] == "#refused"
    assert raw(open_door, part_of(first).replace("sha256:", "md5:"), data).status == 422
    assert raw(open_door, part_of(Part(10_000, first.sha256)), data).status == 422
    assert open_door.ask("POST", part_of(first), {"a": 1}).json["type"] == "#not-bytes"
    body = {"digest": f"sha256:{SHA256}", "bytes": len(DATA), "parts": [f"sha256:{first.sha256}"]}
    assert "has 5 parts" in open_door.ask("POST", "/v1/upload_joins", body).json["detail"]
    body["parts"] = [f"sha256:{part.sha256}" for part, _ in parts()]
    assert open_door.ask("POST", "/v1/upload_joins", body).json == {"state": "missing"}
    assert open_door.store.list("uploads") == []


def test_parts_that_come_to_another_file_never_become_material(open_door: OpenDoor) -> None:
    lie = hashlib.sha256(b"lie").hexdigest()
    assert raw(open_door, part_of(Part(0, lie)), b"lie").status == 200
    body = {"digest": f"sha256:{SHA256}", "bytes": 3, "parts": [f"sha256:{lie}"]}
    refused = open_door.ask("POST", "/v1/upload_joins", body)
    assert (refused.status, "send it again" in refused.json["detail"]) == (409, True)
    assert not open_door.store.exists(PATH)
    sweep(open_door.store, time.time() + 60.0)


def test_somebody_who_names_wrong_parts_throws_away_nothing_of_others(store: Store) -> None:
    with OpenDoor(store) as door:
        brought = {part for part, data in parts()[:2] if raw(door, part_of(part), data).status == 200}
        lie = hashlib.sha256(b"lie").hexdigest()
        assert raw(door, part_of(Part(0, lie)), b"lie").status == 200
        body = {"digest": f"sha256:{SHA256}", "bytes": 3, "parts": [f"sha256:{lie}"]}
        assert door.ask("POST", "/v1/upload_joins", body).status == 409
        assert brought < held(store, SHA256)


def test_only_so_many_files_are_joined_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    join = uploading.join
    monkeypatch.setattr(uploading, "join", lambda *given, **how: (goes_on.wait(30), join(*given, **how))[1])
    files = [f"file {number}".encode() for number in range(uploading.MOST_JOINS + 1)]
    uploads = uploading.Uploads(store)
    joins = []
    for data in files:
        sha256 = hashlib.sha256(data).hexdigest()
        part = Part(0, sha256)
        uploads.take("noor", f"sha256:{sha256}", part, data)
        if len(joins) == uploading.MOST_JOINS:
            with pytest.raises(Refusal, match="too many files") as refused:
                uploads.join(f"sha256:{sha256}", len(data), [part])
            assert refused.value.type == "busy"
        else:
            joins.append(uploads.join(f"sha256:{sha256}", len(data), [part]))
    goes_on.set()
    for joined in joins:
        joined.result(30)
    uploads.join(f"sha256:{sha256}", len(data), [part]).result(30)
    assert len(store.list("materials")) == len(files)


@pytest.mark.parametrize("role", ["", "viewer", "artist", "member"])
def test_only_somebody_who_may_submit_brings_files(open_door: OpenDoor, role: str) -> None:
    (first, data), *_ = parts()
    asked = [
        open_door.ask("GET", f"/v1/uploads?digest=sha256:{SHA256}&bytes={len(DATA)}", role=role),
        raw(open_door, part_of(first), data, role=role),
        open_door.ask("POST", "/v1/upload_joins", {"digest": f"sha256:{SHA256}", "bytes": 0, "parts": []}, role=role),
    ]
    assert [one.status for one in asked] == [403 if role else 401] * 3
    assert open_door.store.list("uploads") == []


def test_a_part_that_breaks_off_leaves_nothing(store: Store) -> None:
    import socket
    from urllib.parse import urlsplit

    (first, data), *_ = parts()
    with OpenDoor(store) as door:
        where = urlsplit(door.endpoint)
        head = (
            f"POST {part_of(first)} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(data)}\r\n"
            f"authorization: Bearer {door.token('wrangler')}\r\ncontent-type: application/octet-stream\r\n\r\n"
        )
        with socket.create_connection((where.hostname, where.port), 10) as line:
            line.sendall(head.encode() + data[: PART_BYTES // 2])
        # The connection is closed here; the next answer shows that the door goes on.
        assert wait_for(lambda: json.loads(door.ask("GET", "/v1/health", role="").data)["ready"], 30)
        assert store.list("uploads") == []
        assert raw(door, part_of(first), data).status == 200
    assert held(store, SHA256) == {first}
