"""A look trained as a job of the farm: an actor on a GPU or CPU slot, everything it needs and makes in the store.

Photographs come from the store's material by digest, checkpoints and samples lie under ``looks/<name>-<digest>/``, and
the finished file lies there too and among the material that batches name. So a trainer may die at any moment, on any
node: the next goes on from the last checkpoint. A training is no batch: nothing of it stands in the log.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.look import LookFile
from ancestra_farm.farm.cluster import ray_cluster
from ancestra_farm.farm.host import NO_GPU, ONE_THREAD, one_thread_each
from ancestra_farm.farm.lifeline import end_with_parent
from ancestra_farm.farm.materials import node_materials
from ancestra_farm.farm.scratch import scratch
from ancestra_farm.ledger.errors import NotThere
from ancestra_farm.ledger.materials import NodeMaterials, put_material
from ancestra_farm.ledger.points import reached
from ancestra_farm.ledger.revoked import revocations
from ancestra_farm.ledger.store import Store

if TYPE_CHECKING:
    from ancestra_farm.models.looks.dataset import Dataset
    from ancestra_farm.models.looks.training import Lesson, Progress, Trained

#: Progress is asked for so often.
LOOK_S = 0.5
#: A trainer that dies so many times without getting further than the last one is not started again.
MOST_DEATHS = 3
#: Name of the finished file in its folder.
FINISHED = "look.safetensors"


class LookBroke(Exception):
    """The trainer died again and again; what it had done is kept in the store."""


@dataclass(frozen=True, slots=True)
class LookJob:
    """What a trainer is told: plain data, a few KB. ``photos``: (digest, caption) each; the rest as in `Lesson`."""

    look: str
    card: str
    photos: tuple[tuple[str, str], ...]
    data: str
    ledger: str
    licences: tuple[str, ...]

    @classmethod
    def of(cls, look: LookFile, card: ModelCard, dataset: "Dataset") -> "LookJob":
        """The job of a look whose photographs were checked."""
        photos = tuple((photo.digest, photo.caption) for photo in dataset.photos)
        return cls(
            look.model_dump_json(by_alias=True), card.model_dump_json(), photos, dataset.data, dataset.ledger,
            dataset.licences,
        )  # fmt: skip

    def lesson(self, materials: NodeMaterials) -> "Lesson":
        """The same with the photographs as files on this machine."""
        from ancestra_farm.models.looks.dataset import Photo  # noqa: PLC0415 - torch is loaded where it is used
        from ancestra_farm.models.looks.training import Lesson  # noqa: PLC0415

        return Lesson(
            LookFile.model_validate_json(self.look, by_alias=True, by_name=False),
            ModelCard.model_validate_json(self.card),
            tuple(Photo(materials(digest), digest, caption) for digest, caption in self.photos),
            self.data,
            self.ledger,
            self.licences,
        )


@dataclass(frozen=True, slots=True)
class LookDone:
    """A finished look. ``path`` in the store; ``digest``: ``sha256:…``; ``moved``: as a sentence for people."""

    path: str
    digest: str
    size_bytes: int
    loss: float
    moved: str
    samples: tuple[str, ...]


class StoreShelf:
    """A folder of a store as a `Shelf`."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self.folder = folder

    def read(self, name: str) -> bytes | None:
        """See `Shelf`."""
        try:
            return self._store.read(f"{self.folder}/{name}")
        except NotThere:
            return None

    def write(self, name: str, data: bytes) -> None:
        """See `Shelf`."""
        self._store.replace(f"{self.folder}/{name}", data)


@ray.remote(  # type: ignore[call-overload] # Ray's own types do not know concurrency groups
    max_restarts=0, max_task_retries=0, concurrency_groups={"work": 1, "ask": 4}
)
class Trainer:
    """Trains one look. Ray restarts nothing here: whoever started it decides."""

    def __init__(self, job: LookJob, store_url: str) -> None:
        end_with_parent()
        self._job = job
        self._store_url = store_url
        self._progress: Progress | None = None
        self._stopped = False

    @ray.method(concurrency_group="work")
    def work(self) -> LookDone:
        """Train to the end. Raises Aborted when stopped, LookRefused, and what weights and the store raise."""
        one_thread_each()
        from ancestra_farm.models.diffusion.generator import DiffusersGenerator  # noqa: PLC0415 - ten seconds
        from ancestra_farm.models.looks.training import train, training_card  # noqa: PLC0415

        store = Store.open(self._store_url)
        materials = node_materials(store)
        lesson = self._job.lesson(materials)
        shelf = StoreShelf(store, f"looks/{lesson.look.look}-{lesson.digest[:12]}")
        generator = DiffusersGenerator(training_card(lesson.card), materials)
        generator.setup()
        one_thread_each()
        trained = train(lesson, generator, shelf, self._told, lambda: self._stopped)
        return _kept(store, shelf, trained)

    @ray.method(concurrency_group="ask")
    def progress(self) -> "Progress | None":
        """How far it is; None before the first step."""
        return self._progress

    @ray.method(concurrency_group="ask")
    def stop(self) -> None:
        """Keep what is done and end `work` after the step that runs."""
        self._stopped = True

    def _told(self, progress: "Progress") -> None:
        self._progress = progress
        reached("look.after_step")


