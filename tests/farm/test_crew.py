"""The controller's hands on a real Ray: what was taken back does not begin, and how a death is told, in Ray's words."""

import warnings

import pytest
import ray._private.worker
from ray.exceptions import RayError

from ancestra_farm.batch.faults import FaultProfile
from ancestra_farm.batch.load import canonical
from ancestra_farm.farm.cluster import ray_cluster
from ancestra_farm.farm.crew import Crew, cause_of_death
from ancestra_farm.farm.faults import Injection, chance, journalled
from ancestra_farm.farm.news import Inbox
from ancestra_farm.ledger.store import Store
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.scheduler.world import (
    Dispatch,
    HostLost,
    HostReady,
    KillHost,
    Revoke,
    StartHost,
    TicketEnded,
    TicketStarted,
)
from tests.farm.batches import batch_document, space_of, ticket_of
from tests.farm.processes import wait_for


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        (
            "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit ...",
            "crash",
        ),
        ("The actor died because its node has died. Node Id: 5f", "host_lost"),
        ("The actor is temporarily unavailable: RpcError", "host_lost"),
        ("for a reason nobody has thought of", "host_lost"),
    ],
)
def test_only_the_end_of_the_process_itself_is_a_crash(told, cause):
    assert cause_of_death(RayError(told)) == cause


def test_the_switch_for_rays_pages_about_deaths_is_still_there():
    assert callable(ray._private.worker.print_to_stdstream)


class Heard:
    """What a crew tells the controller, as it comes."""

    def __init__(self, inbox):
        self.inbox = inbox
        self.happenings = []

    def wait(self, wanted):
        """Until a happening fits; it."""

        def look():
            self.happenings += [found for news in self.inbox.collect(0.05, 0.0) if (found := news()) is not None]
            return next((one for one in self.happenings if wanted(one)), None)

        return wait_for(look, 120)

    def of(self, kind):
        return [one for one in self.happenings if isinstance(one, kind)]


@pytest.fixture(scope="module")
def shared_ray():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with ray_cluster(cpus=1):
            yield


def on_ray(test):
    """A test that needs a Ray; Ray leaves pipes and sockets of its daemons to the garbage collector."""
    for mark in (
        pytest.mark.ray,
        pytest.mark.timeout(300),
        pytest.mark.filterwarnings("ignore::ResourceWarning"),
        pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    ):
        test = mark(test)
    return test


@on_ray
def test_tickets_that_are_taken_back_never_begin_and_a_killed_host_is_told_once(tmp_path, shared_ray):
    store = Store.open(str(tmp_path / "store"), create=True)
    inbox = Inbox()
    crew, heard = Crew(inbox, store.url), Heard(inbox)
    card = load_catalog(None)["procedural/stills"]
    space = space_of(batch_document(parameters={"delay_s": 0.2}))
    crew.start(StartHost("h1", card.id, canonical(card), 0, 1.0))
    heard.wait(lambda one: isinstance(one, HostReady))

    def dispatch(name):
        crew.dispatch(Dispatch("h1", ticket_of(space, range(2), name)), owed=False)

    dispatch("runs")
    heard.wait(lambda one: isinstance(one, TicketStarted))
    back = [f"back-{n}" for n in range(12)]
    for name in back:
        # At once, and while the host asks whether to begin: either way it was taken back before it was told to.
        dispatch(name)
        crew.revoke(Revoke("h1", name))
        ended = heard.wait(lambda one, name=name: isinstance(one, TicketEnded) and one.ticket == name)
        assert ended.attempts == ()
    assert {one.ticket for one in heard.of(TicketStarted)} == {"runs"}
    runs = heard.wait(lambda one: isinstance(one, TicketEnded) and one.ticket == "runs")
    assert len(runs.attempts) == 2

    dispatch("hangs")
    heard.wait(lambda one: isinstance(one, TicketStarted) and one.ticket == "hangs")
    crew.kill(KillHost("h1", "no answer within the deadline"))
    lost = heard.wait(lambda one: isinstance(one, HostLost))
    assert (lost.host, lost.cause, lost.generating) == ("h1", "deadline", "hangs")
    crew.start(StartHost("h2", card.id, canonical(card), 0, 1.0))
    heard.wait(lambda one: isinstance(one, HostReady) and one.host == "h2")  # the device is free again
    assert len(heard.of(HostLost)) == 1
    crew.close()


@on_ray
def test_a_host_without_work_tells_the_time_that_it_idles(tmp_path, shared_ray, monkeypatch):
    monkeypatch.setattr("ancestra_farm.farm.clocks.ASK_S", 0.1)
    monkeypatch.setattr("ancestra_farm.farm.clocks.QUIET_ASK_S", 0.1)
    inbox = Inbox()
    crew, heard = Crew(inbox, Store.open(str(tmp_path / "store"), create=True).url), []
    card = load_catalog(None)["procedural/stills"]
    crew.start(StartHost("h1", card.id, canonical(card), 0, 1.0))
    ready = Heard(inbox)
    ready.wait(lambda one: isinstance(one, HostReady))

    def told():
        crew.look_after()
        for news in inbox.collect(0.05, 0.0):
            news()
        heard.extend(crew.last_words())
        return sum(timing.idle_s > 0 for timing in heard) > 2

    wait_for(told, 60)
    assert {(timing.pool, timing.host, timing.batch) for timing in heard} == {(card.id, "h1", "")}
    assert all(timing.wall_s == pytest.approx(timing.idle_s + timing.loading_s, abs=1e-6) for timing in heard)
    crew.close()


@on_ray
def test_a_host_that_never_finishes_loading_is_ended_and_its_device_is_free(tmp_path, shared_ray):
    store = Store.open(str(tmp_path / "store"), create=True)
    hosts = ("h1", "h2")
    seed = next(n for n in range(100) if [chance(n, "hung_starts", host) < 0.5 for host in hosts] == [True, False])
    journal = str(tmp_path / "journal")
    faults = Injection(profile=FaultProfile(hung_starts=0.5), seed=seed, journal=journal)
    inbox = Inbox()
    crew, heard = Crew(inbox, store.url, faults=faults.model_dump_json()), Heard(inbox)
    card = load_catalog(None)["procedural/stills"]
    crew.start(StartHost("h1", card.id, canonical(card), 0, 1.0))
    wait_for(lambda: journalled(journal))
    crew.kill(KillHost("h1", "not up within its time"))
    crew.start(StartHost("h2", card.id, canonical(card), 0, 1.0))
    heard.wait(lambda one: isinstance(one, HostReady) and one.host == "h2")
    assert [(one.host, one.cause) for one in heard.of(HostLost)] == [("h1", "deadline")]
    crew.close()
