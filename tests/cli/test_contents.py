"""What ``ancestra --help`` lists, and that what the READMEs tell people to type is taken as it stands there."""

import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer

from ancestra_farm.cli.contents import CONTENTS
from ancestra_farm.cli.main import app
from tests.cli.conftest import Ancestra


def test_every_command_is_listed_once_and_none_that_is_not_there() -> None:
    commands = getattr(typer.main.get_command(app), "commands")  # noqa: B009 - of typer's own copy of click
    listed = Counter(name for names in CONTENTS.values() for name in names)
    assert listed == Counter(list(commands))


def test_the_list_fits_into_a_terminal_under_its_headings(ancestra: Ancestra) -> None:
    said = ancestra("--help").out
    assert all(len(line) < 80 for line in said.splitlines())
    for heading, commands in CONTENTS.items():
        assert f"\n{heading}:\n" in said
        for name, says in commands.items():
            assert f"\n  {name} " in said
            assert says in said, "whole, and on one line"


ROOT = Path(__file__).parents[2]
READMES = ("README.md", "cluster/README.md", "dashboards/README.md")


def typed(readme: str) -> list[str]:
    """The lines of a README's blocks that begin with this program."""
    blocks = re.findall(r"```\n(.*?)```", (ROOT / readme).read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("ancestra ")]


def parse(command: Any, words: list[str], parent: Any = None) -> None:
    """Read a command line to its end and do nothing. Raises where it is none, or where something is missing in it."""
    name = words[0]
    context = command.make_context(name, words[1:], parent=parent)
    if hasattr(command, "resolve_command"):
        found, inner, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        parse(inner, [found, *rest], context)


@pytest.mark.parametrize("line", [pytest.param(line, id=line[:60]) for readme in READMES for line in typed(readme)])
def test_what_a_readme_has_people_type_is_taken(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANCESTRA_USER", raising=False)
    monkeypatch.setenv("ANCESTRA_STORE", "s3://bucket/farm")  # which the blocks for clusters say first
    parse(typer.main.get_command(app), shlex.split(line, comments=True))
