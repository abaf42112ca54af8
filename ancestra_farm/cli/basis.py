"""What a file of settings is based on: so that `set` undoes nothing that somebody else gave meanwhile.

`show` prints the version as a comment, and it stays in what is edited from there. A file without one (kept in a
repository, say) is based on what was last given from that very file on this machine, which is noted beside the token;
one that was never given from here is based on none. The time stands in the comment since versions are of contents, and
come back: what somebody put back is not what was there before.
"""

import datetime as dt
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

_LINE = re.compile(r"^#[ \t]*based on version ([0-9a-f]{16})\b[^:\n]*", re.MULTILINE)


def line(version: str, at: float) -> str:
    """The comment that says it. ``at``: when they were given, Unix seconds."""
    given = dt.datetime.fromtimestamp(at, dt.UTC)
    return (
        f"# based on version {version} of {given:%Y%m%dT%H%M%S.%fZ}: leave this line, so that nothing is undone that "
        "somebody else changes"
    )


def basis_of(file: Path, text: str, store_id: str, key: str) -> str:
    """The version that settings are based on, ``none`` where nobody knows.

    ``text``: what was read from the file, once: it may be a pipe. ``key``: of which settings, as `key_of`.
    """
    said = _LINE.search(text)
    with suppress(OSError):
        noted = _noted(_path(store_id)).get(key)
        if isinstance(noted, dict) and (noted.get("file"), noted.get("said")) == (str(file.resolve()), _words(text)):
            return str(noted.get("version"))
    return "none" if said is None else said[1]


def note(file: Path, text: str, store_id: str, key: str, version: str) -> None:
    """These were given from a file, and are of this version: the next ones from it are based on them."""
    with suppress(OSError):  # then the next `set` asks which settings are meant
        path = _path(store_id)
        noted = _noted(path) | {key: {"file": str(file.resolve()), "said": _words(text), "version": version}}
        path.parent.mkdir(mode=0o700, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_text(json.dumps(noted), "utf-8")
        fresh.replace(path)


def _words(text: str) -> str:
    """What a file says that it is based on, with its time; empty where it says nothing."""
    found = _LINE.search(text)
    return "" if found is None else found[0]


def _path(store_id: str) -> Path:
    from ancestra_farm.api.tokens import state_folder

    return state_folder() / store_id / "settings.json"


def _noted(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
