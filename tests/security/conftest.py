import json
from collections.abc import Iterator

import pytest

from ancestra_farm.farm.run import checked_submission
from ancestra_farm.ledger.store import Store
from ancestra_farm.scheduler.world import Submit
from tests.api.conftest import own_state, store
from tests.api.door import OpenDoor
from tests.farm.batches import batch_document, write_batch

__all__ = ["own_state", "store"]


def of_show(folder, show: str, batch: str, **still) -> Submit:
    """A batch of a show whose one shot waits to be picked and closed."""
    document = {**batch_document(**{"candidates": 4, "wave": 4, "select": "close", **still}), "show": show}
    return checked_submission(write_batch(folder, {**document, "batch": batch}, f"{batch}.yaml"), "tester")


@pytest.fixture(scope="module")
def two_shows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenDoor]:
    """A farm with two shows, and people who have roles on one of them: a token alone gives them none."""
    folder = tmp_path_factory.mktemp("shows")
    store = Store.open(str(folder / "store"), create=True)
    with OpenDoor(store, of_show(folder, "anc", "tiny"), of_show(folder, "secret", "hidden")) as door:
        door.until(lambda status: len(status["waiting"]) == 2)
        people = {"vic": "viewer", "sub": "submitter", "rev": "reviewer", "sue": "supervisor"}
        document = {"schema": "ancestra/show/v1", "show": "anc", "people": people}
        given = door.ask("POST", "/v1/show_settings", {"show": "anc", "document": json.dumps(document)})
        assert given.status == 200, given.data
        for name in (*people, "mel"):
            door.token("member", name)
        yield door
