import socket
from pathlib import Path

import pytest

from ancestra_farm.cli import doctor as looked
from ancestra_farm.ledger.store import Store
from tests.cli.conftest import Ancestra


def test_doctor_looks_at_everything_and_ends_by_what_it_found(ancestra: Ancestra, finished: Store) -> None:
    said = ancestra("doctor", "--store", finished.url, "--json")
    found = {row["what"]: row for row in said.json}
    assert {"python", "ray", "torch", "pyarrow", "machine", "GPUs", "metrics port", "Ray token", "encoders"} <= set(
        found
    )
    assert found["store"]["state"] == "good"
    assert found["encoders"]["state"] == "good"
    assert said.code == (1 if any(row["state"] == "bad" for row in said.json) else 0)
    assert all(row["advice"] for row in said.json if row["state"] == "bad")


def test_a_taken_port_is_bad() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        finding = looked.loopback(taken.getsockname()[1])
        assert finding.state == "bad"
        assert [one.state for one in looked.ray_head(f"127.0.0.1:{taken.getsockname()[1]}")] == ["note"]
    assert looked.loopback(0).state == "good"


def test_a_head_that_does_not_answer_is_bad() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert [one.state for one in looked.ray_head(f"127.0.0.1:{port}")] == ["bad"]
    assert [one.state for one in looked.ray_head("auto")] == ["note"]


@pytest.mark.parametrize(("mode", "state"), [(0o600, "good"), (0o644, "bad"), (0o660, "bad")])
def test_a_token_that_others_can_read_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, state: str
) -> None:
    token = tmp_path / "token"
    token.write_text("")
    token.chmod(mode)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    finding = looked.ray_token()
    assert finding.state == state
    assert finding.advice == ("" if state == "good" else f"chmod 600 {token}")


def test_an_address_that_the_system_refuses_is_a_finding_and_not_the_end(ancestra: Ancestra, tmp_path: Path) -> None:
    said = ancestra("doctor", "--store", tmp_path / ("a" * 300))
    assert said.code == 1
    assert "File name too long" in said.out
    assert "unexpected" not in said.err


def test_stores_that_are_not_there_or_not_allowed_are_told_apart(ancestra: Ancestra, tmp_path: Path) -> None:
    missing = {row["what"]: row for row in ancestra("doctor", "--store", tmp_path / "no", "--json").json}
    assert missing["store"]["state"] == "note"
    refused = ancestra("doctor", "--store", "ftp://somewhere/store", "--json")
    assert refused.code == 1
    assert {row["what"]: row for row in refused.json}["store"]["state"] == "bad"
    assert not (tmp_path / "no").exists()
