"""Publishing a delivery in the store: each file once, and a manifest last that makes it a version.

Every file is created only if it is not there and ``MANIFEST.json`` comes last: a version is complete if and only if
its manifest is there. Publishing twice, or on two machines, fills the same version once; what was there first stands,
and the manifest says what is there, not what was meant.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ancestra_farm.ledger.errors import NotThere
from ancestra_farm.ledger.store import Store

MANIFEST = "MANIFEST.json"


@dataclass(frozen=True, slots=True)
class Published:
    """A complete version. ``files``: store path by kind; ``sha256`` by kind; ``facts``: what else its manifest says."""

    files: dict[str, str]
    sha256: dict[str, str]
    facts: dict[str, Any]


def published(store: Store, folder: str) -> Published | None:
    """What is published in a folder of the store, None if nothing complete is."""
    try:
        manifest = json.loads(store.read(f"{folder}/{MANIFEST}"))
    except NotThere:
        return None
    files = manifest.pop("files")
    return Published(
        files={kind: f"{folder}/{entry['name']}" for kind, entry in files.items()},
        sha256={kind: entry["sha256"] for kind, entry in files.items()},
        facts=manifest,
    )


def publish(store: Store, folder: str, files: Mapping[str, Path], facts: Mapping[str, Any]) -> Published:
    """Copy local ``files`` (by kind) into ``folder`` of the store; seal them with a manifest that holds ``facts``."""
    entries = {}
    for kind, path in files.items():
        data = path.read_bytes()
        if not store.create(f"{folder}/{path.name}", data):
            data = store.read(f"{folder}/{path.name}")
        entries[kind] = {"name": path.name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    manifest = json.dumps({**facts, "files": entries}, indent=2, sort_keys=True).encode() + b"\n"
    store.create(f"{folder}/{MANIFEST}", manifest)
    found = published(store, folder)
    assert found is not None, "a manifest was just written or found"
    return found
