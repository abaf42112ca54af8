import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from ancestra_farm.cli.main import app
from ancestra_farm.ledger.store import Store
from tests.cli.small_farm import finished_store


class Said:
    """What a command said and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Ancestra = Callable[..., Said]

#: The runner makes the parser of every command anew for each call, which takes longer than most calls.
parser_of = functools.cache(typer.main.get_command)


@pytest.fixture
def ancestra(monkeypatch: pytest.MonkeyPatch) -> Ancestra:
    """Run a command in this process: its exit code and what it said."""
    monkeypatch.setattr("typer.testing._get_command", parser_of)
    for name in ("ANCESTRA_STORE", "ANCESTRA_USER", "ANCESTRA_ENDPOINT", "USER"):
        monkeypatch.delenv(name, raising=False)
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Said:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="ancestra")
        return Said(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of this test's own: no token of whoever runs the tests is read, and none is left behind."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    monkeypatch.delenv("ANCESTRA_TOKEN", raising=False)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store whose batch has run to its end. Read only."""
    return finished_store(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def waiting(tmp_path: Path) -> Store:
    """A store of one's own whose first stages wait to be picked and closed."""
    return finished_store(tmp_path, "select: close")
