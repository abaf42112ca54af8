"""A small real store: the real scheduler decides and the real log keeps; only the pictures are plain.

The world around the scheduler is one host that answers at once. Verdicts follow from the candidate's seed, so that a
store made twice is the same.
"""

import atexit
import functools
import shutil
import tempfile
from collections import deque
from pathlib import Path

import numpy as np

from ancestra_farm.batch.check import checked_batch
from ancestra_farm.batch.load import canonical
from ancestra_farm.farm.publish import publish
from ancestra_farm.filters.settings import default_settings, ranking_scores
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tables import rebuild
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.plan.events import AttemptEnded, StitchEnded
from ancestra_farm.plan.farm_events import HostTimed
from ancestra_farm.plan.plan import Plan
from ancestra_farm.scheduler import Scheduler
from ancestra_farm.scheduler.world import (
    Dispatch,
    Happening,
    HostReady,
    Instruction,
    Record,
    SlotsChanged,
    StartHost,
    Stitch,
    StitchJob,
    StitchReturned,
    Submit,
    Ticket,
    TicketEnded,
    TicketStarted,
)
from ancestra_farm.stitch.codec import encode_still
from tests.farm.batches import write_batch
from tests.models.guides.files import motion_path

BATCH = """\
schema: ancestra/v1
batch: demo
show: ancestra
handles: 4
size: [64, 64]
stages:
  still:
    role: text_to_image
    model: procedural/stills
    candidates: 24
    wave: 12
    distinct_bits: -1
    {still}
  animate:
    role: image_to_video
    model: procedural/clips
    from: still
    best: 2
    candidates: 1
shots:
  - shot: anc_010_0010
    frames: 24
    prompt: {{text: "the ocean seen from a helicopter at {{hour}}", axes: {{hour: [dawn, noon]}}}}
  - shot: anc_010_0020
    frames: 24
    prompt: {{text: light breaking like petals}}
    skip: [animate]
"""


def guided_batch(folder: Path) -> tuple[Path, Path]:
    """(a batch that names a motion path beside it, the folder of the card that takes one)."""
    cards = folder / "cards"
    cards.mkdir()
    card = load_catalog(None)["procedural/clips"].model_copy(update={"id": "test/guided", "guides": ("previz",)})
    (cards / "guided.yaml").write_text(canonical(card))
    motion_path(folder / "way.json", {"points": [(0, 0.5, 0.5), (1, 0.3, 0.5)]})
    document = {
        "schema": "ancestra/v1",
        "batch": "guided",
        "show": "anc",
        "stages": {"clip": {"role": "text_to_video", "model": "test/guided", "candidates": 1}},
        "shots": [
            {
                "shot": "anc_000",
                "frames": 12,
                "prompt": {"text": "tissue"},
                "guides": [{"kind": "motion_path", "source": "way.json"}],
            }
        ],
    }
    return write_batch(folder, document, "guided.yaml"), cards


def batch_file(folder: Path, still: str = "select: auto", name: str = "demo.yaml") -> Path:
    """A checked batch of two shots in a file; ``still``: one more setting of its first stage."""
    path = folder / name
    path.write_text(BATCH.format(still=still))
    return path


def submission(path: Path) -> Submit:
    cards = load_catalog()
    plan = Plan.of(checked_batch(path, cards, default_settings(), ranking_scores()), cards)
    return Submit(plan.document, dict(plan.card_documents), "ada")


class SmallFarm:
    """One epoch at work in a store. ``now``: seconds; each happening takes one."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = 1_750_000_000.0
        self.writer = Writer.begin(store, "ada", "run", clock=lambda: self.now)
        self.scheduler = Scheduler(self.writer.epoch)
        for commit in self.writer.history:
            for event in commit.events:
                self.scheduler.apply(event)

    def work(self, *first: Happening, most: int = 10_000) -> None:
        """Carry on until nothing is left to do, or ``most`` happenings."""
        todo: deque[Happening] = deque([SlotsChanged(2, 0), *first])
        self._carry_out(self.scheduler.resume(self.now), todo)
        while todo and most:
            most -= 1
            self.now += 1.0
            self._carry_out(self.scheduler.handle(todo.popleft(), self.now), todo)

    def _carry_out(self, instructions: list[Instruction], todo: deque[Happening]) -> None:
        events = [one.event for one in instructions if isinstance(one, Record)]
        if events:
            self.writer.commit(events)
        for one in instructions:
            if isinstance(one, StartHost):
                todo.append(HostReady(one.host, 0.1))
            elif isinstance(one, Dispatch):
                todo.append(TicketStarted(one.host, one.ticket.ticket))
                todo.append(self._answer(one.host, one.ticket))
            elif isinstance(one, Stitch):
                todo.append(StitchReturned(self._stitch(one.job)))

    def _stitch(self, job: StitchJob) -> StitchEnded:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / f"{job.shot}.mp4").write_bytes(b"film")
            names = [("mp4", f"{job.shot}.mp4")]
            done = publish(self.store, job.folder, Path(folder), names, {"version": job.version})
        return StitchEnded(
            job.batch,
            job.shot,
            job.stitch_id,
            job.version,
            ok=True,
            frames=job.frames,
            at=self.now,
            files=done.files,
            sha256=done.sha256,
            seconds=0.5,
        )

    def _answer(self, host: str, ticket: Ticket) -> TicketEnded:
        attempts = tuple(self._attempt(host, ticket, position) for position in ticket.positions)
        busy = 0.1 * len(attempts)
        pool = ticket.space.model
        return TicketEnded(
            host, ticket.ticket, attempts, HostTimed(ticket.batch, pool, host, busy, busy, 0.0, 0.0, 0.0, self.now)
        )

    def _attempt(self, host: str, ticket: Ticket, position: int) -> AttemptEnded:
        recipe = ticket.space.recipe(position, ticket.rung)
        passed = recipe.seed % 3 > 0 or recipe.frames > 1
        picture = np.full((8, 8, 3), recipe.seed % 200 + 30, np.uint8)
        media = self.store.put_media(encode_still(picture), "png")
        return AttemptEnded(
            ticket.batch,
            ticket.branch,
            position,
            ticket.rung,
            recipe.candidate_id,
            "judged",
            passed,
            self.now,
            reasons=() if passed else ("blur",),
            scores={"quality": recipe.seed % 1000 / 1000, "blur_width": 1.5},
            filter_s={"blur": 0.01},
            phash=recipe.seed,
            media=media if passed or ticket.by_word else None,
            thumbnail=f"{media}#xywh=0,0,8,8",
            generate_s=0.1,
            judge_s=0.01,
            device_s=0.1,
            host=host,
            ticket=ticket.ticket,
        )


def finished_store(folder: Path, still: str = "select: auto") -> Store:
    """A store in which the batch of `batch_file` has run as far as it goes, with its tables; the file beside it."""
    shutil.copytree(_finished(still), folder, dirs_exist_ok=True)
    return Store.open(str(folder / "store"))


@functools.cache
def _finished(still: str) -> Path:
    """The folder of such a store, made once for each setting; whoever wants one gets a copy."""
    folder = Path(tempfile.mkdtemp(prefix="finished-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    store = Store.open(str(folder / "store"), create=True)
    SmallFarm(store).work(submission(batch_file(folder, still)))
    rebuild(store)
    return folder
