"""Attached runs on one local Ray: candidates that raise, crash or hang, refusals, time limits, who may work where."""

import socket
import threading
import urllib.request
import warnings

import pytest
import ray

from ancestra_farm.batch.problems import BatchRefused
from ancestra_farm.farm.cluster import ray_cluster
from ancestra_farm.farm.run import AlreadyAtWork, run_batch
from ancestra_farm.ledger.errors import StoreMissing
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.verify import verify
from ancestra_farm.plan.farm_events import HostTimed
from ancestra_farm.scheduler.tunables import Tunables
from ancestra_farm.telemetry.exporter import PortTaken
from tests.farm.batches import batch_document, space_of, write_batch
from tests.farm.logs import attempts_of, events_of, judged_more_than_once, rows_of, survivors_of
from tests.farm.processes import wait_for

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(300),
    # Ray leaves pipes and sockets of its daemons to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def shared_ray():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with ray_cluster(cpus=2):
            yield


@pytest.fixture
def url(tmp_path):
    return str(tmp_path / "store")


def only(position, document):
    """A number that divides the seed of this candidate and of no other one."""
    seeds = [recipe.seed for recipe in space_of(document)]
    divisors = (n for n in range(2, 10**6) if seeds[position] % n == 0)
    return next(n for n in divisors if sum(seed % n == 0 for seed in seeds) == 1)


def run(tmp_path, url, document, **options):
    """One run, on one host unless told otherwise: to bring up another takes seconds of a core."""
    return run_batch(write_batch(tmp_path, document), url, who="tester", **{"hosts": 1, **options})


def test_a_run_ends_with_clips_a_sound_store_and_no_actors_left(tmp_path, url):
    pictures = []
    summary = run(tmp_path, url, batch_document(2), hosts=2, on_progress=pictures.append)
    assert (summary.how, summary.waiting) == ("done", ())
    assert all(shot.versions for shot in summary.shots)
    assert verify(Store.open(url)).problems == ()
    assert pictures[-1].shots == summary.shots
    assert {timing.pool for timing in events_of(url) if isinstance(timing, HostTimed)} == {"procedural/stills"}


def test_a_candidate_that_raises_is_quarantined_and_everything_else_is_done(tmp_path, url):
    number = only(5, batch_document())
    summary = run(tmp_path, url, batch_document(parameters={"fail_modulo": number}))
    assert summary.how == "done"
    rows = {row["index"]: row for row in rows_of(url)}
    assert rows[5]["outcome"] == "quarantined"
    assert rows[5]["attempts"] == 3
    assert {row["outcome"] for index, row in rows.items() if index != 5} <= {"survivor", "rejected"}
    assert judged_more_than_once(url) == []


def test_a_candidate_that_crashes_its_host_is_found_and_nobody_else_is_charged(tmp_path, url):
    number = only(2, batch_document())
    once = Tunables(strikes=1)
    run(tmp_path, url, batch_document(candidates=8, parameters={"crash_modulo": number}), tunables=once)
    rows = {row["index"]: row for row in rows_of(url)}
    assert rows[2]["outcome"] == "quarantined"
    assert {row["outcome"] for index, row in rows.items() if index != 2} <= {"survivor", "rejected"}
    alone = [attempt for attempt in attempts_of(url, "crash") if attempt.of == 1]
    assert {attempt.position for attempt in alone} == {2}


def test_a_generation_that_hangs_is_ended_by_its_deadline(tmp_path, url):
    number = only(1, batch_document())
    quick = Tunables(deadline_floor_s=3.0, deadline_factor=1.0, strikes=1)
    run(tmp_path, url, batch_document(candidates=4, parameters={"hang_modulo": number}), tunables=quick)
    rows = {row["index"]: row for row in rows_of(url)}
    assert rows[1]["outcome"] == "quarantined"
    assert {row["outcome"] for index, row in rows.items() if index != 1} <= {"survivor", "rejected"}
    assert {attempt.cause for attempt in attempts_of(url)} == {"judged", "deadline"}


