"""Ray's own draining of nodes: having it begin, and seeing where it goes on; and nodes that went without a word.

A node that drains gets no new actors; those it has go on until they end, and when it is empty it leaves. Ray has no
public way to either: what is used here is what its autoscaler and its hidden ``ray drain-node`` use, and
``tests/farm/test_draining.py`` holds it to that.

A node that was killed is believed to be up until it has missed some heartbeats, and Ray would place hosts on it
meanwhile. So where a host is lost with more than its process, its node is asked whether it is there.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

import ray
import ray._private.state
from ray._raylet import GcsClient  # type: ignore[attr-defined] # compiled, without types
from ray.core.generated import autoscaler_pb2

from ancestra_farm.farm.news import News
from ancestra_farm.farm.nodes import Node, answers, nodes_up
from ancestra_farm.farm.notices import Notice
from ancestra_farm.scheduler.world import Happening, NodeLeaving

#: Ray gives every node a label with its own id.
NODE_ID_LABEL = "ray.io/node-id"


#: A drain that Ray has not taken up by then is asked for again.
AGAIN_S = 5.0
#: No host is placed for so long on a node that did not answer: Ray takes up to 65 s to find that it is gone (five
#: heartbeats in a row, three seconds apart, of ten seconds each). One that is there after all is used again then.
SILENT_S = 90.0

_LOG = logging.getLogger(__name__)


class DrainRefused(Exception):
    """Ray would not drain a node; the message says why."""


def drain(node: str, why: str, at: float | None) -> None:
    """Have a node drained that goes away at ``at`` (Unix seconds; None: when it is empty). It cannot be undone.

    Of a node that drains already only the time is changed; one that is gone is left alone. May wait for Ray's head.
    Raises DrainRefused.
    """
    address = ray.get_runtime_context().gcs_address
    deadline_ms = 0 if at is None else max(int(at * 1000), int(time.time() * 1000) + 1000)
    reason = autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION  # type: ignore[attr-defined] # generated
    try:
        accepted, refusal = GcsClient(address=address).drain_node(node, reason, why, deadline_ms)
    except (RuntimeError, ValueError, OSError) as error:  # Ray's own are RuntimeErrors
        raise DrainRefused(f"node {node[:8]}: {error}") from error
    if not accepted:
        raise DrainRefused(f"node {node[:8]}: {refusal}")


def draining_nodes() -> dict[str, float | None]:
    """When each node that drains is to be gone (Unix seconds; None: nobody said), by Ray's id of it."""
    found: Mapping[str, int] = ray._private.state.state.get_draining_nodes()
    return {node: at_ms / 1000 if at_ms else None for node, at_ms in found.items()}


def away_from(selector: Mapping[str, str], nodes: Iterable[str]) -> dict[str, str]:
    """A label selector that asks for what ``selector`` asks for, on any node but these."""
    avoided = sorted(nodes)
    return {**selector, NODE_ID_LABEL: f"!in({','.join(avoided)})"} if avoided else dict(selector)


def still_owed(
    owed: Mapping[str, tuple[str, float | None]], draining: Collection[str], up: Collection[str]
) -> dict[str, tuple[str, float | None]]:
    """Drains that Ray is still to be asked for, by node: not of nodes that drain already, nor of any that are gone."""
    return {node: wish for node, wish in owed.items() if node in up and node not in draining}


class Drains:
    """What one controller knows of nodes on their way out. For its loop's thread.

    ``here``: the node the controller is on, which Ray is never asked to drain: the controller would go with it.
    ``put``: its inbox. ``leaving``: nodes that the scheduler was told of; ``blocked``: those that people blocked;
    ``silent``: those that did not answer, with the moment (monotonic) until which they count as gone.
    """

    def __init__(self, here: str, put: Callable[[News], None]) -> None:
        self._here = here
        self._put = put
        self._told: dict[str, float | None] = {}
        self._owed: dict[str, tuple[str, float | None]] = {}
        self._asked_at: dict[str, float] = {}
        self.leaving: set[str] = set()
        self.blocked: frozenset[str] = frozenset()
        self.silent: dict[str, float] = {}

    @property
    def unusable(self) -> frozenset[str]:
        """Nodes on which no host is placed, and whose slots do not count."""
        return self.avoided | self.leaving

    @property
    def avoided(self) -> frozenset[str]:
        """Nodes that Ray is told to place no host on; from those that drain it keeps away by itself."""
        return self.blocked | self.silent.keys()

    def lost(self, node: str, news: News) -> None:
        """A host is gone, and perhaps its node too: ``news`` of it is put once that is known, in a second at most."""
        found = next((one for one in nodes_up() if one.node == node), None)
        if found is None:
            self._put(news)
        else:
            threading.Thread(target=self._knock, args=(found, news), name="knock", daemon=True).start()

    def _knock(self, node: Node, news: News) -> None:
        there = answers(node)
        self._put(news if there else partial(self._is_silent, node.node, news))

    def _is_silent(self, node: str, news: News) -> Happening | None:
        self.silent[node] = time.monotonic() + SILENT_S
        return news()

    def noticed(self, node: str, notice: Notice) -> NodeLeaving | None:
        """A node's own agent has heard that it goes away; None if that was heard already."""
        if node in self._told and not _earlier(notice.at, self._told[node]):
            return None
        self.ask(node, notice.why, notice.at)
        return self._leaves(NodeLeaving(node, notice.at, notice.why))

    def ask(self, node: str, why: str, at: float | None) -> None:
        """Have Ray drain a node at once, and again until it does."""
        self.owe(node, why, at)
        if node in self._owed:
            self._drain(node)

    def owe(self, node: str, why: str, at: float | None) -> None:
        """Have Ray drain a node from the next look on, if it is there then and does not drain yet."""
        self._told[node] = at
        self.leaving.add(node)
        if node != self._here:
            self._owed[node] = (why, at)

    def look(self) -> None:
        """Called every second: news of nodes that Ray drains, for whatever reason."""
        found = draining_nodes()
        for node, at in found.items():
            if node not in self._told or _earlier(at, self._told[node]):
                self._told[node] = at
                self._put(partial(self._leaves, NodeLeaving(node, at, "Ray drains it")))
        now = time.monotonic()
        self.silent = {node: until for node, until in self.silent.items() if now < until}
        if self._owed:
            self._owed = still_owed(self._owed, found, {node.node for node in nodes_up()})
            for node in self._owed:
                if now - self._asked_at.get(node, -AGAIN_S) >= AGAIN_S:
                    self._drain(node)

    def _leaves(self, leaving: NodeLeaving) -> NodeLeaving:
        # Its slots count until the scheduler hears of it: it would let go of other hosts for them.
        self.leaving.add(leaving.node)
        return leaving

    def _drain(self, node: str) -> None:
        self._asked_at[node] = time.monotonic()
        why, at = self._owed[node]
        threading.Thread(target=_try_to_drain, args=(node, why, at), name="drain", daemon=True).start()


def _try_to_drain(node: str, why: str, at: float | None) -> None:
    """On a thread of its own: while Ray's head is away, this waits for it."""
    try:
        drain(node, why, at)
    except DrainRefused as refused:
        _LOG.warning("%s", refused)


def _earlier(at: float | None, than: float | None) -> bool:
    """By more than a second: Ray rounds to milliseconds, and nothing is decided in less."""
    return at is not None and (than is None or at < than - 1.0)
