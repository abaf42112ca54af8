"""Looks and guides against their files: there, readable, what the batch says of them, and long enough.

What a file holds is looked at by whoever can decode it; here it is only asked, and the answer gets its line.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from ancestra_farm.batch.checks.findings import Findings
from ancestra_farm.batch.guides import (
    CONTROLS,
    MATCH_SCORE,
    SEVERAL,
    SUFFIXES,
    is_moving,
    name_of,
    suffix_of,
    taken_as,
    taken_in,
)
from ancestra_farm.batch.materials import Material, Named, local_file, measured, named_in
from ancestra_farm.batch.problems import DocumentPath, Problem, listed
from ancestra_farm.batch.schema import Guide, Shot
from ancestra_farm.batch.urls import check_source_url

#: What a look's adapter is stored as: nothing else can be loaded without running code.
LOOK_SUFFIX = ".safetensors"


class SourceMissing(Exception):
    """What lies at a URL cannot be had; the message says why."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long a guide has to last: so many frames at ``rate`` per second. ``what``: the cut, or the whole shot."""

    frames: int
    rate: Fraction
    what: str

    @property
    def last_s(self) -> Fraction:
        """When the last frame is shown, in seconds after the first."""
        return (self.frames - 1) / self.rate


#: A file on this machine with what lies at a URL; with a digest, what has it. Raises SourceMissing.
Fetch = Callable[[str, str | None], Path]
#: What is wrong with a guide's file, given how long it has to last; nothing, if it can be used.
Inspect = Callable[[Guide, Path, Length], "list[Fault]"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a guide's file. ``inside``: where in it, for one that is text and has lines of its own."""

    message: str
    hint: str = ""
    inside: Problem | None = None


@dataclass(frozen=True)
class Surroundings:
    """Where a batch's material is looked for. ``beside``: the folder of the batch file. ``today``: in UTC."""

    beside: Path
    fetch: Fetch
    inspect: Inspect
    today: dt.date = field(default_factory=lambda: dt.datetime.now(dt.UTC).date())


def check_guide_kinds(findings: Findings) -> None:
    """Each guide's suffix against its kind, and no two that a stage would be given as the same."""
    for index, shot in enumerate(findings.batch.shots):
        for number, guide in enumerate(shot.guides):
            path = ("shots", index, "guides", number)
            if not (findings.located.is_sound((*path, "kind")) and findings.located.is_sound((*path, "source"))):
                continue
            _check_suffix(findings, (*path, "source"), guide)
        if shot.guides:
            _check_twice(findings, index, shot)
        _check_ranked(findings, index, shot)


def check_materials(findings: Findings, around: Surroundings) -> dict[DocumentPath, Material]:
    """Find, read and compare everything the batch names; what was found, by its place in the document."""
    found: dict[DocumentPath, Material] = {}
    read: dict[tuple[str, str | None], Material | str] = {}
    told: set[tuple[Path, str, Length | None]] = set()
    for named in named_in(findings.batch):
        place = (*named.path, "source")
        if not findings.located.is_sound(named.path) or not _may_be_read(named.entry.source):
            continue
        key = (named.entry.source, named.entry.digest if "://" in named.entry.source else None)
        if key not in read:
            read[key] = _material(named, around)
        material = read[key]
        if isinstance(material, str):
            findings.add(place, material, "a path starts beside the batch file" if "no such" in material else "")
            continue
        found[named.path] = material
        _compare(findings, named, material)
        _inspect(findings, named, material, around, told)
    return found


def length_of(findings: Findings, shot: Shot, guide: Guide) -> Length:
    """How long a moving guide of this shot has to last."""
    handles = findings.batch.handles if shot.handles is None else shot.handles
    rate = shot.rate or findings.batch.rate
    if guide.covers == "cut":
        return Length(shot.frames, rate, "the cut")
    return Length(shot.frames + 2 * handles, rate, "the shot with its handles")


def _check_suffix(findings: Findings, path: DocumentPath, guide: Guide) -> None:
    name, allowed = name_of(guide.source), SUFFIXES[guide.kind]
    suffix = suffix_of(name)
    if suffix in allowed:
        return
    if not suffix:
        message = f"{name!r} has no suffix; a guide of kind {guide.kind} is one file: {listed(allowed)}"
        findings.add(path, message, "a folder of frames is made one clip first")
        return
    findings.add(path, f"a guide of kind {guide.kind} is no {suffix} file; it is {listed(allowed)}")


def _check_twice(findings: Findings, index: int, shot: Shot) -> None:
    """A stage gets one guide of a kind, but for references."""
    for use in findings.uses_of(index, shot):
        card = findings.card(use)
        if card is None:
            return
        first: dict[str, Guide] = {}
        for number, guide in enumerate(shot.guides):
            way = taken_as(guide.kind, taken_in(use.spec.role, card.guides))
            if way is None or way in SEVERAL:
                continue
            other = first.setdefault(way, guide)
            if other is not guide:
                what = f"{guide.kind} and {other.kind}" if guide.kind != other.kind else f"two guides of kind {way}"
                message = f"{use.name}: {card.id} takes one guide as {way}, and this shot has {what}"
                findings.add(("shots", index, "guides", number, "kind"), message, "remove one of them")


def _check_ranked(findings: Findings, index: int, shot: Shot) -> None:
    """A clip without a guide that moves has no match to be ranked by."""
    for use in findings.uses_of(index, shot):
        card, draft = findings.card(use), use.spec.draft
        ranked = {"rank": use.spec.rank, "draft": draft.by if draft is not None else ""}
        if card is None or MATCH_SCORE not in ranked.values():
            continue
        given = [guide for guide in shot.guides if taken_as(guide.kind, card.guides) in CONTROLS]
        if not any(is_moving(name_of(guide.source)) for guide in given):
            path = use.path("rank") if use.spec.rank == MATCH_SCORE else use.path("draft", "by")
            message = f"ranked by {MATCH_SCORE}, but {card.id} is given no guide that moves for shot {shot.shot}"
            findings.add(path, message, "give the shot such a guide, or rank by another score")


def _may_be_read(source: str) -> bool:
    """Sources that are refused are told of by `check_terms`, and never opened."""
    try:
        check_source_url(source)
    except ValueError:
        return False
    return True


def _material(named: Named, around: Surroundings) -> Material | str:
    """The file that an entry names, or why it cannot be had."""
    source = named.entry.source
    file = local_file(source, around.beside)
    try:
        if file is None:
            file = around.fetch(source, named.entry.digest)
        material = measured(file)
    except SourceMissing as missing:
        return str(missing)
    except FileNotFoundError:
        return f"there is no such file: {file}"
    except IsADirectoryError:
        return f"{file} is a folder; a guide or look is one file (make a clip of a folder of frames)"
    except OSError as error:
        return f"{file} cannot be read: {error.strerror or error}"
    return material if material.bytes else f"{file} is empty"


def _compare(findings: Findings, named: Named, material: Material) -> None:
    stated = named.entry.digest
    if stated is not None and stated != material.digest:
        message = f"{named.entry.source} has the digest {material.digest}, not this one: it has been changed"
        findings.add((*named.path, "digest"), message, "give the file that is meant, or its digest")
    elif named.entry.bytes is not None and named.entry.bytes != material.bytes:
        message = f"{named.entry.source} has {material.bytes:,} bytes, not {named.entry.bytes:,}"
        findings.add((*named.path, "bytes"), message, "leave it out: it is filled in")


def _inspect(
    findings: Findings,
    named: Named,
    material: Material,
    around: Surroundings,
    told: set[tuple[Path, str, Length | None]],
) -> None:
    place = (*named.path, "source")
    if named.shot is None:
        if suffix_of(named.entry.source) != LOOK_SUFFIX:
            findings.add(place, f"a look is a {LOOK_SUFFIX} file", "other formats can hold code and are not read")
        return
    guide = named.entry
    assert isinstance(guide, Guide)
    if suffix_of(name_of(guide.source)) not in SUFFIXES[guide.kind]:
        return
    length = length_of(findings, named.shot, guide)
    if (material.file, guide.kind, length) in told:
        return  # the same guide of many shots is said once
    told.add((material.file, guide.kind, length))
    for fault in around.inspect(guide, material.file, length):
        if fault.inside is not None and findings.located.is_sound(place):
            findings.problems.append(fault.inside)
        else:
            findings.add(place, fault.message, fault.hint)