def train_on_farm(
    job: LookJob,
    dataset: "Dataset",
    store_url: str,
    *,
    address: str | None = None,
    cpus: int | None = None,
    verbose: bool = False,
    tell: Callable[["Progress"], None] = lambda _progress: None,
    say: Callable[[str], None] = lambda _message: None,
    asked_to_stop: Callable[[], bool] = lambda: False,
) -> LookDone:
    """Train a look on a Ray (``address``; None: one of our own with ``cpus`` CPUs), with all it makes in the store.

    The store is made if need be. ``tell`` hears of progress, ``say`` of what a person should know, ``asked_to_stop`` is
    asked a few times a second. Raises Aborted when stopped, LookBroke, ClusterUnreachable, and what training raises.
    """
    store = Store.open(store_url, create=True)
    _check_revoked(store, dataset)
    for photo in dataset.photos:
        put_material(store, photo.path, photo.digest)
    heard = _Heard(tell)
    with ray_cluster(address, cpus=cpus, verbose=verbose):
        if wait := awaited(ModelCard.model_validate_json(job.card), ray.cluster_resources().get("GPU", 0), address):
            say(wait)
        deaths, furthest = 0, -1
        while True:
            trainer = _started(job, store.url)
            try:
                return _attended(trainer, heard, asked_to_stop)
            except RayTaskError as error:
                raise error.cause from error
            except RayActorError as error:
                deaths = 1 if heard.step > furthest else deaths + 1
                furthest = max(heard.step, furthest)
                if deaths >= MOST_DEATHS:
                    raise LookBroke(
                        f"the trainer died {deaths} times without getting past step {furthest}; what was done is kept "
                        f"in {store.url}, and the same command goes on from there ({error})"
                    ) from error
                say("the trainer died; another one goes on from its last checkpoint")


def _check_revoked(store: Store, dataset: "Dataset") -> None:
    """Raises LookRefused where a photograph was revoked in this store, whatever its ledger says."""
    from ancestra_farm.models.looks.adapter import LookRefused  # noqa: PLC0415 - torch is loaded where it is used

    revoked = revocations(store)
    for photo in dataset.photos:
        if photo.digest in revoked:
            raise LookRefused(f"{photo.path}: {revoked[photo.digest]}; take it out of the folder and its ledger")


class _Heard:
    """Progress that was heard of, each step once. ``step``: the furthest; 0 before there was any."""

    def __init__(self, tell: Callable[["Progress"], None]) -> None:
        self._tell = tell
        self.step = 0

    def __call__(self, progress: "Progress | None") -> None:
        if progress is not None and progress.step > self.step:
            self.step = progress.step
            self._tell(progress)


def gpus_of(card: ModelCard) -> int:
    """How many GPUs a training on this base takes."""
    return max(card.gpus, 1) if card.vram_gib > 0 and card.runtime.device != "cpu" else 0


def awaited(card: ModelCard, there: float, address: str | None) -> str:
    """What a training waits for on a Ray with ``there`` GPUs, as a sentence; empty where nothing is missing.

    Ray itself would wait for ever and say nothing. Raises LookRefused on a Ray of our own (``address`` None), where no
    GPU will come.
    """
    gpus = gpus_of(card)
    if gpus <= there:
        return ""
    if address is None:
        from ancestra_farm.models.looks.adapter import LookRefused  # noqa: PLC0415 - torch is loaded where it is used

        raise LookRefused(f"{card.id} is trained on {gpus} GPU, and this machine has {there:g}; see --address")
    return f"{card.id} is trained on {gpus} GPU, and the Ray at {address} has {there:g}: waiting for one to come"


def _started(job: LookJob, store_url: str) -> Any:  # noqa: ANN401 - an actor handle
    card = ModelCard.model_validate_json(job.card)
    gpus = gpus_of(card)
    return Trainer.options(  # type: ignore[attr-defined] # an actor class
        num_cpus=card.cpus, num_gpus=gpus, runtime_env={"env_vars": ONE_THREAD if gpus else ONE_THREAD | NO_GPU}
    ).remote(job, store_url)


def _attended(trainer: Any, heard: _Heard, asked_to_stop: Callable[[], bool]) -> LookDone:  # noqa: ANN401 - Ray's
    """Watch a trainer until its work ends, however it ends."""
    working = trainer.work.remote()
    stopping = False
    while not ray.wait([working], timeout=LOOK_S)[0]:
        heard(ray.get(trainer.progress.remote()))
        if asked_to_stop() and not stopping:
            stopping = True
            trainer.stop.remote()
    done: LookDone = ray.get(working)
    heard(ray.get(trainer.progress.remote()))
    return done


def _kept(store: Store, shelf: StoreShelf, trained: "Trained") -> LookDone:
    """Put the finished file into the store, for good and as material."""
    shelf.write(FINISHED, trained.data)
    with scratch("look-") as folder:
        file = folder / FINISHED
        file.write_bytes(trained.data)
        put_material(store, file, trained.digest)
    return LookDone(
        f"{shelf.folder}/{FINISHED}", trained.digest, len(trained.data), trained.facts.loss, str(trained.moved),
        trained.samples,
    )  # fmt: skip
