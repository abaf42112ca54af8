"""Where a model's weights lie on this node, checked before anything is read from them.

A card names a folder, a folder of this package, or a pinned revision of a hub repository, which lies in the node's
cache once it was fetched. Hosts ask no network unless the farm lets them (ANCESTRA_FETCH=1); ``ancestra models fetch``
brings weights to a node beforehand. The cache is ``$ANCESTRA_CACHE``, else ``ancestra-farm`` in the user's cache
folder: ``models/`` has whole folders and their digests, ``fetching/`` what is under way, ``checked/`` marks and
``locks/`` locks.
"""

import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.sources import FolderSource, HubSource, PackageSource, Source, source_of
from ancestra_farm.models.diffusion.checked import check_digests
from ancestra_farm.models.diffusion.hub import bring, digests_of, folder_in
from ancestra_farm.models.diffusion.layout import WeightsMissing, WeightsRefused, check_layout

__all__ = ["CACHE", "FETCH", "WeightsMissing", "WeightsRefused", "cache_folder", "fetch", "folder_of", "is_here"]

#: Environment: where weights are kept on this node.
CACHE = "ANCESTRA_CACHE"
#: Environment: 1 where hosts may fetch what is not there yet.
FETCH = "ANCESTRA_FETCH"


def cache_folder() -> Path:
    """The cache of this node."""
    named = os.environ.get(CACHE)
    if named:
        return Path(named).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "ancestra-farm"


def folder_of(card: ModelCard, cache: Path | None = None) -> Path:
    """The folder with a card's weights in diffusers' layout: whole, its digests right, no code in it, no bare pickles.

    Raises `WeightsMissing` where it is not on this node and may not be fetched, `WeightsRefused` where it must not be
    read; both name the card and say what would help.
    """
    cache = cache or cache_folder()
    source = _source(card)
    folder = _place(source, card.variant, cache)
    try:
        if isinstance(source, HubSource) and not folder.is_dir():
            _bring_if_allowed(card, source, cache)
        _check(card, folder, cache)
    except (WeightsMissing, WeightsRefused) as error:
        raise type(error)(f"{card.id}: {error}") from error
    return folder


def fetch(card: ModelCard, say: Callable[[str], None], cache: Path | None = None) -> Path:
    """Bring a card's weights to this node, or check every byte of what is here; damaged files are fetched again.

    ``say`` is told what goes on, a sentence at a time. Raises as `folder_of`.
    """
    cache = cache or cache_folder()
    source = _source(card)
    folder = _place(source, card.variant, cache)
    try:
        if isinstance(source, HubSource):
            bring(source, card.variant, cache, say)
        try:
            _check(card, folder, cache, anew=True)
        except (WeightsMissing, WeightsRefused) as damaged:
            if not isinstance(source, HubSource):
                raise
            say(str(damaged))
            bring(source, card.variant, cache, say, again=True)
            _check(card, folder, cache, anew=True)
    except (WeightsMissing, WeightsRefused) as error:
        raise type(error)(f"{card.id}: {error}") from error
    return folder


def is_here(card: ModelCard, cache: Path | None = None) -> bool:
    """Whether a card's weights are on this node, as far as a look at the folder's name tells."""
    try:
        return _place(source_of(card), card.variant, cache or cache_folder()).is_dir()
    except ValueError:
        return False


def _source(card: ModelCard) -> Source:
    try:
        return source_of(card)
    except ValueError as error:
        raise WeightsRefused(f"{card.id} cannot run: {error}") from None


def _place(source: Source, variant: str | None, cache: Path) -> Path:
    """The folder that a source stands for on this node, there or not."""
    if isinstance(source, HubSource):
        return folder_in(cache, source, variant)
    if isinstance(source, PackageSource):
        # the farm is installed as files: diffusers cannot read from an archive
        return Path(str(resources.files("ancestra_farm"))).joinpath(*source.path.split("/"))
    assert isinstance(source, FolderSource)
    return Path(source.path)


def _check(card: ModelCard, folder: Path, cache: Path, *, anew: bool = False) -> None:
    check_layout(folder, card.variant)
    check_digests(folder, {**digests_of(folder), **card.digests}, cache, anew=anew)


def _bring_if_allowed(card: ModelCard, source: HubSource, cache: Path) -> None:
    if os.environ.get(FETCH) != "1":
        raise WeightsMissing(
            f"its weights ({source.repository} at {source.revision[:12]}) are not in {cache}; run on this node: "
            f"ancestra models fetch {card.id}"
        )
    bring(source, card.variant, cache, lambda _: None)