def test_a_host_that_cannot_load_its_model_is_said_and_ends_the_run(tmp_path, url):
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "absent.yaml").write_text(
        "{id: test/absent, family: diffusers, pipeline: StableDiffusionXLPipeline, roles: [text_to_image],\n"
        f" source: {tmp_path / 'nowhere'}, licence: Apache-2.0, cpus: 1.0,\n"
        " sizes: {multiple_of: 16, min: 64, max: 512, default: [64, 64]}}\n"
    )
    document = batch_document(model="test/absent")
    document["stages"]["still"]["parameters"] = {}
    summary = run(tmp_path, url, document, cards=tmp_path / "cards")
    assert summary.how == "failed"
    assert "test/absent" in summary.message


def test_a_refused_batch_leaves_no_trace(tmp_path, url):
    with pytest.raises(BatchRefused):
        run(tmp_path, url, batch_document(model="procedural/stils"))
    assert not (tmp_path / "store").exists()


def test_resume_without_a_store_says_so(url):
    with pytest.raises(StoreMissing):
        run_batch(None, url)


def test_metrics_are_served_where_it_says_while_it_runs(tmp_path, url):
    said, scraped = [], []

    def look(_picture):
        if said and not any("ancestra_epoch 1.0" in text for text in scraped):
            with urllib.request.urlopen(said[0].removeprefix("metrics at "), timeout=10) as reply:
                scraped.append(reply.read().decode())

    run(tmp_path, url, batch_document(candidates=8), metrics_port=0, on_message=said.append, on_progress=look)
    assert "ancestra_epoch 1.0" in scraped[-1]


def test_a_metrics_port_that_is_taken_is_refused_before_anything_is_written(tmp_path, url):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortTaken):
            run(tmp_path, url, batch_document(), metrics_port=taken.getsockname()[1])
    assert events_of(url) == []


def test_time_that_is_up_stops_cleanly_and_resume_ends_it(tmp_path, url):
    summary = run(tmp_path, url, batch_document(candidates=64, parameters={"delay_s": 0.3}), timeout_s=10.0)
    assert summary.how == "timed_out"
    assert len(attempts_of(url, "judged")) < 64
    assert "ancestra resume" in summary.message
    assert verify(Store.open(url)).problems == ()


def test_only_one_controller_works_in_a_store_and_a_takeover_ends_it(tmp_path, url):
    box = []
    document = batch_document(candidates=64, parameters={"delay_s": 0.3})
    thread = threading.Thread(target=lambda: box.append(run(tmp_path, url, document)))
    thread.start()
    wait_for(lambda: attempts_of(url, "judged"))
    with pytest.raises(AlreadyAtWork, match="tester"):
        run_batch(None, url)
    Writer.begin(Store.open(url), "a stranger", "run")
    thread.join(60)
    assert box[0].how == "superseded"
    assert "a stranger" in box[0].message


def test_resubmitting_an_edited_batch_makes_only_what_is_new(tmp_path, url):
    run(tmp_path, url, batch_document(candidates=16))
    before = survivors_of(url)["anc_000/still"]
    run(tmp_path, url, batch_document(candidates=24))
    assert judged_more_than_once(url) == []
    assert len(attempts_of(url, "judged")) == 24
    assert set(before) <= set(survivors_of(url)["anc_000/still"])


def test_a_dead_controller_is_said_with_what_to_do(tmp_path, url):
    import os
    import signal

    from ancestra_farm.farm.run import RunBroke
    from ancestra_farm.ledger.liveness import who_is_alive

    box = []
    document = batch_document(candidates=64, parameters={"delay_s": 0.3})

    def attend():
        try:
            run(tmp_path, url, document)
        except RunBroke as broke:
            box.append(broke)

    thread = threading.Thread(target=attend)
    thread.start()
    wait_for(lambda: attempts_of(url, "judged"))
    os.kill(who_is_alive(Store.open(url)).pid, signal.SIGKILL)
    thread.join(60)
    assert "ancestra resume" in str(box[0])
    wait_for(lambda: who_is_alive(Store.open(url)) is None)  # its memory is given back after its connections are closed
    assert ray.is_initialized()
