"""The contact sheet of a shot: what came of it, best first, as one picture to look at.

Stills are shown large, from their media where there are any, else from their thumbnails; clips as their middle frame
over a strip of five. A picture that cannot be read leaves an empty place: a sheet with a gap beats no sheet.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ancestra_farm.batch.numbers import counted
from ancestra_farm.stitch.choice import RANK, Entry, Row, Section, sections_of
from ancestra_farm.stitch.codec import decode_frames, encode_still
from ancestra_farm.stitch.page import BRIGHT, FAINT, MARGIN, PICK, REJECT, TEXT, WIDTH, Page
from ancestra_farm.stitch.thumbnails import decode_sheet

_GAP: Final = 16
_STILL_COLUMNS: Final = 8
_CLIP_COLUMNS: Final = 4
_REJECT_COLUMNS: Final = 10
_STRIP_FRAMES: Final = 5
_CAPTION: Final = 40
_WORDINGS: Final = 12
_FALLBACK_ASPECT: Final = 9 / 16


def contact_sheet(
    rows: Sequence[Row],
    read: Callable[[str], bytes],
    *,
    title: str = "",
    rank: str = RANK,
    stills: int = 40,
    clips: int = 8,
    rejects: int = 10,
) -> bytes:
    """The sheet of one shot as PNG, `page.WIDTH` pixels wide.

    ``rows``: all its candidates, as rows of the candidates table (or any mapping with those names), each with a
    ``picked`` flag where someone picked it. ``read`` gives the bytes at a store path. ``title``: the shot's. ``rank``:
    the score that orders. ``stills``, ``clips``, ``rejects``: how many a section shows at most; picks always show.
    Raises ValueError when there are no rows, or rows without id or outcome.
    """
    if not rows:
        raise ValueError("a contact sheet needs at least one candidate")
    sections = sections_of(rows, rank=rank, stills=stills, clips=clips, rejects=rejects)
    page = Page()
    pictures = _Pictures(read)
    y = _header(page, rows, title, sections)
    for section in sections:
        y = _section(page, y, section, pictures, rank)
    return encode_still(page.finished(y + MARGIN // 2))


class _Pictures:
    """Reads pictures once each: a thumbnail sheet holds those of a whole ticket."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read
        self._sheets: dict[str, NDArray[np.uint8]] = {}

    def of(self, entry: Entry, *, small: bool = False) -> NDArray[np.uint8] | None:
        """Frames of a candidate, uint8 [T, H, W, 3]; from its thumbnail first if ``small``. None: unreadable."""
        places = sorted(entry.pictures, key=lambda place: ("#" in place) != small)
        for place in places:
            try:
                return self._crop(place) if "#" in place else decode_frames(self._read(place))
            except Exception:  # noqa: BLE001, S112 - each store has its own errors, and a gap beats no sheet
                continue
        return None

    def _crop(self, place: str) -> NDArray[np.uint8]:
        path, _, fragment = place.partition("#xywh=")
        x, y, width, height = (int(number) for number in fragment.split(","))
        if path not in self._sheets:
            self._sheets[path] = decode_sheet(self._read(path))
        tile = self._sheets[path][y : y + height, x : x + width]
        if tile.shape[:2] != (height, width) or 0 in tile.shape:
            raise ValueError(f"{place} lies outside its sheet")
        return tile[np.newaxis]


def _header(page: Page, rows: Sequence[Row], title: str, sections: Sequence[Section]) -> int:
    first = rows[0]
    show, shot, batch = (str(first.get(name) or "") for name in ("show", "shot", "batch"))
    x = MARGIN + page.text((MARGIN, MARGIN - 6), shot or "shot", 40, BRIGHT) + 24
    page.text((x, MARGIN + 14), page.fitted(title, 20, page.width - x - MARGIN), 20, TEXT)
    y = MARGIN + 52
    page.text((MARGIN, y), " · ".join(part for part in (show, batch and f"batch {batch}") if part), 16, FAINT)
    parts = []
    for section in sections:
        parts.append((f"{section.tried:,} {section.noun}", TEXT))
        parts.append((counted(section.survived, "survivor"), BRIGHT))
    picked = sum(section.picked for section in sections)
    if picked:
        parts.append((f"{picked:,} picked", PICK))
    page.chips((page.width - MARGIN, y - 3), parts, 20)
    return y + 40


def _section(page: Page, y: int, section: Section, pictures: _Pictures, rank: str) -> int:
    page.rule(y)
    y += 22
    x = MARGIN + page.text((MARGIN, y), section.stage or section.noun, 24, BRIGHT) + 16
    shown = f"{len(section.best):,} of {section.survived:,} survivors, best {rank} first"
    page.text((x, y + 7), shown if section.best else "no survivors", 16, FAINT)
    y = _grid(page, y + 48, section, pictures)
    y = _rejects(page, y, section, pictures)
    return _wordings(page, y, section) + 12


