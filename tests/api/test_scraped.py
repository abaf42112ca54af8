import stat
import urllib.request
from pathlib import Path

import pytest

from ancestra_farm.api.people import digest_of, everybody, revoke
from ancestra_farm.api.scraped import find, scrape_token
from ancestra_farm.api.tls import own_certificate
from ancestra_farm.ledger.store import Store
from ancestra_farm.telemetry.boards.scrape import CERTIFICATE_FILE, TOKEN_FILE, farm_name, targets_of
from tests.api.door import OpenDoor
from tests.farm.processes import wait_for


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), create=True)


def test_prometheus_gets_a_viewers_token_once_that_nobody_else_can_read(store: Store, tmp_path: Path) -> None:
    token = scrape_token(store, tmp_path / "dash")
    kept = tmp_path / "dash" / TOKEN_FILE
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert kept.read_text() == token.token
    assert scrape_token(store, tmp_path / "dash").token == token.token
    ((person, digest),) = everybody(store).values()
    assert (person.role, digest) == ("viewer", digest_of(token.token))


def test_a_token_that_was_revoked_is_replaced(store: Store, tmp_path: Path) -> None:
    token = scrape_token(store, tmp_path / "dash")
    ((person, _),) = everybody(store).values()
    assert revoke(store, person.name, by="ada") == 1
    again = scrape_token(store, tmp_path / "dash")
    assert again.token != token.token
    assert (tmp_path / "dash" / TOKEN_FILE).read_text() == again.token


def test_a_farm_that_nobody_works_on_is_nowhere(store: Store, tmp_path: Path) -> None:
    found = find(store, scrape_token(store, tmp_path / "dash"), tmp_path / "dash")
    assert (found.endpoint, found.why) == ("", "nobody is at work")
    assert targets_of(found.endpoint, "farm") == []


def test_a_farm_is_found_at_its_door_and_answers_to_that_token(store: Store, tmp_path: Path) -> None:
    token = scrape_token(store, tmp_path / "dash")
    with OpenDoor(store) as door:
        door.until(lambda status: True)
        found = find(store, token, tmp_path / "dash")
        assert found.endpoint == door.endpoint
        (target,) = targets_of(found.endpoint, farm_name(store.url))
        assert target["labels"] == {"farm": "store", "instance": "store", "__scheme__": "http"}
        asked = urllib.request.Request(
            f"http://{target['targets'][0]}/v1/metrics", headers={"authorization": f"Bearer {token.token}"}
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert b"ancestra_epoch 1.0" in answer.read()


def test_a_door_with_a_certificate_is_asked_with_that_certificate(store: Store, tmp_path: Path) -> None:
    token = scrape_token(store, tmp_path / "dash")
    with OpenDoor(store, shown=own_certificate()):
        found = wait_for(lambda: (told := find(store, token, tmp_path / "dash")).endpoint and told, 60)
    assert found.endpoint.startswith("https:")
    assert found.certificate is not None
    assert found.certificate.name == "localhost"
    assert (tmp_path / "dash" / CERTIFICATE_FILE).read_text().startswith("-----BEGIN CERTIFICATE-----")


@pytest.mark.parametrize(
    ("url", "name"),
    [("out/demo", "demo"), ("/farms/ocean/", "ocean"), ("s3://bucket/farms/a", "a"), ("s3://bucket", "bucket")],
)
def test_a_farm_is_called_by_the_last_part_of_its_address(url: str, name: str) -> None:
    assert farm_name(url) == name
