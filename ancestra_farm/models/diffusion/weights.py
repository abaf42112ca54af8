"""Where a model's weights lie on this node, checked before anything is read from them.

A card names a folder, a folder of this package, or a pinned revision of a hub repository, which lies in the node's
cache once it was fetched; parts of its pipeline may have places of their own. Hosts ask no network unless the farm
lets them (ANCESTRA_FETCH=1); ``ancestra models fetch`` brings weights to a node beforehand. The cache is
``$ANCESTRA_CACHE``, else ``ancestra-farm`` in the user's cache folder: ``models/`` has whole folders and their digests,
``fetching/`` what is under way, ``leaving/`` what makes way for it (`room`), ``checked/`` marks, ``composed/``
pipelines of several places, ``locks/`` locks.
"""

import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.sources import FolderSource, HubSource, PackageSource, Source, part_sources, source_of
from ancestra_farm.models.diffusion.anatomy import PipelineAnatomy, pipeline_anatomy
from ancestra_farm.models.diffusion.checked import check_digests, note_good
from ancestra_farm.models.diffusion.composed import compose
from ancestra_farm.models.diffusion.hub import bring, digests_of, folder_in
from ancestra_farm.models.diffusion.layout import WeightsMissing, WeightsRefused, check_layout, check_part
from ancestra_farm.models.diffusion.room import Hold

__all__ = ["CACHE", "FETCH", "WeightsMissing", "WeightsRefused", "cache_folder", "fetch", "folder_of", "is_here"]

#: Environment: where weights are kept on this node.
CACHE = "ANCESTRA_CACHE"
#: Environment: 1 where hosts may fetch what is not there yet.
FETCH = "ANCESTRA_FETCH"

Say = Callable[[str], None]


def cache_folder() -> Path:
    """The cache of this node."""
    named = os.environ.get(CACHE)
    if named:
        return Path(named).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "ancestra-farm"


def folder_of(card: ModelCard, cache: Path | None = None, hold: Hold | None = None) -> Path:
    """The folder with a card's weights in diffusers' layout: whole, its digests right, no code in it, no bare pickles.

    ``hold``: keeps them there for as long as it lasts; None: they may make way for others at any moment.

    Raises `WeightsMissing` where it is not on this node and may not be fetched, `WeightsRefused` where it must not be
    read; both name the card and say what would help.
    """
    say: Say | None = (lambda _: None) if os.environ.get(FETCH) == "1" else None
    with Hold() as briefly:
        return _folder(card, cache or cache_folder(), hold or briefly, say, anew=False)


def fetch(card: ModelCard, say: Say, cache: Path | None = None) -> Path:
    """Bring a card's weights to this node, or check every byte of what is here; damaged files are fetched again.

    ``say`` is told what goes on, a sentence at a time. Raises as `folder_of`.
    """
    with Hold() as hold:
        return _folder(card, cache or cache_folder(), hold, say, anew=True)


def is_here(card: ModelCard, cache: Path | None = None) -> bool:
    """Whether a card's weights are on this node, as far as a look at the names of folders tells."""
    try:
        places = [source_of(card), *part_sources(card).values()]
    except ValueError:
        return False
    return all(_place(source, card.variant, cache or cache_folder()).is_dir() for source in places)


def _folder(card: ModelCard, cache: Path, hold: Hold, say: Say | None, *, anew: bool) -> Path:
    """``say``: told what is fetched; None: nothing may be. ``anew``: check every byte, and mend from the hub."""
    try:
        source, parts = source_of(card), part_sources(card)
    except ValueError as error:
        raise WeightsRefused(f"{card.id} cannot run: {error}") from None
    try:
        base = _checked(card, source, cache, hold, say, anew=anew)
        if not parts:
            return base
        folders = {name: _checked(card, one, cache, hold, say, part=True, anew=anew) for name, one in parts.items()}
        return compose(_anatomy(card), base, folders, cache)
    except (WeightsMissing, WeightsRefused) as error:
        raise type(error)(f"{card.id}: {error}") from error
    except OSError as error:
        raise WeightsMissing(f"{card.id}: {cache} cannot be written: {error.strerror or error}") from error


def _anatomy(card: ModelCard) -> PipelineAnatomy:
    anatomy = pipeline_anatomy(str(card.pipeline))
    if anatomy is None:
        raise WeightsRefused(f"the installed diffusers has no pipeline {card.pipeline}")
    return anatomy


def _checked(
    card: ModelCard, source: Source, cache: Path, hold: Hold, say: Say | None, *, part: bool = False, anew: bool
) -> Path:
    """The folder of one source, there and looked over."""
    folder = _place(source, card.variant, cache)
    if not isinstance(source, HubSource):
        _look_over(card, folder, cache, part=part, anew=anew)
        return folder
    hold.take(cache, folder.name)
    if not folder.is_dir():
        if say is None:
            raise WeightsMissing(
                f"its weights ({source.repository} at {source.revision[:12]}) are not in {cache}; run on this node: "
                f"ancestra models fetch {card.id}"
            )
        _bring(card, source, cache, say)
        anew = False  # every byte was looked at while it arrived
    try:
        _look_over(card, folder, cache, part=part, anew=anew)
    except (WeightsMissing, WeightsRefused) as damaged:
        if not anew or say is None:
            raise
        say(str(damaged))
        _bring(card, source, cache, say, again=True)
        _look_over(card, folder, cache, part=part, anew=False)
    return folder


def _bring(card: ModelCard, source: HubSource, cache: Path, say: Say, *, again: bool = False) -> None:
    folder = bring(source, card.variant, cache, say, again=again)
    note_good(folder, digests_of(folder), cache)


def _look_over(card: ModelCard, folder: Path, cache: Path, *, part: bool, anew: bool) -> None:
    if part:
        check_part(folder, card.variant)
    else:
        check_layout(folder, card.variant)
    check_digests(folder, {**digests_of(folder), **({} if part else card.digests)}, cache, anew=anew)


def _place(source: Source, variant: str | None, cache: Path) -> Path:
    """The folder that a source stands for on this node, there or not."""
    if isinstance(source, HubSource):
        return folder_in(cache, source, variant)
    if isinstance(source, PackageSource):
        # the farm is installed as files: diffusers cannot read from an archive
        return Path(str(resources.files("ancestra_farm"))).joinpath(*source.path.split("/"))
    assert isinstance(source, FolderSource)
    return Path(source.path)
