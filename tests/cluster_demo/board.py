"""Looks at a farm through its door once a second, as a wallboard would: with a viewer's token, and nothing else."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from ancestra_farm.api.client import Client
from tests.cluster_demo.story import DOING, Bill, Mark, Sample, What

LOOK_S = 1.0
MOST_EVENTS = 1000
PARTS = ("wall", "busy", "loading", "starved", "idle")


class NotInTime(Exception):
    """Something did not happen in time; the message says what."""


class Numbers:
    """The farm's metrics at one moment."""

    def __init__(self, text: str) -> None:
        families = text_string_to_metric_families(text)
        self._samples = [sample for family in families for sample in family.samples]

    def by(self, name: str, label: str) -> dict[str, float]:
        """Values of a metric summed by one of its labels."""
        found: dict[str, float] = {}
        for sample in self._samples:
            if sample.name == name:
                of = sample.labels.get(label, "")
                found[of] = found.get(of, 0.0) + sample.value
        return found

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's values that have these labels."""
        return sum(
            sample.value for sample in self._samples if sample.name == name and labels.items() <= sample.labels.items()
        )


class Board(threading.Thread):
    """``samples`` and ``marks`` grow as it looks; ``say`` is called with each mark as it is heard of."""

    def __init__(self, client: Client, say: Callable[[Mark], None]) -> None:
        super().__init__(name="board", daemon=True)
        self.samples: list[Sample] = []
        self.marks: list[Mark] = []
        self.judged: Counter[str] = Counter()
        self.ready = 0
        self.lost = 0
        self.working: set[str] = set()
        self.nodes_seen: set[str] = set()
        self._client = client
        self._say = say
        self._through = client.status().commit
        self._nodes: dict[str, int] = {}
        self._ended = threading.Event()

    def run(self) -> None:
        """Look until told to end."""
        while not self._ended.wait(LOOK_S):
            self.look()

    def end(self) -> None:
        """Look no more."""
        self._ended.set()
        self.join()

    def note(self, what: What, text: str, of: str = "", at: float | None = None) -> None:
        """Something happened."""
        mark = Mark(time.time() if at is None else at, what, text, of)
        self.marks.append(mark)
        self._say(mark)

    def until(self, what: str, met: Callable[[], Any], within_s: float = 120.0) -> Any:
        """Wait for something, and return it. Raises NotInTime."""
        until = time.monotonic() + within_s
        while self.is_alive():
            if found := met():
                return found
            if time.monotonic() > until:
                raise NotInTime(f"waited {within_s:.0f} s in vain for {what}")
            time.sleep(0.3)
        raise NotInTime(f"the farm could not be looked at any more, waiting for {what}")

    def done(self, *batches: str) -> bool:
        """Whether these batches are there and nothing of them is left to do."""
        shots = [shot for shot in self._client.status().shots if shot.batch in batches]
        return {shot.batch for shot in shots} == set(batches) and all(shot.state == "done" for shot in shots)

    @property
    def nobody_up(self) -> bool:
        """Whether the farm has known no node for two looks: what the last one cost is in the log by then."""
        return len(self.samples) > 1 and not any(sum(sample.nodes.values()) for sample in self.samples[-2:])

    def look(self) -> None:
        """One look."""
        told = self._client.events(self._through, MOST_EVENTS)
        self._through = told.through
        for one in told.events:
            self._hear(one.kind, one.event)
        numbers = Numbers(self._client.metrics())
        nodes = {kind: round(number) for kind, number in numbers.by("ancestra_nodes", "node_type").items()}
        doing: dict[str, str] = {}
        for host in self._client.hosts().hosts:
            if host.node is not None:
                doing[host.node] = "loading" if not host.ready else "busy" if host.working else "idle"
        self.nodes_seen |= doing.keys()
        self.working = {node for node, what in doing.items() if what == "busy"}
        counts = {what: list(doing.values()).count(what) for what in DOING}
        counts["empty"] = max(0, sum(nodes.values()) - len(doing))
        queue = numbers.by("ancestra_class_queue_candidates", "class")
        self.samples.append(
            Sample(
                time.time(),
                nodes,
                counts,
                {of: round(number) for of, number in queue.items()},
                numbers.total("ancestra_slots_planned", device="gpu"),
            )
        )

    def bill(self) -> Bill:
        """What it came to, as the farm's metrics have it."""
        numbers = Numbers(self._client.metrics())
        money = numbers.by("ancestra_node_money_total", "currency")
        return Bill(
            {part: numbers.total(f"ancestra_device_{part}_seconds_total") for part in PARTS},
            numbers.by("ancestra_node_seconds_total", "node_type"),
            numbers.by("ancestra_node_money_total", "node_type"),
            next(iter(money), ""),
            numbers.total("ancestra_candidate_device_seconds_total"),
        )

    # ---- what the log says ----------------------------------------------------------------------------------------

    def _hear(self, kind: str, event: dict[str, Any]) -> None:
        at = event.get("at")
        if kind == "AttemptEnded":
            self.judged[event["batch"]] += event["cause"] == "judged"
        elif kind == "BatchSubmitted":
            batch = next(one for one in self._client.batches().batches if one.batch == event["batch"])
            text = f"{event['who']} submits {batch.batch} (class {batch.priority}, show {batch.show})"
            self.note("submitted", text, batch.priority, at)
        elif kind == "NodesPaid" and event["nodes"] != self._nodes.get(event["node_type"], 0):
            before = self._nodes.get(event["node_type"], 0)
            self._nodes[event["node_type"]] = event["nodes"]
            change = event["nodes"] - before
            self.note("other", f"{event['node_type']}: {event['nodes']} up ({change:+d})", event["node_type"], at)
        elif kind == "HostNoted":
            self._hear_host(event)
        elif kind == "NodeOrdered":
            node = short(event["node"])
            what: What = "drained" if event["order"] == "drain" else "other"
            self.note(what, f"{event['who']} orders: {event['order']} {node}, {event['note']}", node, at)
        elif kind == "NodeNoticed":
            self.note("other", f"{short(event['node'])} is on its way out: {event['why'][:90]}", at=at)

    def _hear_host(self, event: dict[str, Any]) -> None:
        where = f" on {event['node_type']}" if event["node_type"] else ""
        if event["what"] == "ready":
            self.ready += 1
            self.note("other", f"a host is ready{where}, {event['message']}", at=event["at"])
        elif event["what"] == "lost":
            self.lost += 1
            self.note("lost", f"a host is lost ({event['message'].partition(':')[0]})", at=event["at"])
        else:
            self.note("other", f"a host {event['what'].replace('_', ' ')}: {event['message'][:90]}", at=event["at"])


def short(node: str) -> str:
    """A node as people call it: Ray's ids of these nodes end in their numbers."""
    return f"node {int(node[-5:])}" if node[-5:].isdigit() else f"node {node[:8]}"
