"""Where the weights of a model card come from: a folder, this package, or a pinned revision on the hub.

This module reads the card's text and decides what kind of place it names, and refuses what could move or lead astray.
It opens nothing and asks no network: `models.diffusion.weights` does.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.urls import check_store_url, safe_join

#: A commit of a hub repository. Branches and tags move, and what a card stands for must not.
_COMMIT = re.compile(r"[0-9a-f]{40}")
#: The hub's own rules for names: owner and name of A-Z a-z 0-9 . _ -, neither starting nor ending with . or -.
_REPOSITORY = re.compile(
    r"(?=.{3,96}$)[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?/[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?"
)
_PART = re.compile(r"[A-Za-z]\w*")
_PACKAGE = "package:"
_HUB_HINT = "write the full commit hash of the hub repository, 40 hexadecimal digits"


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A folder on the node or on a share that every node mounts. ``path``: absolute."""

    path: str


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A folder that came with the farm. ``path``: relative to the package, with ``/``."""

    path: str


@dataclass(frozen=True, slots=True)
class HubSource:
    """A commit of a hub repository. ``repository``: ``owner/name``; ``revision``: 40 hexadecimal digits."""

    repository: str
    revision: str


Source = FolderSource | PackageSource | HubSource


def source_of(card: ModelCard) -> Source:
    """What the card's ``source`` and ``revision`` name. Raises ValueError with a sentence for what is not safe."""
    if card.source is None:
        raise ValueError("its card names no source; write a folder, or a hub repository and its revision")
    return _source(card.source, card.revision)


def part_sources(card: ModelCard) -> dict[str, Source]:
    """Where the parts come from that have a place of their own. Raises ValueError, as `source_of`."""
    for name in card.parts:
        if not _PART.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a part")
    return {name: _source(part.source, part.revision) for name, part in card.parts.items()}


def _source(source: str, revision: str | None) -> Source:
    if source.startswith(_PACKAGE):
        return PackageSource(_inside_package(source.removeprefix(_PACKAGE)))
    if source.startswith(("/", "~", "file:")):
        return FolderSource(check_store_url(source).removeprefix("file://"))
    if "--" in source or ".." in source or not _REPOSITORY.fullmatch(source):
        raise ValueError(
            f"the source {source!r} is no place for weights; write an absolute folder, or owner/name of a hub "
            "repository"
        )
    if revision is None:
        raise ValueError(f"no revision of {source} is pinned; {_HUB_HINT}")
    if not _COMMIT.fullmatch(revision):
        raise ValueError(f"the revision {revision!r} of {source} is a name, and names move; {_HUB_HINT}")
    return HubSource(source, revision)


def _inside_package(path: str) -> str:
    try:
        safe_join("", path)
    except ValueError:
        raise ValueError(f"the source {_PACKAGE}{path} is no folder inside the package") from None
    return str(PurePosixPath(path))
