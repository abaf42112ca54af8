"""A whole run with a guide on a local Ray: from the file beside the batch to the score in the rows."""

import gc
import warnings

import pytest

from ancestra_farm.batch.load import canonical
from ancestra_farm.batch.problems import BatchRefused
from ancestra_farm.farm.cluster import ray_cluster
from ancestra_farm.farm.run import run_batch
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.verify import verify
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.plan.events import BatchSubmitted
from tests.farm.batches import write_batch
from tests.farm.logs import attempts_of, events_of
from tests.models.guides.files import motion_path

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
        gc.collect()  # what Ray leaves is told of here, where nobody minds


@pytest.fixture
def cards(tmp_path):
    """A card of the procedural clips that says to take guides; its drift is in its words all the same."""
    folder = tmp_path / "cards"
    folder.mkdir()
    card = load_catalog(None)["procedural/clips"].model_copy(update={"id": "test/guided", "guides": ("previz",)})
    (folder / "guided.yaml").write_text(canonical(card))
    return folder


def document(**guide):
    clip = {"role": "text_to_video", "model": "test/guided", "candidates": 3, "size": [96, 64]}
    guides = [{"kind": "motion_path", "source": "way.json", **guide}]
    prompt = {"text": "tissue, drift left"}
    return {
        "schema": "ancestra/v1",
        "batch": "guided",
        "show": "anc",
        "handles": 0,
        "stages": {"clip": {**clip, "parameters": {"fault_rate": 0.0}, "full_sample": 1.0}},
        "shots": [{"shot": "anc_000", "frames": 12, "prompt": prompt, "guides": guides}],
        "deliver": {"mp4": False},
    }


def test_a_guide_travels_from_beside_the_batch_to_the_hosts_and_its_match_into_the_rows(tmp_path, cards):
    motion_path(tmp_path / "way.json", {"points": [(0, 0.5, 0.5), (1, 0.3, 0.5)]})
    store = Store.open(str(tmp_path / "store"), create=True)
    summary = run_batch(write_batch(tmp_path, document()), store.url, who="tester", cards=cards)
    assert summary.how == "done", summary.message
    matches = [attempt.scores["motion_match"] for attempt in attempts_of(store.url)]
    assert len(matches) == 3
    assert all(-1 <= match <= 1 for match in matches)
    (submitted,) = [event for event in events_of(store.url) if isinstance(event, BatchSubmitted)]
    (material,) = store.list("materials")
    assert f'"digest":"sha256:{material.rpartition("/")[2]}"' in submitted.document
    report = verify(store)
    assert (report.problems, report.materials) == ((), 1)


def test_a_guide_that_is_not_there_leaves_no_trace(tmp_path, cards):
    with pytest.raises(BatchRefused, match=r"there is no such file: .*way\.json"):
        run_batch(write_batch(tmp_path, document()), str(tmp_path / "store"), who="tester", cards=cards)
    assert not (tmp_path / "store").exists()
