"""Several real nodes of Ray on one machine: a head without a slot, with its own token, and nodes that come and go."""

import contextlib
import gc
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from types import MappingProxyType
from typing import Any, TypeVar

import pytest
import ray
from ray._raylet import AuthenticationTokenLoader, Config
from ray.cluster_utils import Cluster

from ancestra_farm.farm.cluster import ENVIRONMENT, OBJECT_STORE_BYTES
from ancestra_farm.farm.scratch import scratch
from tests.farm.processes import wait_for

T = TypeVar("T")

#: For every test that starts such a cluster.
MARKS = (
    pytest.mark.ray,
    pytest.mark.timeout(400),
    # Ray leaves pipes and sockets of its daemons to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
)


@contextlib.contextmanager
def small_cluster() -> Iterator[Cluster]:
    """A head on which controllers live, and this process connected to it."""
    with pytest.MonkeyPatch.context() as environment, scratch("n-", "/tmp") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        wanted = {
            **ENVIRONMENT,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": uuid.uuid4().hex,
            "RAY_TMPDIR": str(folder),  # also for the file in which Ray says which cluster this machine runs
        }
        for name, value in wanted.items():
            environment.setenv(name, value)
        Config.initialize("")
        AuthenticationTokenLoader.instance().reset_cache()  # an earlier test's Ray had another token
        cluster = Cluster(
            initialize_head=True,
            shutdown_at_exit=False,
            head_node_args={
                "num_cpus": 0,
                "object_store_memory": OBJECT_STORE_BYTES,
                "include_dashboard": False,
                "include_log_monitor": False,
                "no_monitor": True,  # the autoscaler's: nodes come and go by hand
            },
        )
        ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
        try:
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()
            del cluster
            AuthenticationTokenLoader.instance().reset_cache()
            gc.collect()  # the processes of its nodes, which Ray does not wait for, while warnings of them are off


def add_node(cluster: Cluster, environment: Mapping[str, str] = MappingProxyType({}), **options: Any) -> Any:
    """A node with one CPU. ``environment``: what its processes see besides."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in environment.items():
            patched.setenv(name, value)
        return cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_BYTES, **options)


def nodes_of(cluster: Cluster, count: int, environment: Mapping[str, str] = MappingProxyType({})) -> list[Any]:
    """So many nodes that are up: those that an earlier test has left, and new ones, which take seconds to come up.

    Ray believes for a while that a node which was killed is up, and would put hosts there.
    """
    known = {node.node_id for node in cluster.list_all_nodes()}
    wait_for(lambda: {node["NodeID"] for node in ray.nodes() if node["Alive"]} <= known, 120)
    up = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
    found = [node for node in cluster.worker_nodes if node.node_id in up][:count]
    return found + [add_node(cluster, environment) for _ in range(count - len(found))]


def in_thread(work: Callable[[], T]) -> "Future[T]":
    """Run it on a thread; the future is done with it."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
            raise

    threading.Thread(target=run, daemon=True).start()
    return future
