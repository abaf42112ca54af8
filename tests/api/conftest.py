from collections.abc import Iterator
from pathlib import Path

import pytest

from ancestra_farm.farm.run import checked_submission
from ancestra_farm.ledger.store import Store
from ancestra_farm.scheduler.world import Submit
from tests.api.door import OpenDoor
from tests.farm.batches import batch_document, write_batch


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of this test's own: no token of whoever runs the tests is read, and none is left behind."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    for name in ("ANCESTRA_TOKEN", "ANCESTRA_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("USER", "ada")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), create=True)


@pytest.fixture(scope="module")
def waiting_batch(tmp_path_factory: pytest.TempPathFactory) -> Submit:
    """A batch of one shot whose stills wait to be picked and closed."""
    folder = tmp_path_factory.mktemp("batch")
    return checked_submission(write_batch(folder, batch_document(candidates=8, select="close")), "tester")


@pytest.fixture(scope="module")
def open_door(tmp_path_factory: pytest.TempPathFactory, waiting_batch: Submit) -> Iterator[OpenDoor]:
    """A door that stays open for a module, with a batch that waits for people behind it."""
    store = Store.open(str(tmp_path_factory.mktemp("farm") / "store"), create=True)
    with OpenDoor(store, waiting_batch) as door:
        door.until(lambda status: status["waiting"])
        yield door
