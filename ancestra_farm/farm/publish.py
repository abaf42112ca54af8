"""Publishing a delivery in the store: each file once, and a manifest last that makes it a version.

Every file is created only if it is not there and ``MANIFEST.json`` comes last: a version is complete if and only if
its manifest is there. Publishing twice, or on two machines, fills the same version once; what was there first stands,
and the manifest says what is there, not what was meant. Its own digest goes into the log, so the log vouches for all.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ancestra_farm.batch.urls import safe_join
from ancestra_farm.ledger.errors import NotThere
from ancestra_farm.ledger.points import reached
from ancestra_farm.ledger.store import Store

MANIFEST = "MANIFEST.json"


@dataclass(frozen=True, slots=True)
class Published:
    """A complete version.

    ``files``: store path by kind, the first one where a kind has many (a sequence of stills), and ``manifest``.
    ``sha256``: of those very files. ``facts``: what else the manifest says.
    """

    files: dict[str, str]
    sha256: dict[str, str]
    facts: dict[str, Any]


def published(store: Store, folder: str) -> Published | None:
    """What is published in a folder of the store, None if nothing complete is."""
    try:
        data = store.read(f"{folder}/{MANIFEST}")
    except NotThere:
        return None
    facts = json.loads(data)
    files, digests = {"manifest": f"{folder}/{MANIFEST}"}, {"manifest": hashlib.sha256(data).hexdigest()}
    for entry in facts.pop("files"):
        files.setdefault(entry["kind"], f"{folder}/{entry['name']}")
        digests.setdefault(entry["kind"], entry["sha256"])
    return Published(files, digests, facts)


def publish(
    store: Store, folder: str, scratch: Path, names: Sequence[tuple[str, str]], facts: Mapping[str, Any]
) -> Published:
    """Copy files of the local folder ``scratch`` into ``folder`` of the store and seal them with a manifest.

    ``names``: (kind, name relative to the folder) of each. ``facts`` go into the manifest as they are.
    """
    entries = []
    for kind, name in names:
        data = Path(safe_join(str(scratch), name)).read_bytes()
        if not store.create(f"{folder}/{name}", data):
            data = store.read(f"{folder}/{name}")
        reached("publish.half_way")
        entries.append({"kind": kind, "name": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)})
    store.create(f"{folder}/{MANIFEST}", json.dumps({**facts, "files": entries}, indent=1, sort_keys=True).encode())
    found = published(store, folder)
    assert found is not None, "a manifest was just written or found"
    return found
