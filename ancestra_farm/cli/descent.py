"""What was made with some material: looks that were trained on it, and every candidate and clip made with them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ancestra_farm.cli.listing import column, number

if TYPE_CHECKING:
    from ancestra_farm.ledger.store import Store
    from ancestra_farm.models.looks.adapter import LookFacts


@dataclass(frozen=True, slots=True)
class DescentRow:
    """What descends from material in one stage of a shot. ``versions``: of the shot's stitches that it is in."""

    batch: str = column("batch")
    shot: str = column("shot")
    stage: str = column("stage")
    look: str = column("look")
    candidates: int = column("candidates", number)
    survivors: int = column("survivors", number)
    versions: tuple[str, ...] = column("versions")


def descents(store: "Store", digest: str) -> list[DescentRow]:
    """The stages with candidates that descend from material, by batch, shot and stage.

    A candidate descends from a look it was made with, from the photographs of that look, and from all that its parents
    descend from. ``look``: the names of the looks in between, for candidates made with one.
    """
    from ancestra_farm.cli.query import table_of

    columns = ["batch", "shot", "stage", "candidate_id", "look", "parents", "outcome"]
    rows = table_of(store, "candidates").select(columns).to_pylist()
    looks = _looks_of(store, digest, {row["look"] for row in rows if row["look"]})
    marked = _marked(rows, set(looks))
    versions: dict[str, set[str]] = {}
    for stitch in table_of(store, "stitches").select(["version", "chain"]).to_pylist():
        for candidate_id in stitch["chain"]:
            versions.setdefault(candidate_id, set()).add(stitch["version"])
    mine = [row for row in rows if row["candidate_id"] in marked]
    return [_row(place, [row for row in mine if _place(row) == place], looks, versions)
            for place in sorted({_place(row) for row in mine})]  # fmt: skip


def trained_on(store: "Store", digest: str) -> dict[str, str]:
    """Names by digest of the looks in the store's ``looks/`` that were trained on material, whether used or not."""
    import hashlib

    found = {}
    for path in store.list("looks"):
        if path.endswith(".safetensors") and not path.endswith("/checkpoint.safetensors"):
            data = store.read(path)
            facts = _facts(data)
            if facts is not None and digest in facts.assets:
                found[f"sha256:{hashlib.sha256(data).hexdigest()}"] = facts.look
    return found


def _looks_of(store: "Store", digest: str, used: Iterable[str]) -> dict[str, str]:
    """Of the looks that candidates were made with, those that are the material or were made of it, with their names."""
    from ancestra_farm.ledger.errors import StoreError
    from ancestra_farm.ledger.materials import sha256_of
    from ancestra_farm.ledger.store import material_path

    found = {}
    for look in used:
        try:
            facts = _facts(store.read(material_path(sha256_of(look))))
        except StoreError:
            facts = None  # its file is gone; it is still the look that it is
        if look == digest or (facts is not None and digest in facts.assets):
            found[look] = facts.look if facts is not None else look[:19]
    return found


def _facts(data: bytes) -> "LookFacts | None":
    import tempfile
    from pathlib import Path

    from ancestra_farm.models.looks.adapter import LookRefused, read_facts

    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(data)
        file.flush()
        try:
            return read_facts(Path(file.name))
        except LookRefused:
            return None


def _marked(rows: list[dict[str, Any]], looks: set[str]) -> set[str]:
    """Candidates made with one of the looks, and whatever was made from those."""
    children: dict[str, list[str]] = {}
    for row in rows:
        for parent in row["parents"]:
            children.setdefault(parent, []).append(row["candidate_id"])
    marked: set[str] = set()
    waiting = [row["candidate_id"] for row in rows if row["look"] in looks]
    while waiting:
        one = waiting.pop()
        if one not in marked:
            marked.add(one)
            waiting += children.get(one, [])
    return marked


def _place(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["batch"], row["shot"], row["stage"]


def _row(
    place: tuple[str, str, str], rows: list[dict[str, Any]], looks: dict[str, str], versions: dict[str, set[str]]
) -> DescentRow:
    names = sorted({looks[row["look"]] for row in rows if row["look"] in looks})
    stitched = sorted({version for row in rows for version in versions.get(row["candidate_id"], ())})
    outcomes = Counter(row["outcome"] for row in rows)
    return DescentRow(*place, ", ".join(names), len(rows), outcomes["survivor"], tuple(stitched))
