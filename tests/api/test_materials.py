"""What a batch names beside itself is in the store before the batch is in the log, whichever way it is handed in."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
import yaml

from ancestra_farm.api.batchfile import lacking, prepared
from ancestra_farm.batch.load import canonical
from ancestra_farm.ledger.errors import SourceChanged
from ancestra_farm.ledger.revoked import revoke
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.verify import verify
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.plan.plan import Plan, PlanRefused
from tests.api.door import OpenDoor
from tests.farm.batches import write_batch
from tests.models.guides.files import motion_path


@pytest.fixture
def guided(tmp_path: Any) -> Any:
    """A batch file with a motion path beside it, and the folder of its card."""
    cards = tmp_path / "cards"
    cards.mkdir()
    card = load_catalog(None)["procedural/clips"].model_copy(update={"id": "test/guided", "guides": ("previz",)})
    (cards / "guided.yaml").write_text(canonical(card))
    motion_path(tmp_path / "way.json", {"points": [(0, 0.5, 0.5), (1, 0.3, 0.5)]})
    guides = [{"kind": "motion_path", "source": "way.json"}]
    document = {
        "schema": "ancestra/v1",
        "batch": "guided",
        "show": "anc",
        "stages": {"clip": {"role": "text_to_video", "model": "test/guided", "candidates": 1}},
        "shots": [{"shot": "anc_000", "frames": 12, "prompt": {"text": "tissue"}, "guides": guides}],
    }
    return write_batch(tmp_path, document, "guided.yaml"), cards


def test_a_batch_is_prepared_with_its_files_and_their_digests(guided: Any, store: Store) -> None:
    ready = prepared(*guided)
    (material,) = ready.materials
    assert material.digest in ready.plan.document
    assert [fault.message for fault in lacking(store, ready.plan.document)] == [
        f"the store has no guide motion_path of shot anc_000 ({material.digest}); `ancestra submit` puts it there"
    ]
    ready.upload(store)
    ready.upload(store)
    assert lacking(store, ready.plan.document) == []
    assert len(store.list("materials")) == 1


def test_a_file_that_changes_after_it_was_checked_is_not_handed_in(guided: Any, store: Store) -> None:
    ready = prepared(*guided)
    ready.materials[0].file.write_text("{}")
    with pytest.raises(SourceChanged, match="check the batch again"):
        ready.upload(store)
    assert store.list("materials") == []


def test_the_door_refuses_a_batch_whose_material_is_not_in_the_store(guided: Any, store: Store) -> None:
    ready = prepared(*guided)
    plan = ready.plan
    body = {"document": plan.document, "cards": dict(plan.card_documents)}
    with OpenDoor(store) as door:
        refused = door.ask("POST", "/v1/batches", body)
        assert refused.status == 409
        assert "the store has no guide motion_path of shot anc_000" in refused.data.decode()
        ready.upload(store)
        assert door.ask("POST", "/v1/batches", body).status == 200


def test_what_was_revoked_is_refused_whichever_way_it_is_handed_in(guided: Any, store: Store) -> None:
    ready = prepared(*guided)
    ready.upload(store)
    plan = ready.plan
    revoke(store, ready.materials[0].digest, "noor", "she changed her mind", 1.7e9)
    with pytest.raises(PlanRefused, match=r"guide motion_path of shot anc_000 may not be used: .* says noor"):
        ready.upload(store)
    with OpenDoor(store) as door:
        refused = door.ask("POST", "/v1/batches", {"document": plan.document, "cards": dict(plan.card_documents)})
    assert refused.status == 409
    assert "she changed her mind" in refused.data.decode()


def test_material_needs_a_row_where_the_show_asks_for_one(guided: Any, store: Store) -> None:
    file, cards = guided
    ready = prepared(file, cards)
    ready.upload(store)
    row = {
        "sha256": ready.materials[0].digest,
        "owner": "noor",
        "consent": {"who": "noor", "when": "2020-03-01", "scope": ["reference", "publication"]},
        "licence": "for this film",
        "scope": ["anc"],
    }
    ledger = {"schema": "ancestra/rights/v1", "materials": [row]}
    (file.parent / "rights.yaml").write_text(yaml.safe_dump(ledger))
    file.write_text(f"{file.read_text()}\nledger: rights.yaml\n")
    with_row = prepared(file, cards)
    asks = {"schema": "ancestra/show/v1", "show": "anc", "policy": {"rights": True}}
    with OpenDoor(store) as door:
        given = {"show": "anc", "document": json.dumps(asks), "order_id": "rows-are-wanted"}
        assert door.ask("POST", "/v1/show_settings", given).status == 200
        for plan, status in ((ready.plan, 409), (with_row.plan, 200)):
            body = {"document": plan.document, "cards": dict(plan.card_documents)}
            answer = door.ask("POST", "/v1/batches", body)
            assert answer.status == status, answer.data
            assert ("policy.rights" in answer.data.decode()) == (status == 409)


def test_the_door_refuses_a_guide_without_a_digest(guided: Any, store: Store) -> None:
    plan = prepared(*guided).plan
    document = json.loads(plan.document)
    del document["shots"][0]["guides"][0]["digest"]
    text = json.dumps(document)
    assert Plan.from_documents(text, plan.card_documents).shots
    assert [fault.message for fault in lacking(store, text)] == ["the guide way.json has no digest"]
    with OpenDoor(store) as door:
        refused = door.ask("POST", "/v1/batches", {"document": text, "cards": dict(plan.card_documents)})
        assert refused.status == 409


def test_a_kill_between_material_and_batch_leaves_material_that_the_next_try_names(guided: Any, store: Store) -> None:
    file, cards = guided
    script = (
        "import sys; from pathlib import Path; from ancestra_farm.api.batchfile import prepared\n"
        "from ancestra_farm.ledger.store import Store\n"
        "prepared(Path(sys.argv[1]), Path(sys.argv[2])).upload(Store.open(sys.argv[3]))"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, str(file), str(cards), store.url],
        env={**os.environ, "ANCESTRA_KILL_AT": "materials.after_put"},
        check=False,
        capture_output=True,
        timeout=100,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(store.list("materials")) == 1
    assert verify(store).problems == ()
    ready = prepared(file, cards)
    ready.upload(store)
    assert len(store.list("materials")) == 1
    assert lacking(store, ready.plan.document) == []
