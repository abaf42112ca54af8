"""Hosts that do wrong on purpose: who is struck is a matter of the seed alone, and everything done is in the log."""

import os
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

from ancestra_farm.batch.faults import FaultProfile
from ancestra_farm.farm.cluster import ray_cluster
from ancestra_farm.farm.faults import FaultyGenerator, Injection, chance, hold_reply, journalled
from ancestra_farm.farm.run import run_batch
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.verify import verify
from ancestra_farm.models.build import build_generator
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.models.protocol import OutOfMemory
from ancestra_farm.plan.events import AttemptEnded
from ancestra_farm.plan.farm_events import HostNoted, HostTimed
from ancestra_farm.scheduler.tunables import Tunables
from tests.farm.batches import batch_document, plan_of, space_of, ticket_of, write_batch
from tests.farm.logs import attempts_of, events_of, judged_more_than_once, rows_of
from tests.farm.processes import ROOT
from tests.farm.threads import ThreadFarm, submission


def injection(tmp_path, seed=3, **rates):
    return Injection(profile=FaultProfile(persistent=0.0, **rates), seed=seed, journal=str(tmp_path / "journal"))


def faulty(injected, host="h1"):
    generator = FaultyGenerator(build_generator(load_catalog(None)["procedural/stills"]), injected, host)
    generator.setup()
    return generator


def recipes(count=4):
    space = space_of(batch_document(parameters={"fault_rate": 0.0}))
    return [space.recipe(n, "full") for n in range(count)]


def make(generator, wanted):
    return list(generator.generate(wanted, {}, lambda: False))


# ---- who is struck --------------------------------------------------------------------------------------------------


def test_chances_rest_on_seed_kind_and_name_and_are_spread_evenly():
    chances = np.array([chance(7, "crash", f"c{n}") for n in range(4000)])
    assert chance(7, "crash", "c1") == chances[1]
    assert chance(8, "crash", "c1") != chances[1]
    assert chance(7, "hang", "c1") != chances[1]
    assert abs(chances.mean() - 0.5) < 0.03
    assert abs((chances < 0.05).mean() - 0.05) < 0.015


def test_a_fault_strikes_once_whoever_tries_the_candidate_next(tmp_path):
    injected = injection(tmp_path, exception=1.0)
    [recipe] = recipes(1)
    with pytest.raises(RuntimeError, match="on purpose"):
        make(faulty(injected), [recipe])
    assert len(make(faulty(injected, "h2"), [recipe])) == 1
    [entry] = journalled(injected.journal)
    assert (entry["kind"], entry["name"], entry["host"]) == ("exception", recipe.candidate_id, "h1")


def test_a_persistent_fault_strikes_every_time(tmp_path):
    injected = injection(tmp_path, exception=1.0)
    injected = injected.model_copy(update={"profile": FaultProfile(exception=1.0, persistent=1.0)})
    for host in ("h1", "h2", "h3"):
        with pytest.raises(RuntimeError, match="on purpose"):
            make(faulty(injected, host), recipes(1))
    assert [entry["host"] for entry in journalled(injected.journal)] == ["h1", "h2", "h3"]


def test_without_rates_everything_is_as_without_faults(tmp_path):
    plain = build_generator(load_catalog(None)["procedural/stills"])
    plain.setup()
    for one, other in zip(make(faulty(injection(tmp_path)), recipes()), make(plain, recipes()), strict=True):
        np.testing.assert_array_equal(one.frames, other.frames)
    assert not (tmp_path / "journal").exists()


def test_memory_runs_out_among_others_until_it_has_run_out_alone(tmp_path):
    generator = faulty(injection(tmp_path, out_of_memory=1.0))
    wanted = recipes(2)
    for call in (wanted, wanted[:1]):
        with pytest.raises(OutOfMemory):
            make(generator, call)
    assert [entry["name"] for entry in journalled(tmp_path / "journal")] == [wanted[0].candidate_id]
    assert len(make(generator, wanted[:1])) == 1


def test_pictures_can_be_no_numbers_or_black(tmp_path):
    [made] = make(faulty(injection(tmp_path, nan=1.0)), recipes(1))
    assert np.isnan(made.frames).all()
    [made] = make(faulty(injection(tmp_path, sick_hosts=1.0, sick_rejects=1.0)), recipes(1))
    assert not made.frames.any()


def test_a_host_may_not_come_up_once_and_a_slow_one_says_so_in_its_seconds(tmp_path):
    with pytest.raises(RuntimeError, match="does not come up"):
        faulty(injection(tmp_path, failed_starts=1.0))
    faulty(injection(tmp_path, failed_starts=1.0))
    [quick] = make(faulty(injection(tmp_path)), recipes(1))
    began = time.perf_counter()
    [slow] = make(faulty(injection(tmp_path, slow_hosts=1.0, slow_factor=50.0)), recipes(1))
    assert slow.generate_s <= time.perf_counter() - began
    assert slow.generate_s > quick.generate_s


