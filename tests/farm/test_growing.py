"""Ray's real autoscaler: nodes come for a farm's work, are replaced when lost or drained, and go when it is done."""

import os
import signal
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest
import yaml

from ancestra_farm.api.batchfile import prepared
from ancestra_farm.api.client import Client
from ancestra_farm.api.offline import take
from ancestra_farm.batch.farm_settings import FarmSettings
from ancestra_farm.batch.load import canonical
from ancestra_farm.farm.scratch import scratch
from ancestra_farm.ledger.store import Store
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.plan.events import OrderGiven, WaveReleased
from ancestra_farm.plan.farm_events import HostNoted, NodeNoticed, NodeOrdered, NodesPaid, SettingsGiven
from ancestra_farm.scheduler.world import ChangeSettings, Submit
from tests.farm.batches import batch_document, write_batch
from tests.farm.growing import environment
from tests.farm.logs import attempts_of, events_of
from tests.farm.processes import Attended, Persisting, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

PRICE = 36.0
FARM = {
    "schema": "ancestra/farm/v1",
    "node_types": {
        "l4-spot": {
            "gpus": 1, "cpus": 2, "memory_gib": 8, "vram_gib": 24, "accelerator": "L4", "market": "spot",
            "price_per_hour": PRICE, "max_nodes": 2,
        },
    },
    "scaling": {"target_wait_s": 20, "idle_s": 2},
}  # fmt: skip
CANDIDATES = 110


def write_card(folder):
    """The farm's own stills, for hosts that want a GPU."""
    card = load_catalog()["procedural/stills"]
    fields = card.model_dump(mode="json", by_alias=True, exclude_none=True)
    on_gpu = {**fields, "id": "test/on-gpu", "gpus": 1, "vram_gib": 16.0, "seconds_per_candidate": 1.0}
    folder.mkdir()
    (folder / "on-gpu.yaml").write_text(yaml.safe_dump(on_gpu))
    return folder


class Growing(Persisting):
    """A Ray with the real autoscaler in another process, and farms on it."""

    def __init__(self, folder, short):
        self.run = Attended(
            folder,
            module="tests.farm.growing",
            environment=environment(short, uuid.uuid4().hex),
            place=str(folder),
            farm=FARM,
        )
        self.given = 0

    def nodes(self):
        """(Process id, type) of every node but the head."""
        found = [(pid, started_as(pid, "RAY_NODE_TYPE_NAME")) for pid in self.run.pids("/raylet/raylet ")]
        return [(pid, kind) for pid, kind in found if kind]

    def is_up(self, node):
        """Whether the node with this id of Ray's still runs."""
        return any(started_as(pid, "RAY_CLOUD_INSTANCE_ID") == node for pid, _ in self.nodes())


def started_as(pid, name):
    """A variable that a raylet was started with; empty where it has none, and for one that is gone."""
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    return dict(entry.split("=", 1) for entry in environ if "=" in entry).get(name, "")


class Watch:
    """Counts nodes by looking at processes, a few times a second. ``most``: at once."""

    def __init__(self, growing):
        self.growing = growing
        self.most = 0

    def look(self):
        """The nodes there are, by type."""
        kinds = Counter(kind for _, kind in self.growing.nodes())
        self.most = max(self.most, kinds.total())
        return kinds

    def until(self, met, within_s=300.0):
        """Look until a condition is met."""
        return wait_for(lambda: met(self.look()), within_s)


def given_settings(store):
    """The farm's settings, by order."""
    farm = canonical(FarmSettings.model_validate(FARM))
    given = SettingsGiven("farm", "", farm, "wrangler", time.time())
    take(store, lambda: [ChangeSettings(given)], "wrangler", "settings")


def submitted_for_later(store, batch, cards):
    """Hand a batch in that is to begin in two minutes: sooner than a node and a load are thought to take."""
    plan = prepared(batch, cards).plan
    submission = Submit(plan.document, dict(plan.card_documents), "tester", start_at=time.time() + 120)
    take(store, lambda: [submission], "tester", "a batch that is known of")


def begin(store, batch):
    """Let it begin now, by order."""
    with Client.of(store) as client:
        client.give([OrderGiven(batch, "unpause", "tester", 0.0)])


def paid(url):
    """What the log says of nodes."""
    return [event for event in events_of(url) if isinstance(event, NodesPaid)]


def drain_one(store):
    """Have a node drained whose host is at work: Ray's id of the node, and the host."""
    with Client.of(store) as client:
        found = wait_for(lambda: [one for one in client.hosts().hosts if one.ready and one.working and one.node], 60)
        client.order_node(NodeOrdered("drain", "tester", 0.0, node=found[0].node, note="its fan rattles"))
    return found[0].node, found[0].host


def test_nodes_come_ahead_of_work_are_replaced_when_lost_or_drained_and_go_when_it_is_done(tmp_path):
    cards = write_card(tmp_path / "cards")
    document = batch_document(
        model="test/on-gpu", candidates=CANDIDATES, wave=CANDIDATES, parameters={"delay_s": 1.0, "fault_rate": 0.0}
    )
    batch = write_batch(tmp_path, document)
    store = Store.open(str(tmp_path / "store"), create=True)
    url = store.url
    given_settings(store)
    with scratch("g-", "/tmp") as short:
        growing = Growing(tmp_path, short)
        try:
            wait_for(lambda: growing.said("ready"), 200)
            watch = Watch(growing)
            assert watch.look() == {}
            submitted_for_later(store, batch, cards)
            growing.give(batch=str(batch), store=url, cards=str(cards), stay=True, who="tester")
            watch.until(lambda _: sum(isinstance(event, HostNoted) for event in events_of(url)) == 2)
            assert not [event for event in events_of(url) if isinstance(event, WaveReleased | OrderGiven)][1:]
            begin(store, document["batch"])
            watch.until(lambda _: len({attempt.host for attempt in attempts_of(url, "judged")}) == 2)
            assert watch.look() == {"l4-spot": 2}  # three are asked for, and there may be two
            lost, _ = growing.nodes()[0]
            os.kill(lost, signal.SIGKILL)
            watch.until(lambda _: attempts_of(url, "host_lost"))
            watch.until(lambda _: len({attempt.host for attempt in attempts_of(url, "judged")}) == 3)
            drained, host = drain_one(store)
            watch.until(lambda _: not growing.is_up(drained))
            (noticed,) = [event for event in events_of(url) if isinstance(event, NodeNoticed)]
            assert (noticed.node, noticed.hosts) == (drained, (host,))
            watch.until(lambda _: len({attempt.host for attempt in attempts_of(url, "judged")}) == 4)
            watch.until(lambda _: len(attempts_of(url, "judged")) == CANDIDATES)
            watch.until(lambda kinds: not kinds)
            watch.until(lambda _: paid(url) and paid(url)[-1].nodes == 0)
            assert watch.most <= 3  # the one that was lost is believed to be there for a while
            assert {event.node_type for event in paid(url)} == {"l4-spot"}
            node_s = sum(event.node_s for event in paid(url))
            assert sum(event.cost for event in paid(url)) == pytest.approx(node_s * PRICE / 3600)
            growing.give(node_s=True)
            known_s = wait_for(lambda: growing.said("node_s"), 60)[0]["node_s"]
            assert 1.0 <= node_s / known_s <= 1.1
            assert Counter(attempt.cause for attempt in attempts_of(url)).keys() == {"judged", "host_lost"}
        finally:
            growing.run.close()
