"""Clusters as somebody finds them who has no token: open ones are refused, closed ones let nobody in but holders."""

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ancestra_farm.farm import cluster, exposure
from ancestra_farm.farm.cluster import ClusterUnreachable, ray_cluster
from ancestra_farm.farm.exposure import ClusterOpen, NoAnswer, lets_in, refuse_open
from tests.farm.batches import batch_document, write_batch
from tests.farm.heads import Head
from tests.farm.processes import ROOT, _marked

JOIN = """
import sys
import ray
from ancestra_farm.farm.cluster import ray_cluster
if __name__ == "__main__":
    with ray_cluster(sys.argv[1], insecure=sys.argv[2] == "insecure"):
        print("nodes", len(ray.nodes()))
"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    head = Head(tmp_path_factory.mktemp("open"), "disabled")
    yield head
    head.close()


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    head = Head(tmp_path_factory.mktemp("closed"), "token")
    yield head
    head.close()


def join(address: str, how: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", JOIN, address, how],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.ray
def test_a_cluster_that_lets_in_whoever_asks_is_refused(opened: Head, tmp_path: Path) -> None:
    assert lets_in(opened.address) == "anybody"
    with pytest.raises(ClusterOpen, match=r"RAY_AUTH_MODE=token.*--insecure"):
        refuse_open(opened.address)
    batch = write_batch(tmp_path, batch_document())
    run = subprocess.run(
        [
            *[sys.executable, "-m", "ancestra_farm.cli.main", "run", str(batch)],
            *["--store", str(tmp_path / "store"), "--address", opened.address],
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 1
    assert "answers without a token" in run.stderr
    assert "RAY_AUTH_MODE=token" in run.stderr
    assert not (tmp_path / "store").exists()


@pytest.mark.ray
def test_an_open_cluster_is_joined_by_whoever_says_that_it_may_be(opened: Head) -> None:
    refused = join(opened.address, "secure")
    assert "ClusterOpen" in refused.stderr
    joined = join(opened.address, "insecure")
    assert joined.stdout.strip() == "nodes 1", joined.stderr


@pytest.mark.ray
def test_a_cluster_with_a_token_lets_in_its_holders_alone(closed: Head) -> None:
    assert lets_in(closed.address) == "holders"
    refuse_open(closed.address)
    assert join(closed.address, "secure").stdout.strip() == "nodes 1"
    wrong = join(closed.address, "secure", RAY_AUTH_TOKEN="0" * 64)
    assert "ClusterUnreachable" in wrong.stderr
    assert "nodes" not in wrong.stdout


@pytest.mark.ray
def test_a_ray_of_our_own_listens_on_this_machine_only(closed: Head) -> None:
    listening = {}
    for pid, line in _marked(closed.mark):
        for host, port in sockets_of(pid):
            listening[f"{host}:{port}"] = line
    assert listening
    loopback = ("127.", "::1", "::ffff:127.")
    assert {where: line for where, line in listening.items() if not where.startswith(loopback)} == {}


def sockets_of(pid: int) -> Iterator[tuple[str, int]]:
    """Addresses that a process listens on for TCP (proc(5): state 0A)."""
    try:
        links = [str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return
    ours = {link[8:-1] for link in links if link.startswith("socket:[")}
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in ours:
                host, port = fields[1].split(":")
                words = [bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8)]
                yield socket.inet_ntop(family, b"".join(words)), int(port, 16)


def test_what_is_no_cluster_is_not_taken_for_a_closed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposure, "ANSWER_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(NoAnswer, match="does not say"):
            lets_in(address)
        with pytest.raises(NoAnswer):
            lets_in(f"ray://{address}")
        with pytest.raises(ClusterUnreachable, match="port of a Ray head"), ray_cluster(address):
            raise AssertionError("joined")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_rays_token_is_nobody_elses_from_its_first_moment(home: Path) -> None:
    before = os.umask(0)
    try:
        cluster._make_token()
    finally:
        os.umask(before)
    token = home / ".ray" / "auth_token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(bytes.fromhex(token.read_text())) == 32
    assert [one.name for one in token.parent.iterdir()] == ["auth_token"]


def test_a_token_that_is_there_stays_and_is_made_private(home: Path) -> None:
    token = home / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("theirs")
    token.chmod(0o644)
    cluster._make_token()
    assert token.read_text() == "theirs"
    cluster._keep_token_private()
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_of_many_who_make_a_token_at_once_all_find_the_same(home: Path) -> None:
    found = []

    def make() -> None:
        cluster._make_token()
        found.append((home / ".ray" / "auth_token").read_text())

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_token_somebody_named_is_left_to_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    cluster._make_token()
    assert not (home / ".ray").exists()


def test_a_home_that_cannot_hold_a_token_is_said(home: Path) -> None:
    (home / ".ray").write_text("a file")
    with pytest.raises(ClusterUnreachable, match="cannot be written"):
        cluster._make_token()
