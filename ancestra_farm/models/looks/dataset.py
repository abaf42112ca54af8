"""The photographs a look is made of, and whether they may be used: no row, no training.

Every file in the folder has a row in the ledger and every row has its file, with the digest that was consented to. It
opens files and hashes them; it decodes pictures only to see that they can be decoded and are large enough.
"""

import datetime as dt
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from ancestra_farm.batch.document import Document
from ancestra_farm.batch.look import LocatedLook, LookFile, Photograph, PhotographLedger, read_ledger
from ancestra_farm.batch.problems import BatchRefused, Problem, listed
from ancestra_farm.batch.rights import refusals_of
from ancestra_farm.batch.urls import safe_join

#: What the farm decodes: formats whose decoders are in Pillow itself and bound what they allocate.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
#: A photograph of more pixels than this is a mistake or an attack: ten times a large camera's.
MAX_PIXELS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph that may be used. ``digest``: ``sha256:…`` of the file; ``caption``: what a model is told of it."""

    path: Path
    digest: str
    caption: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a look is made of, in the order of the ledger.

    ``data``: digest over the photographs and their captions, whatever their order; ``ledger``: that of its file. Both
    as ``sha256:…``. ``licences``: of the photographs, each once.
    """

    photos: tuple[Photo, ...]
    data: str
    ledger: str
    licences: tuple[str, ...]


def load_dataset(located: LocatedLook, size: tuple[int, int], today: dt.date) -> Dataset:
    """The photographs of a look file, if all of them may be used for it.

    ``size``: (width, height) in pixels that each has at least. Raises BatchRefused, with every reason there is: a file
    without a row, a row without its file, another digest, consent that has ended or does not go so far, a licence that
    the policy does not allow, or a file that is no picture.
    """
    look = located.look
    ledger_path = located.beside(look.ledger_path)
    document, ledger = read_ledger(ledger_path)
    folder = located.beside(look.photographs)
    if not folder.is_dir():
        raise BatchRefused([Problem(str(located.file), None, "photographs", f"{folder} is no folder")])
    problems = [*_without_row(folder, ledger_path, ledger), *_named_twice(document, ledger)]
    photos = []
    for index, row in enumerate(ledger.photographs):
        found = [document.problem(("photographs", index, *place), message, hint) for place, message, hint in
                 (*_refusals(row, look, today), *_file_faults(folder, row, size))]  # fmt: skip
        problems += found
        if not found:
            photos.append(Photo(Path(safe_join(folder, row.file)), row.sha256, look.caption_of(row)))
    if problems:
        raise BatchRefused(problems)
    return Dataset(
        tuple(photos),
        data_digest(photos),
        f"sha256:{hashlib.sha256(ledger_path.read_bytes()).hexdigest()}",
        tuple(sorted({row.licence for row in ledger.photographs})),
    )


def data_digest(photos: list[Photo] | tuple[Photo, ...]) -> str:
    """``sha256:…`` over digests and captions, whatever the order of the photographs."""
    digest = hashlib.sha256()
    for photo in sorted(photos, key=lambda one: (one.digest, one.caption)):
        caption = photo.caption.encode()
        digest.update(bytes.fromhex(photo.digest.removeprefix("sha256:")) + len(caption).to_bytes(8, "little"))
        digest.update(caption)
    return f"sha256:{digest.hexdigest()}"


def picture(data: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A photograph as a model sees it: uint8 [H, W, 3] sRGB, upright, filling ``size`` (width, height) from its middle.

    Raises ValueError with a sentence for what is no picture of `FORMATS`.
    """
    image = ImageOps.exif_transpose(_opened(data))
    return np.asarray(ImageOps.fit(_srgb(image), size, Image.Resampling.LANCZOS))


def _srgb(image: Image.Image) -> Image.Image:
    """In sRGB: what a camera wrote in another space would have other colours."""
    profile = image.info.get("icc_profile")
    rgb = image.convert("RGB")
    if not profile or image.mode not in {"RGB", "RGBA"}:
        return rgb
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(rgb, source, ImageCms.createProfile("sRGB")) or rgb
    except ImageCms.PyCMSError:
        return rgb  # a broken profile; the picture itself is sound


def _opened(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"it has {image.width:,} × {image.height:,} pixels")
        image.load()
    except UnidentifiedImageError:
        raise ValueError(f"it is no picture that can be read; take {listed(FORMATS)}") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"it cannot be decoded: {error}") from None
    return image


Fault = tuple[tuple[str, ...], str, str]
"""(place in the row, what is wrong, what would be right)"""


def _without_row(folder: Path, ledger_path: Path, ledger: PhotographLedger) -> Iterator[Problem]:
    rows = {row.file for row in ledger.photographs}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") for part in name.split("/"))
        if path.is_dir() or hidden or name in rows or path.resolve() == ledger_path.resolve():
            continue
        yield Problem(
            str(path), None, "", f"has no row in {ledger_path}: no row, no training",
            "write one (owner, consent, licence, scope), or take the file away",
        )  # fmt: skip


def _named_twice(document: Document, ledger: PhotographLedger) -> Iterator[Problem]:
    for key, what in (("file", "the file {value} has a second row here"),
                      ("sha256", "the same picture stands in a row above, under another name")):  # fmt: skip
        seen: set[str] = set()
        for index, row in enumerate(ledger.photographs):
            value = getattr(row, key)
            if value in seen:
                yield document.problem(
                    ("photographs", index, key), what.format(value=value), "a photograph has one row"
                )
            seen.add(value)


def _refusals(row: Photograph, look: LookFile, today: dt.date) -> Iterator[Fault]:
    """Why a photograph may not be used for a look."""
    for place, message, hint in refusals_of(row.consent, row.scope, ("training",), look.show, today):
        yield place, f"{row.file}: {message}", hint
    licences = look.policy.licences
    if licences is not None and row.licence not in licences:
        hint = f"policy.licences allows {listed(licences)}" if licences else "policy.licences allows none"
        yield ("licence",), f"{row.file}: its licence, {row.licence}, is not allowed by the look's policy", hint
    if not look.caption_of(row):
        yield ("caption",), f"{row.file}: there is nothing to tell the model of it", "write its caption"


def _file_faults(folder: Path, row: Photograph, size: tuple[int, int]) -> Iterator[Fault]:
    """Whether the file is there, is the one that the row is about, and is a picture."""
    try:
        path = Path(safe_join(folder, row.file))
    except ValueError as error:
        yield ("file",), str(error), f"a path in {folder}"
        return
    if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        yield ("file",), f"{row.file} is not in {folder}", "a row has its photograph; take the row away, or bring it"
        return
    data = path.read_bytes()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if digest != row.sha256:
        yield (
            ("sha256",), f"{row.file} is not the file that this row is about: its digest is {digest}",
            "consent is to one picture; bring that one back, or ask anew and write its digest",
        )  # fmt: skip
        return
    try:
        image = ImageOps.exif_transpose(_opened(data))
    except ValueError as error:
        yield ("file",), f"{row.file}: {error}", ""
        return
    if image.width < size[0] or image.height < size[1]:
        message = (
            f"{row.file} is {image.width} × {image.height} pixels, smaller than the {size[0]} × {size[1]} of training"
        )
        yield ("file",), message, "take a larger one, or train at a smaller size"
