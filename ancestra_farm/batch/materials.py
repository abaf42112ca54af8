"""What a batch names beside itself: its looks and guides, where their files lie, and what they hold as a digest.

A file is known by its digest from here on: a guide's is filled in, a look's is compared. So ids rest on what a file
holds, wherever it lies, and the log says exactly what a batch was made with. Only files of this machine are read here;
those in buckets are brought by whoever hands the batch in.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ancestra_farm.batch.problems import DocumentPath
from ancestra_farm.batch.rights import Rights, Use
from ancestra_farm.batch.schema import Batch, Guide, Look, Shot


@dataclass(frozen=True, slots=True)
class Named:
    """A look or guide where the batch names it. ``path``: its place in the document; ``shot``: None for a look."""

    path: DocumentPath
    entry: Guide | Look
    shot: Shot | None

    @property
    def said(self) -> str:
        """What it is, for a person."""
        if isinstance(self.entry, Guide) and self.shot is not None:
            return f"guide {self.entry.kind} of shot {self.shot.shot} ({self.entry.source})"
        return f"look {self.path[-1]} ({self.entry.source})"


@dataclass(frozen=True, slots=True)
class Material:
    """A file that a batch names. ``digest``: ``sha256:`` and 64 hexadecimal digits; ``file``: where it lies here."""

    digest: str
    bytes: int
    file: Path


def named_in(batch: Batch) -> Iterator[Named]:
    """Everything that a batch names beside itself, in its order."""
    for name, look in batch.looks.items():
        yield Named(("looks", name), look, None)
    for index, shot in enumerate(batch.shots):
        for number, guide in enumerate(shot.guides):
            yield Named(("shots", index, "guides", number), guide, shot)


def uses_of(batch: Batch, named: Named) -> tuple[Use, ...]:
    """What a batch does with it: it steers a generation, and where a shot that it steers is delivered, it is shown."""
    steered = [named.shot] if named.shot is not None else _looking(batch, str(named.path[-1]))
    return ("reference", "publication") if any(_delivered(batch, shot) for shot in steered) else ("reference",)


def _looking(batch: Batch, look: str) -> list[Shot]:
    """The shots of which some stage is made with a look."""
    return [
        shot
        for shot in batch.shots
        if any(batch.stage_of(shot, name).look == look for name in batch.stages if name not in shot.skip)
    ]


def _delivered(batch: Batch, shot: Shot) -> bool:
    """Whether anything of a shot becomes a version: what the batch delivers, or where it does not say, its last."""
    wanted = batch.deliver.stage
    made = [name for name in batch.stages if name not in shot.skip]
    return bool(made) if wanted is None else wanted in made


def with_materials(
    batch: Batch, found: Mapping[DocumentPath, Material], rows: Mapping[DocumentPath, Rights] | None = None
) -> Batch:
    """The batch with digest and size of what was found, and whose it is (``rows``), by its place in the document."""
    rights = rows or {}

    def filled(path: DocumentPath, entry: Any) -> Any:  # noqa: ANN401 - a Look or a Guide, and the same comes back
        material = found.get(path)
        if material is None:
            return entry
        facts = {"digest": material.digest, "bytes": material.bytes, "rights": rights.get(path, entry.rights)}
        return entry.model_copy(update=facts)

    looks = {name: filled(("looks", name), look) for name, look in batch.looks.items()}
    shots = tuple(
        shot.model_copy(
            update={
                "guides": tuple(
                    filled(("shots", index, "guides", number), guide) for number, guide in enumerate(shot.guides)
                )
            }
        )
        if shot.guides
        else shot
        for index, shot in enumerate(batch.shots)
    )
    return batch.model_copy(update={"looks": looks, "shots": shots})


def digests_in(document: str) -> dict[str, str]:
    """What a submitted batch (canonical JSON) names beside itself: digest → whose, said for a person.

    Quick, since it is asked of every submission in a log: the batch is not validated again.
    """
    named: dict[str, str] = {}
    batch = json.loads(document)
    for name, look in batch.get("looks", {}).items():
        named.setdefault(look["digest"], f"look {name}")
    for shot in batch.get("shots", ()):
        for guide in shot.get("guides", ()):
            if guide.get("digest"):
                named.setdefault(guide["digest"], f"guide {guide['kind']} of shot {shot['shot']}")
    return named


def local_file(source: str, beside: Path) -> Path | None:
    """The file that a source names: a plain path starts ``beside`` the batch file. None for one in a bucket."""
    if source.startswith("file:"):
        return Path(source.partition("://")[2].removeprefix("localhost"))
    if "://" in source:
        return None
    path = Path(source).expanduser() if source.startswith("~") else Path(source)
    return beside / path


def measured(file: Path) -> Material:
    """A file's digest and size, read in blocks. Raises OSError."""
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
        return Material(f"sha256:{digest}", opened.tell(), file)