def _grid(page: Page, y: int, section: Section, pictures: _Pictures) -> int:
    columns = _CLIP_COLUMNS if section.is_clips else _STILL_COLUMNS
    width = (WIDTH - 2 * MARGIN - (columns - 1) * _GAP) // columns
    shown = [(entry, pictures.of(entry)) for entry in section.best]
    height = _box_height(width, [picture for _, picture in shown])
    strip_width = (width - (_STRIP_FRAMES - 1) * 4) // _STRIP_FRAMES
    strip = _box_height(strip_width, [picture for _, picture in shown]) if section.is_clips else 0
    step = height + _CAPTION + _GAP + (strip + 6 if strip else 0)
    for number, (entry, frames) in enumerate(shown):
        at = (MARGIN + (number % columns) * (width + _GAP), y + (number // columns) * step)
        page.picture(at, (width, height), None if frames is None else frames[len(frames) // 2])
        below = at[1] + height
        if strip and frames is not None:
            for part, index in enumerate(np.linspace(0, len(frames) - 1, _STRIP_FRAMES).round().astype(int)):
                place = (at[0] + part * (strip_width + 4), below + 6)
                page.picture(place, (strip_width, strip), frames[index])
        below += strip + 6 if strip else 0
        _caption(page, (at[0], below + 7), width, entry)
        if entry.picked:
            page.ring(at, (width, below - at[1]))
    return y + -(-len(shown) // columns) * step


def _caption(page: Page, at: tuple[int, int], width: int, entry: Entry) -> None:
    x, y = at
    name = f"{entry.rank}" if entry.rank is not None else "rejected"
    used = page.text((x, y), name, 16, PICK if entry.picked else BRIGHT)
    page.text((x + used + 10, y + 2), entry.candidate_id[:8], 13, FAINT)
    score = "" if entry.score is None else f"{entry.score:.3f}"
    taken = page.text((x + width, y), score, 16, TEXT, anchor="ra")
    if entry.label:
        page.text((x + width - taken - 12, y + 2), entry.label, 13, FAINT, anchor="ra")


def _rejects(page: Page, y: int, section: Section, pictures: _Pictures) -> int:
    if not section.rejects:
        return y
    page.text((MARGIN, y), f"A random sample of {section.rejected:,} rejects", 16, REJECT)
    y += 30
    width = (WIDTH - 2 * MARGIN - (_REJECT_COLUMNS - 1) * _GAP) // _REJECT_COLUMNS
    shown = [(entry, pictures.of(entry, small=True)) for entry in section.rejects]
    height = _box_height(width, [picture for _, picture in shown])
    for number, (entry, frames) in enumerate(shown):
        x = MARGIN + (number % _REJECT_COLUMNS) * (width + _GAP)
        top = y + (number // _REJECT_COLUMNS) * (height + _CAPTION + 14)
        page.picture((x, top), (width, height), None if frames is None else frames[len(frames) // 2])
        page.text((x, top + height + 6), page.fitted(entry.note, 14, width), 14, REJECT)
        page.text((x, top + height + 24), entry.candidate_id[:8], 12, FAINT)
    return y + -(-len(shown) // _REJECT_COLUMNS) * (height + _CAPTION + 14) + 10


def _wordings(page: Page, y: int, section: Section) -> int:
    """The letters of the captions: what was asked for, and how much of it survived."""
    if not any(wording.prompt for wording in section.wordings):
        return y
    page.text((MARGIN, y), "Wordings", 16, TEXT)
    y += 28
    for wording in section.wordings[:_WORDINGS]:
        page.text((MARGIN, y), wording.label, 14, BRIGHT)
        page.text((MARGIN + 150, y), f"{wording.survivors:,} of {wording.tried:,}", 14, TEXT, anchor="ra")
        page.text((MARGIN + 174, y), page.fitted(wording.prompt, 14, page.width - 2 * MARGIN - 174), 14, FAINT)
        y += 22
    if len(section.wordings) > _WORDINGS:
        page.text((MARGIN + 174, y), f"and {len(section.wordings) - _WORDINGS} more", 14, FAINT)
        y += 22
    return y + 8


def _box_height(width: int, pictures: Sequence[NDArray[np.uint8] | None]) -> int:
    """How tall a place of this width must be for pictures of their usual aspect."""
    aspects = [picture.shape[1] / picture.shape[2] for picture in pictures if picture is not None]
    return round(width * min(float(np.median(aspects)) if aspects else _FALLBACK_ASPECT, 1.5))
