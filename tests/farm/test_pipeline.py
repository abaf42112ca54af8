"""What a host does with tickets, without Ray: real filters, real store, the procedural models or a scripted one."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from ancestra_farm.farm.pipeline import Pipeline
from ancestra_farm.ledger.errors import StoreFull, StoreUnavailable
from ancestra_farm.ledger.store import Store
from ancestra_farm.models.build import build_generator
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.models.protocol import Aborted, Frames, Made, OutOfMemory
from ancestra_farm.plan.recipe import Recipe
from ancestra_farm.stitch.codec import decode_frames
from tests.farm.batches import batch_document, space_of, ticket_of
from tests.tiny_disk import tiny_disk


class Scripted:
    """A generator that makes noise-free gradients, and does what ``act`` does before each candidate."""

    def __init__(self, act: Callable[[int, Recipe], None] = lambda _n, _recipe: None) -> None:
        self.act = act
        self.calls: list[int] = []
        self.closed = False
        self.begun = 0

    def setup(self) -> None:
        pass

    def generate(
        self, recipes: Sequence[Recipe], parents: dict[str, Frames], aborted: Callable[[], bool]
    ) -> Iterator[Made]:
        self.calls.append(len(recipes))
        for recipe in recipes:
            if aborted():
                raise Aborted
            self.begun += 1
            self.act(len(recipes), recipe)
            yield Made(recipe, picture(recipe), 0.5)

    def close(self) -> None:
        self.closed = True


def picture(recipe: Recipe) -> Frames:
    rng = np.random.default_rng(recipe.seed)
    y, x = np.mgrid[0:64, 0:64] / 64.0
    tilt = rng.uniform(0.5, 2.0, 3)
    frame = 0.5 + 0.4 * np.sin(6.0 * (x[..., None] * tilt + y[..., None] / tilt))
    return (frame[None] * 255).astype(np.uint8)


@pytest.fixture
def store(tmp_path):
    return Store.open(str(tmp_path / "store"), create=True)


@pytest.fixture
def pipelines(store):
    made: list[Pipeline] = []

    def make(generator, **options):
        made.append(Pipeline("host-1", "procedural/stills", generator, options.pop("store", store), **options))
        made[-1].setup()
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.close()


@pytest.fixture
def space():
    return space_of(batch_document())


def procedural():
    return build_generator(load_catalog(None)["procedural/stills"])


def test_a_ticket_comes_back_with_a_row_for_each_candidate_in_order(pipelines, space):
    reply = pipelines(procedural()).work(ticket_of(space, range(8)))
    assert [row.position for row in reply.attempts] == list(range(8))
    assert {row.cause for row in reply.attempts} == {"judged"}
    assert [row.candidate_id for row in reply.attempts] == [space.id_of(n, "full") for n in range(8)]


def test_survivors_are_in_the_store_as_they_were_made_and_rejects_are_not(pipelines, store, space):
    reply = pipelines(procedural()).work(ticket_of(space, range(12)))
    again = {made.recipe.candidate_id: made.frames for made in procedural_frames(space, range(12))}
    passed = [row for row in reply.attempts if row.passed]
    assert passed
    assert len(passed) < 12
    for row in passed:
        np.testing.assert_array_equal(decode_frames(store.read(row.media)), again[row.candidate_id])
    assert all(row.media is None for row in reply.attempts if not row.passed)


def procedural_frames(space, positions):
    generator = procedural()
    generator.setup()
    return list(generator.generate([space.recipe(n, "full") for n in positions], {}, lambda: False))


def test_every_judged_candidate_has_a_thumbnail_in_one_sheet(pipelines, store, space):
    reply = pipelines(procedural()).work(ticket_of(space, range(8)))
    sheets = {row.thumbnail.split("#")[0] for row in reply.attempts}
    places = {row.thumbnail.split("#")[1] for row in reply.attempts}
    assert len(sheets) == 1
    assert len(places) == 8
    assert store.exists(sheets.pop())


def test_broken_frames_are_a_verdict_with_a_thumbnail_and_without_a_medium(pipelines):
    space = space_of(batch_document(parameters={"fault_rate": 1.0, "only_fault": "nan"}))
    reply = pipelines(procedural()).work(ticket_of(space, range(4), keep_rejects=True))
    assert all(row.reasons == ("nan",) and row.media is None and row.thumbnail for row in reply.attempts)


def test_rejects_are_kept_where_the_show_says_so(pipelines, store):
    space = space_of(batch_document(parameters={"fault_rate": 1.0, "only_fault": "black"}))
    reply = pipelines(procedural()).work(ticket_of(space, range(4), keep_rejects=True))
    assert not all(row.passed for row in reply.attempts)
    assert all(store.exists(row.media) for row in reply.attempts)


def test_an_exception_is_the_row_of_one_candidate_and_the_rest_goes_on(pipelines, space):
    guilty = space.id_of(3, "full")

    def act(_size, recipe):
        if recipe.candidate_id == guilty:
            raise ZeroDivisionError("a poison recipe")

    reply = pipelines(Scripted(act)).work(ticket_of(space, range(8)))
    assert [row.cause for row in reply.attempts] == ["judged"] * 3 + ["exception"] + ["judged"] * 4
    assert reply.attempts[3].message == "ZeroDivisionError: a poison recipe"


def test_out_of_memory_halves_the_calls_and_charges_nobody(pipelines, space):
    def act(size, _recipe):
        if size > 2:
            raise OutOfMemory

    generator = Scripted(act)
    pipeline = pipelines(generator)
    reply = pipeline.work(ticket_of(space, range(8)))
    assert {row.cause for row in reply.attempts} == {"judged"}
    assert generator.calls == [8, 4, 2, 2, 2, 2]
    pipeline.work(ticket_of(space, range(8, 16), "t2"))
    assert generator.calls[6:] == [2, 2, 2, 2]


def test_a_candidate_too_large_alone_is_out_of_memory(pipelines, space):
    guilty = space.id_of(1, "full")

    def act(_size, recipe):
        if recipe.candidate_id == guilty:
            raise OutOfMemory("no room")

    reply = pipelines(Scripted(act)).work(ticket_of(space, range(4)))
    assert [row.cause for row in reply.attempts] == ["judged", "out_of_memory", "judged", "judged"]


def test_one_that_does_not_fit_by_itself_makes_nobody_elses_call_smaller(pipelines, space):
    """A generator that batches inside has tried it alone already, and knows what it may batch."""
    guilty = space.id_of(1, "full")

    def act(_size, recipe):
        if recipe.candidate_id == guilty:
            raise OutOfMemory("no room", alone=True)

    generator = Scripted(act)
    reply = pipelines(generator).work(ticket_of(space, range(4)))
    assert [row.cause for row in reply.attempts] == ["judged", "out_of_memory", "judged", "judged"]
    assert reply.attempts[1].message == "OutOfMemory: no room"
    assert generator.calls == [4, 2]


def test_a_generator_that_ends_early_says_so_for_what_it_left(pipelines, space):
    class Short(Scripted):
        def generate(self, recipes, parents, aborted):
            yield from super().generate(recipes[:2], parents, aborted)

    reply = pipelines(Short()).work(ticket_of(space, range(5)))
    assert [row.cause for row in reply.attempts] == ["judged", "judged", "exception", "judged", "judged"]


def test_a_filter_that_raises_is_an_exception_of_its_candidate(pipelines, space):
    def judge_of(_ticket):
        def judge(candidate_id, _frames):
            raise RuntimeError(f"cannot look at {candidate_id}")

        return judge

    reply = pipelines(Scripted(), judge_of=judge_of).work(ticket_of(space, range(3)))
    assert [row.cause for row in reply.attempts] == ["exception"] * 3


def test_an_unknown_filter_is_told_for_every_candidate(pipelines, space):
    reply = pipelines(Scripted()).work(ticket_of(space, range(3), filters=("sparkle",)))
    assert [row.cause for row in reply.attempts] == ["exception"] * 3
    assert "sparkle" in reply.attempts[0].message


def test_a_filter_switched_off_does_not_run(pipelines):
    space = space_of(batch_document(parameters={"fault_rate": 1.0, "only_fault": "black"}))
    off = {"black": {"enabled": False}}
    reply = pipelines(procedural()).work(ticket_of(space, range(3), settings=off, full_sample=1.0))
    assert all("black" not in row.filter_s and "blur" in row.filter_s for row in reply.attempts)


def test_a_missing_parent_is_told_for_every_candidate(pipelines, space):
    gone = {"p": f"media/ab/{'0' * 64}.png"}
    reply = pipelines(Scripted()).work(ticket_of(space, range(3), parents=gone))
    assert [row.cause for row in reply.attempts] == ["exception"] * 3


def test_a_store_that_is_away_costs_the_attempt_and_not_the_candidate(pipelines, store, space, monkeypatch):
    monkeypatch.setattr("ancestra_farm.farm.pipeline.WRITE_RETRIES_S", (0.0, 0.0))

    class Away(Store):
        def put_media(self, data, suffix):
            raise StoreUnavailable("the bucket is away")

    away = Away(store.url, store._backend, store.id)
    reply = pipelines(Scripted(), store=away).work(ticket_of(space, range(3), settings=LENIENT))
    assert {row.cause for row in reply.attempts} == {"store"}


def test_a_full_disk_is_nobodys_failure_and_nothing_more_is_generated_for_it(tmp_path, pipelines, monkeypatch):
    space = space_of(batch_document(candidates=1200))
    monkeypatch.setattr("ancestra_farm.farm.pipeline.WRITE_RETRIES_S", (0.0,))
    with tiny_disk(tmp_path / "tiny") as folder:
        store = Store.open(str(folder / "store"), create=True)
        ballast = folder / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        failed = threading.Event()

        class Watched(Store):
            def put_media(self, data, suffix):
                try:
                    return super().put_media(data, suffix)
                except StoreFull:
                    failed.set()
                    raise

        generator = Scripted(lambda _n, _recipe: failed.wait(30) if generator.begun == 600 else None)
        pipeline = pipelines(generator, store=Watched(store.url, store._backend, store.id))
        ticket = ticket_of(space, range(len(space)), settings=LENIENT)
        reply = pipeline.work(ticket)
        assert {row.cause for row in reply.attempts} == {"store"}
        assert all("No space left" in row.message for row in reply.attempts)
        assert len(reply.attempts) == generator.begun < len(space)
        ballast.unlink()
        again = pipeline.work(replace(ticket, ticket="t2", positions=tuple(range(8))))
        assert {row.cause for row in again.attempts} == {"judged"}
        assert all(row.media for row in again.attempts)


def test_an_input_that_cannot_be_read_for_now_is_nobodys_failure(pipelines, store, space):
    class Away(Store):
        def read(self, key):
            raise StoreUnavailable("the bucket is away")

    away = Away(store.url, store._backend, store.id)
    parents = {"p": f"media/ab/{'0' * 64}.png"}
    reply = pipelines(Scripted(), store=away).work(ticket_of(space, range(3), parents=parents))
    assert {row.cause for row in reply.attempts} == {"store"}


#: Everything passes, so that what is tested is the way and not the verdict.
LENIENT = {name: {"enabled": False} for name in ("black", "uniform", "clipped", "noise", "banding", "blur")}


def test_the_seconds_of_a_ticket_add_up_to_the_wall_clock(pipelines, space):
    timing = pipelines(procedural()).work(ticket_of(space, range(8))).timing
    parts = timing.busy_s + timing.loading_s + timing.starved_s + timing.idle_s
    assert parts == pytest.approx(timing.wall_s)
    assert timing.busy_s > 0
    assert timing.loading_s > 0


def test_rows_add_up_to_the_seconds_the_device_was_held(pipelines, space):
    reply = pipelines(procedural()).work(ticket_of(space, range(8)))
    held = sum(row.device_s for row in reply.attempts)
    assert 0 < held <= reply.timing.wall_s


class Gate:
    """Holds a generator at its first candidate until it is opened."""

    def __init__(self):
        self.arrived = threading.Event()
        self.opened = threading.Event()

    def __call__(self, _size, _recipe):
        self.arrived.set()
        assert self.opened.wait(20)


def in_thread(call):
    box = []
    thread = threading.Thread(target=lambda: box.append(call()))
    thread.start()
    return thread, box


def test_a_running_ticket_that_is_taken_back_returns_what_is_done(pipelines, space):
    gate = Gate()
    pipeline = pipelines(Scripted(gate))
    thread, box = in_thread(lambda: pipeline.work(ticket_of(space, range(8))))
    assert gate.arrived.wait(20)
    assert pipeline.wait_started("t1") is True
    pipeline.revoke("t1")
    gate.opened.set()
    thread.join(20)
    assert [row.position for row in box[0].attempts] == [0]


def test_what_was_broken_off_has_a_row_that_says_what_it_cost(pipelines, space, monkeypatch):
    monkeypatch.setattr("ancestra_farm.farm.pipeline.LEAST_CHARGED_S", 0.0)
    gate = Gate()

    def breaks_off(size, recipe):
        gate(size, recipe)
        raise Aborted

    pipeline = pipelines(Scripted(breaks_off))
    thread, box = in_thread(lambda: pipeline.work(ticket_of(space, range(8))))
    assert gate.arrived.wait(20)
    pipeline.revoke("t1")
    gate.opened.set()
    thread.join(20)
    (row,) = box[0].attempts
    assert (row.position, row.cause, row.passed, row.media) == (0, "aborted", False, None)
    assert 0 < row.device_s <= box[0].timing.wall_s


def test_a_waiting_ticket_that_is_taken_back_never_starts(pipelines, space):
    gate = Gate()
    generator = Scripted(gate)
    pipeline = pipelines(generator)
    running, first = in_thread(lambda: pipeline.work(ticket_of(space, range(4))))
    assert gate.arrived.wait(20)
    waiting, second = in_thread(lambda: pipeline.work(ticket_of(space, range(4, 8), "t2")))
    pipeline.revoke("t2")
    waiting.join(20)
    assert second[0].attempts == ()
    assert pipeline.wait_started("t2") is False
    gate.opened.set()
    running.join(20)
    assert len(first[0].attempts) == 4
    assert generator.begun == 4


def test_a_ticket_taken_back_before_it_arrives_is_not_started(pipelines, space):
    generator = Scripted()
    pipeline = pipelines(generator)
    pipeline.revoke("t1")
    assert pipeline.work(ticket_of(space, range(4))).attempts == ()
    assert generator.begun == 0


def test_the_next_ticket_generates_while_the_last_is_being_judged(pipelines, space):
    judging, release = threading.Event(), threading.Event()

    def judge_of(ticket):
        def judge(candidate_id, frames):
            if ticket.ticket == "t1":
                judging.set()
                assert release.wait(20)
            return cascade(candidate_id, frames)

        from ancestra_farm.farm.judging import cascade_of

        cascade = cascade_of(ticket)
        return judge

    generator = Scripted()
    pipeline = pipelines(generator, judge_of=judge_of)
    first, _ = in_thread(lambda: pipeline.work(ticket_of(space, range(1))))
    assert judging.wait(20)
    second, box = in_thread(lambda: pipeline.work(ticket_of(space, range(1, 2), "t2")))
    assert pipeline.wait_started("t2") is True
    release.set()
    first.join(20)
    second.join(20)
    assert box[0].attempts[0].position == 1


def test_a_generation_waits_until_it_is_known_that_it_begins(pipelines, space):
    generator = Scripted()
    pipeline = pipelines(generator, asks=True)
    thread, box = in_thread(lambda: pipeline.work(ticket_of(space, range(2))))
    assert pipeline.wait_started("t1") is True
    assert generator.begun == 0
    pipeline.confirm("t1")
    thread.join(20)
    assert len(box[0].attempts) == 2


def test_a_ticket_revoked_before_it_is_confirmed_never_generates(pipelines, space):
    generator = Scripted()
    pipeline = pipelines(generator, asks=True)
    thread, box = in_thread(lambda: pipeline.work(ticket_of(space, range(2))))
    assert pipeline.wait_started("t1") is True
    pipeline.revoke("t1")
    pipeline.confirm("t1")
    thread.join(20)
    assert box[0].attempts == ()
    assert generator.begun == 0


def test_a_host_that_is_closed_waits_for_no_answer(store, space):
    pipeline = Pipeline("h", "m", Scripted(), store, asks=True)
    pipeline.setup()
    thread, box = in_thread(lambda: pipeline.work(ticket_of(space, range(2))))
    assert pipeline.wait_started("t1") is True
    pipeline.close()
    thread.join(20)
    assert box[0].attempts == ()


def test_what_survives_by_a_persons_word_keeps_its_medium_whatever_the_filters_say(pipelines, store):
    space = space_of(batch_document(parameters={"fault_rate": 1.0, "only_fault": "black"}))
    reply = pipelines(procedural()).work(ticket_of(space, range(3), by_word=True))
    assert not any(row.passed for row in reply.attempts)
    assert all(store.exists(row.media) for row in reply.attempts)


def test_a_clock_that_is_read_while_a_ticket_runs_counts_every_second_once(pipelines, space):
    gate = Gate()
    pipeline = pipelines(Scripted(gate))
    idle = pipeline.clock()
    thread, box = in_thread(lambda: pipeline.work(ticket_of(space, range(2))))
    assert gate.arrived.wait(20)
    running = pipeline.clock()
    gate.opened.set()
    thread.join(20)
    assert idle.batch == ""
    assert running.busy_s > 0
    for timing in (idle, running, box[0].timing):
        assert timing.wall_s == pytest.approx(timing.loading_s + timing.idle_s + timing.busy_s + timing.starved_s)
    assert sum(row.device_s for row in box[0].attempts) <= running.wall_s + box[0].timing.wall_s


def test_closing_frees_the_device_and_accounts_for_the_last_seconds(store, space):
    generator = Scripted()
    pipeline = Pipeline("h", "m", generator, store)
    pipeline.setup()
    timing = pipeline.close()
    assert generator.closed
    assert timing.wall_s == pytest.approx(timing.loading_s + timing.idle_s + timing.busy_s + timing.starved_s)
