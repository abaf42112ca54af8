"""The drawing of a contact sheet: paper, type, tiles. What is on it is decided in `choice`.

A dark neutral grey, so that no colour of a picture is judged against another colour; one warm accent, for what people
picked. Type is the font inside Pillow, so that a sheet looks the same on every machine; it has no accents and few
signs, and text is reduced to what it has (é becomes e, what is left becomes ?).
"""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
PAPER: Final[Colour] = (35, 35, 35)
PANEL: Final[Colour] = (47, 47, 47)
LINE: Final[Colour] = (66, 66, 66)
BRIGHT: Final[Colour] = (232, 232, 232)
TEXT: Final[Colour] = (186, 186, 186)
FAINT: Final[Colour] = (128, 128, 128)
PICK: Final[Colour] = (247, 181, 56)
REJECT: Final[Colour] = (214, 122, 104)
#: Sheet and margin in pixels.
WIDTH: Final = 1680
MARGIN: Final = 40
_SIGNS: Final = {"→": ">", "×": "x", "–": "-", "—": "-", "…": "...", "’": "'", "‘": "'", "“": '"', "”": '"', "·": "·"}


@lru_cache(maxsize=16)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own scalable font at ``size`` pixels. Raises RuntimeError where Pillow was built without FreeType."""
    found = ImageFont.load_default(size)
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise RuntimeError(  # noqa: TRY004 - no argument is of a wrong type, the installation is
            "Pillow has no FreeType support here; contact sheets need it (the wheels on PyPI have it)"
        )
    return found


def plain(text: str) -> str:
    """Text reduced to the characters that the font has."""
    swapped = "".join(_SIGNS.get(letter, letter) for letter in text)
    bare = "".join(letter for letter in unicodedata.normalize("NFKD", swapped) if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" or letter == "·" else "?" for letter in bare)


class Page:
    """A sheet being drawn. Coordinates in pixels from the top left; it grows downwards as long as things are put."""

    def __init__(self, width: int = WIDTH, height: int = 400) -> None:
        self._picture = Image.new("RGB", (width, height), PAPER)
        self._draw = ImageDraw.Draw(self._picture)
        self.width = width

    def need(self, height: int) -> None:
        """Make the sheet at least ``height`` tall."""
        if height > self._picture.height:
            taller = Image.new("RGB", (self.width, max(height, self._picture.height * 2)), PAPER)
            taller.paste(self._picture)
            self._picture, self._draw = taller, ImageDraw.Draw(taller)

    def finished(self, height: int) -> NDArray[np.uint8]:
        """The sheet, uint8 [height, width, 3]."""
        self.need(height)
        return np.array(self._picture.crop((0, 0, self.width, height)), dtype=np.uint8)

    def text(self, at: tuple[int, int], text: str, size: int, colour: Colour = TEXT, anchor: str = "la") -> int:
        """Write one line; returns its width in pixels. ``anchor``: ``la`` begins at ``at``, ``ra`` ends there."""
        self.need(at[1] + 2 * size)
        line = plain(text)
        self._draw.text(at, line, font=font(size), fill=colour, anchor=anchor)
        return round(font(size).getlength(line))

    def fitted(self, text: str, size: int, width: int) -> str:
        """The text, cut with an ellipsis so that it is at most ``width`` pixels wide."""
        line = plain(text)
        if font(size).getlength(line) <= width:
            return line
        while line and font(size).getlength(line + "...") > width:
            line = line[:-1]
        return line.rstrip(" ,.-") + "..."

    def rule(self, y: int) -> None:
        """A thin line across the sheet."""
        self.need(y + 1)
        self._draw.line([(MARGIN, y), (self.width - MARGIN, y)], fill=LINE, width=1)

    def arrow(self, at: tuple[int, int], length: int, colour: Colour = FAINT) -> None:
        """An arrow to the right; ``at`` is the middle of its tail."""
        x, y = at
        self._draw.line([(x, y), (x + length - 1, y)], fill=colour, width=2)
        self._draw.polygon([(x + length, y), (x + length - 7, y - 4), (x + length - 7, y + 5)], fill=colour)

    def picture(self, at: tuple[int, int], box: tuple[int, int], picture: NDArray[np.uint8] | None) -> None:
        """A picture, uint8 [H, W, 3], fitted into ``box`` (width, height) and centred; None: an empty place."""
        x, y = at
        self.need(y + box[1])
        self._draw.rectangle([x, y, x + box[0] - 1, y + box[1] - 1], fill=PANEL)
        if picture is None:
            self._draw.text((x + box[0] // 2, y + box[1] // 2), "no picture", font=font(13), fill=FAINT, anchor="mm")
            return
        height, width = picture.shape[:2]
        scale = min(box[0] / width, box[1] / height)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        fitted = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)
        self._picture.paste(fitted, (x + (box[0] - size[0]) // 2, y + (box[1] - size[1]) // 2))

    def ring(self, at: tuple[int, int], box: tuple[int, int]) -> None:
        """The mark of a pick: a ring around a place, and a flag in its corner."""
        x, y = at
        self._draw.rounded_rectangle([x - 5, y - 5, x + box[0] + 4, y + box[1] + 4], radius=5, outline=PICK, width=3)
        self._draw.rounded_rectangle([x + box[0] - 47, y - 5, x + box[0] + 4, y + 15], radius=5, fill=PICK)
        self._draw.text((x + box[0] - 21, y + 5), "PICK", font=font(13), fill=PAPER, anchor="mm")

    def chips(self, at: tuple[int, int], parts: Sequence[tuple[str, Colour]], size: int) -> None:
        """Short texts in a row with arrows between them, ending at ``at`` on the right."""
        widths = [round(font(size).getlength(plain(text))) for text, _ in parts]
        gap, arrow = 10, 22
        x = at[0] - sum(widths) - (len(parts) - 1) * (2 * gap + arrow)
        for number, ((text, colour), width) in enumerate(zip(parts, widths, strict=True)):
            if number:
                self.arrow((x + gap, at[1] + round(size * 0.62)), arrow)
                x += 2 * gap + arrow
            self.text((x, at[1]), text, size, colour)
            x += width
