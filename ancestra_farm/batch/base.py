"""The value types that every schema of the farm is built from: names, rates, sizes, and the strict base model."""

import re
from fractions import Fraction
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    WithJsonSchema,
)

NAME_PATTERN = r"^[A-Za-z0-9._-]+$"
_NAME = re.compile(NAME_PATTERN)


class Model(BaseModel):
    """Frozen, and strict about unknown fields: a misspelt key is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _check_name(value: str) -> str:
    if not _NAME.fullmatch(value) or value.strip(".") == "":
        raise ValueError("a name is made of A-Z a-z 0-9 . _ - only (it becomes a file name), and is not just dots")
    return value


#: Numbers and truth values as they are: ``candidates: true`` is not 1, ``frames: 96.5`` and ``"96"`` are not 96.
Int = Annotated[int, Strict()]
#: Whole numbers are taken too, and are finite.
Float = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Bool = Annotated[bool, Strict()]

Name = Annotated[str, Field(min_length=1, max_length=80, pattern=NAME_PATTERN), AfterValidator(_check_name)]
#: What a person is called: words with one blank between them, no control characters (it is shown in terminals).
PersonName = Annotated[
    str, Field(min_length=1, max_length=120, pattern=r"^[^\s\x00-\x1f\x7f-\x9f]+( [^\s\x00-\x1f\x7f-\x9f]+)*$")
]

#: Decimal spellings people write for the NTSC family, and what they mean; the decimals themselves are never exact.
NTSC_RATES = {"23.976": "24000/1001", "23.98": "24000/1001", "29.97": "30000/1001", "59.94": "60000/1001"}


def parse_rate(value: object) -> Fraction:
    """Frames per second as an exact fraction.

    Accepts an int, ``"24000/1001"`` or a Fraction. Raises ValueError for a decimal such as 23.976, with the exact
    fraction to write instead.
    """
    if isinstance(value, Fraction):
        rate = value
    elif isinstance(value, bool) or value is None:
        raise ValueError("a rate is frames per second: 24, or an exact fraction such as 24000/1001")
    elif isinstance(value, int):
        rate = Fraction(value)
    else:
        text = str(value).strip()
        if text in NTSC_RATES:
            raise ValueError(f"{text} is not an exact rate; write {NTSC_RATES[text]}")
        if not re.fullmatch(r"\d+(\.0+)?|\d+/[1-9]\d*", text):
            raise ValueError(
                f"{text!r} is not an exact rate; write whole frames per second (24) or a fraction (24000/1001)"
            )
        rate = Fraction(text)
    if not 1 <= rate <= 240:
        raise ValueError("a rate lies between 1 and 240 frames per second")
    return rate


def rate_text(rate: Fraction) -> str:
    """``24`` or ``24000/1001``."""
    return str(rate)


Rate = Annotated[
    Fraction,
    BeforeValidator(parse_rate),
    PlainSerializer(rate_text, return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 240},
                {"type": "string", "pattern": r"^\d+/[1-9]\d*$"},
            ],
            "description": "Frames per second: a whole number or an exact fraction such as 24000/1001.",
        }
    ),
]

Size = Annotated[
    tuple[Annotated[Int, Field(ge=8, le=8192)], Annotated[Int, Field(ge=8, le=8192)]],
    Field(description="[width, height] in pixels"),
]

#: A scalar a model or filter takes. Bool before int, so that ``true`` stays a bool.
Scalar = bool | int | float | str
