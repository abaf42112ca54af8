"""A farm that comes up on a real cluster by a Ray job, serves people who know no Ray, and outlives the cluster."""

import contextlib
import gc
import os
import signal
import socket
import sys
import time
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray._raylet import AuthenticationTokenLoader, Config
from ray.cluster_utils import Cluster

from ancestra_farm.farm.cluster import ENVIRONMENT, OBJECT_STORE_BYTES
from ancestra_farm.farm.head import Head, HeadRefused
from ancestra_farm.farm.job import STORE_KEY
from ancestra_farm.farm.scratch import scratch
from ancestra_farm.ledger.liveness import who_is_alive
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.verify import verify
from tests.cli.conftest import Ancestra, ancestra, own_state  # noqa: F401 - fixtures
from tests.farm.batches import batch_document, write_batch
from tests.farm.processes import MARK, _marked, wait_for

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(600),
    # Ray leaves pipes and sockets of its daemons to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


AGENT_PORTS = ("dashboard_agent_listen_port", "metrics_agent_port", "metrics_export_port", "runtime_env_agent_port")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A token and a temporary folder of this test's own, for every cluster that it starts."""
    with scratch("s-", "/tmp") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        wanted = {
            **ENVIRONMENT,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": uuid.uuid4().hex * 2,
            "RAY_TMPDIR": str(folder),
            MARK: uuid.uuid4().hex,
        }
        for name, value in wanted.items():
            monkeypatch.setenv(name, value)
        for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "ANCESTRA_ENDPOINT"):
            monkeypatch.delenv(name, raising=False)
        Config.initialize("")
        AuthenticationTokenLoader.instance().reset_cache()
        try:
            yield monkeypatch
        finally:
            lose(wanted[MARK])
        AuthenticationTokenLoader.instance().reset_cache()
        gc.collect()


@contextlib.contextmanager
def cluster_with_a_head() -> Iterator[str]:
    """A cluster whose head has one slot and the Jobs API, and the address of that. Lost at the end, all at once."""
    cluster = started()
    try:
        yield f"http://{cluster.webui_url}"
    finally:
        lose(os.environ[MARK])
        cluster.shutdown()


def started(tries: int = 3) -> Any:
    """A cluster. Ray gives a node 30 s to come up, which it does not always get on a machine that others use, too.

    Its agents are told their ports: a node that has to wait until it hears of them gives up after a few seconds.
    """
    head = {
        "num_cpus": 1,
        "object_store_memory": OBJECT_STORE_BYTES,
        "include_dashboard": True,
        "dashboard_port": 0,
        **{name: free_port() for name in AGENT_PORTS},
    }
    try:
        return Cluster(initialize_head=True, shutdown_at_exit=False, head_node_args=head)
    except Exception:
        lose(os.environ[MARK])
        if tries == 1:
            raise
        return started(tries - 1)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def lose(mark: str) -> None:
    """The machines are gone, all at once: every process that this test has started."""
    while pids := [pid for pid, _ in _marked(mark)]:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)  # they are others' children: nobody here can wait for them


def test_a_farm_comes_up_on_first_submit_and_goes_on_with_the_next_cluster(
    ancestra: Ancestra,  # noqa: F811 - the fixture
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    url = str(tmp_path / "store")
    on_cluster = ("--listen", "127.0.0.1:0", "--python", sys.executable, "--as", "noor")
    slow = write_batch(tmp_path, batch_document(candidates=60, wave=20, parameters={"delay_s": 0.5}))
    quick = write_batch(tmp_path, {**batch_document(candidates=8), "batch": "quick"}, "quick.yaml")
    with cluster_with_a_head() as address:
        first = ancestra("submit", slow, "--store", url, "--address", address, *on_cluster)
        assert first.code == 0, first.err
        assert "bringing the farm up: job ancestra-" in first.err
        store = Store.open(url)
        presence = who_is_alive(store)
        assert presence is not None
        assert presence.who == "noor"
        people_need_no_ray(ancestra, environment, store, address, quick)
        the_doctor_sees_it(ancestra, store, address)
        a_job_that_fails_is_told(ancestra, tmp_path, address)
    wait_for(lambda: who_is_alive(store) is None, 60)
    assert states(ancestra, url)["tiny"] == "running"
    with cluster_with_a_head() as address:
        up = ancestra("up", "--store", url, "--address", address, *on_cluster)
        assert up.code == 0, up.err
        assert "unfinished shots" in up.out
        done = ancestra("submit", slow, "--store", url, "--wait", "--timeout", "200")
        assert done.code == 0, done.err + done.out
        assert "anc_000  60 stills" in done.out
        assert ancestra("stop", "--store", url).code == 0
        again = ancestra("up", "--store", url, "--address", address, *on_cluster)  # its job is still about to end
        assert again.code == 0, again.err
        assert ancestra("stop", "--store", url).code == 0
        with Head(address) as head:
            wait_for(lambda: [job.status for job in head.jobs()] == ["SUCCEEDED"] * 2, 60)
        said = ancestra("logs", "--job", "--store", url, "--address", address)
        assert (said.code, "interrupted" in said.out) == (0, True), said.err
    assert verify(store).problems == ()
    assert set(states(ancestra, url).values()) == {"done"}


def states(ancestra: Ancestra, url: str) -> dict[str, str]:  # noqa: F811
    """How every batch stands."""
    return {row["batch"]: row["state"] for row in ancestra("ls", "--store", url, "--json").json}


def people_need_no_ray(
    ancestra: Ancestra,  # noqa: F811
    environment: pytest.MonkeyPatch,
    store: Store,
    address: str,
    batch: Path,
) -> None:
    """Once the farm is up, nobody needs the cluster's address or its token."""
    with Head(address) as head:
        assert [(job.metadata[STORE_KEY], job.status) for job in head.jobs()] == [(store.id, "RUNNING")]
    token = os.environ["RAY_AUTH_TOKEN"]
    environment.setenv("RAY_AUTH_TOKEN", "0" * 64)
    with Head(address) as head, pytest.raises(HeadRefused, match="another's"):
        head.jobs()
    said = ancestra("submit", batch, "--store", store.url)
    assert said.code == 0, said.err
    assert "bringing" not in said.err
    assert list(states(ancestra, store.url)) == ["tiny", "quick"]
    environment.setenv("RAY_AUTH_TOKEN", token)


def the_doctor_sees_it(ancestra: Ancestra, store: Store, address: str) -> None:  # noqa: F811
    """Token, versions, nodes, the job; and from inside, the packages of the head and the store as it sees it."""
    rows = ancestra("doctor", "--json", "--store", store.url, "--address", address, "--from-inside",
                    "--python", sys.executable).json  # fmt: skip
    found = {row["what"]: row for row in rows}
    assert found["cluster token"]["state"] == "good"
    assert found["cluster, Ray"]["state"] == "good"
    assert found["cluster, Python"]["found"] == sys.version.split()[0]
    assert found["nodes"]["found"] == "1 alive: the head and 0 more"
    assert found["farm's job"]["found"].endswith("running")
    assert found["model procedural/stills"]["state"] == "good"
    assert found["head: store"]["state"] == "good"
    assert found["head: ray"]["state"] == "good"


def a_job_that_fails_is_told(ancestra: Ancestra, tmp_path: Path, address: str) -> None:  # noqa: F811
    """With what it said last, line by line."""
    said = ancestra("up", "--store", tmp_path / "other", "--address", address, "--python", "/nowhere/python")
    assert said.code == 1
    assert "ended (failed) before the farm was up; it said:" in said.err
    assert "/nowhere/python" in said.err
