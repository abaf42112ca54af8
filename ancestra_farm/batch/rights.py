"""``ancestra/rights/v1``: whose material it is and what may be done with it, a row for each file, by its digest.

A batch names such a ledger, and its looks and guides take their rows from it when it is checked; so they go into the
log with the batch, and who handed them in stands beside them. A row that forbids what a batch does refuses the batch in
any case; where there is none, the show's policy says whether that will do (`scheduler.rules`).
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from ancestra_farm.batch.base import Model, Name
from ancestra_farm.batch.problems import listed

LEDGER_SCHEMA = "ancestra/rights/v1"
#: In a row's ``scope``: for every show.
ANY_SHOW = "any"

Use = Literal["training", "reference", "publication"]
"""What a person can consent to: that a model learns from it, that it steers a generation, that it is shown."""

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


def _parse_day(value: object) -> dt.date:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    try:
        return dt.date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("a day is written year-month-day, as in 2026-03-01") from None


Day = Annotated[dt.date, BeforeValidator(_parse_day)]


class Consent(Model):
    """What the owner of some material, or who is seen in it, agreed to."""

    who: str = Field(min_length=1, max_length=200, description="who gave it")
    when: Day = Field(description="the day it was given, as in 2026-03-01")
    scope: tuple[Use, ...] = Field(min_length=1, description="what for: training, reference, publication")
    until: Day | None = Field(default=None, description="the last day it holds; None: until it is revoked")


class Rights(Model):
    """Whose a look or a guide is, and what may be done with it."""

    owner: str = Field(min_length=1, max_length=200, description="whose it is")
    consent: Consent = Field(description="who agreed to what, and when")
    licence: str = Field(min_length=1, max_length=200, description="what it is licensed under")
    scope: tuple[Name, ...] = Field(min_length=1, description="the shows it may be used for, or any")


class RightsRow(Model):
    """One row of the ledger."""

    file: str = Field(default="", max_length=500, description="what people call it; it is known by its digest")
    sha256: Digest = Field(description="sha256: and 64 hexadecimal digits of the file")
    owner: str = Field(min_length=1, max_length=200, description="whose it is")
    consent: Consent = Field(description="who agreed to what, and when")
    licence: str = Field(min_length=1, max_length=200, description="what it is licensed under")
    scope: tuple[Name, ...] = Field(min_length=1, description="the shows it may be used for, or any")

    @property
    def rights(self) -> Rights:
        """What it says, of whatever has that digest."""
        return Rights(owner=self.owner, consent=self.consent, licence=self.licence, scope=self.scope)


class RightsLedger(Model):
    """The ledger of what batches name."""

    schema_: Literal["ancestra/rights/v1"] = Field(alias="schema", description="the version of this vocabulary")
    materials: tuple[RightsRow, ...] = Field(min_length=1, max_length=100_000, description="a row for each file")


Refusal = tuple[tuple[str, ...], str, str]
"""(place in the row, why it may not be used, what would help)"""


def refusals_of(
    consent: Consent, scope: Sequence[str], uses: Sequence[Use], show: str, today: dt.date
) -> Iterator[Refusal]:
    """Why material may not be used so for a show on that day; nothing, if it may. ``uses``: what is done with it."""
    if missing := [use for use in uses if use not in consent.scope]:
        agreed = listed(consent.scope, "and")
        shown = ", and what is delivered is shown" if "publication" in missing else ""
        message = f"{consent.who} consented to {agreed}, not to {listed(missing, 'or')}{shown}"
        yield ("consent", "scope"), message, "ask for it, or take it away"
    if consent.when > today:
        yield ("consent", "when"), f"consent was given on {consent.when}, which is still to come", ""
    if consent.until is not None and consent.until < today:
        yield ("consent", "until"), f"consent ended on {consent.until}", "ask for it anew"
    if ANY_SHOW not in scope and show not in scope:
        yield ("scope",), f"it may be used for {listed(scope, 'and')}, not for {show}", ""