@pytest.mark.parametrize("kind", ["crash", "exit"])
def test_what_ends_a_process_is_in_the_journal_before_it_does(tmp_path, kind):
    program = (
        "from tests.farm.test_faults import *\n"
        f"make(faulty(injection(__import__('pathlib').Path({str(tmp_path)!r}), {kind}=1.0)), recipes(1))"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={**os.environ}, check=False)
    assert ended.returncode == {"crash": -9, "exit": 70}[kind]
    assert [entry["kind"] for entry in journalled(tmp_path / "journal")] == [kind]


def test_a_late_reply_is_held_as_long_as_the_profile_says(tmp_path):
    space = space_of(batch_document())
    injected = injection(tmp_path, late_replies=1.0, late_s=0.05)
    before = time.monotonic()
    hold_reply(injected, ticket_of(space, range(3)), "h1")
    assert time.monotonic() - before >= 0.05
    [entry] = journalled(injected.journal)
    assert (entry["kind"], entry["ticket"]) == ("late_replies", "t1")


# ---- what becomes of it in a farm -----------------------------------------------------------------------------------

CANDIDATES = 24
QUICK = Tunables(deadline_floor_s=4.0, deadline_factor=1.0, ticket_s=0.5)
#: One in forty of each, and a seed that strikes exactly one candidate with each kind.
RATES = dict.fromkeys(("exception", "crash", "exit", "hang", "out_of_memory", "nan", "dropped_replies"), 0.025)


@pytest.fixture(scope="module")
def shared_ray():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with ray_cluster(cpus=2):
            yield


def document():
    still = {"candidates": CANDIDATES, "wave": CANDIDATES, "parameters": {"delay_s": 0.02}, "distinct_bits": -1}
    return batch_document(2, **still)


def striking_each_once(tmp_path):
    """Faults of each kind for one candidate; the first ticket brings no reply, the second host does not come up."""
    spaces = [shot.stage("still").space(0, ((),)) for shot in plan_of(document()).shots]
    ids = [space.id_of(n, "full") for space in spaces for n in range(CANDIDATES)]

    def once(seed, kind):
        return sum(chance(seed, kind, name) < RATES[kind] for name in ids) == 1

    heads = (seed for seed in range(10**8) if chance(seed, "dropped_replies", ids[0]) < RATES["dropped_replies"])
    hosts = [f"e1-procedural-stills-{n}" for n in range(1, 7)]

    def failing(seed):
        return [host for host in hosts if chance(seed, "failed_starts", host) < 0.1] == hosts[1:2]

    seed = next(seed for seed in heads if failing(seed) and all(once(seed, kind) for kind in RATES))
    return injection(tmp_path, seed=seed, failed_starts=0.1, **RATES)


def run(tmp_path, name, **options):
    url = str(tmp_path / name)
    summary = run_batch(write_batch(tmp_path, document()), url, who="tester", tunables=QUICK, **options)
    assert summary.how == "done"
    assert verify(Store.open(url)).problems == ()
    return url


def on_threads(tmp_path):
    """The same batch where nothing goes wrong."""
    farm = ThreadFarm(Store.open(str(tmp_path / "undisturbed"), create=True))
    assert farm.loop.run([submission(tmp_path, document())]).how == "done"
    return farm.store.url


def passed(url):
    return {row["candidate_id"] for row in rows_of(url) if row["outcome"] == "survivor"}


def traces(url, entry):
    """Events that tell of a journalled fault: a row with its cause, or that its host ended, with whatever it held."""
    events, kind, name = events_of(url), entry["kind"], entry["name"]
    notes = [e for e in events if isinstance(e, HostNoted) and e.host == entry["host"] and e.what != "ready"]
    if kind == "slow_hosts":
        return notes or [e for e in events if isinstance(e, HostTimed) and e.host == name]
    cause = {"exit": "crash", "hang": "deadline", "nan": "judged", "sick_hosts": "judged"}.get(kind, kind)
    attempts = [e for e in events if isinstance(e, AttemptEnded) and e.host == entry["host"] and e.cause == cause]
    return notes or [a for a in attempts if a.candidate_id == entry.get("candidate", name) and not a.passed]


@pytest.mark.ray
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_fault_leaves_its_trace_and_takes_nobody_elses_place(tmp_path, shared_ray):
    undisturbed = on_threads(tmp_path)
    injected = striking_each_once(tmp_path)
    disturbed = run(tmp_path, "disturbed", faults=injected.model_dump_json())
    journal = journalled(injected.journal)
    assert {entry["kind"] for entry in journal} >= {*RATES, "failed_starts"}
    untold = [entry for entry in journal if not traces(disturbed, entry)]
    assert untold == []

    spoiled = {entry["name"] for entry in journal if entry["kind"] == "nan"}
    # A spoiled picture whose host went before it could tell was made again, and is as good as any.
    broken = {a.candidate_id for a in attempts_of(disturbed, "judged") if a.candidate_id in spoiled and not a.passed}
    assert passed(disturbed) == passed(undisturbed) - broken
    rows = rows_of(disturbed)
    assert len(rows) == 2 * CANDIDATES
    assert {row["outcome"] for row in rows} == {"survivor", "rejected"}
    assert judged_more_than_once(disturbed) == []
    assert attempts_of(disturbed, "host_lost") == []
