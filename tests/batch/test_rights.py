"""Whose the looks and guides of a batch are: rows from its ledger, and what they do not allow, with the line."""

import datetime as dt

import pytest
import yaml

from ancestra_farm.batch import canonical
from ancestra_farm.batch.rights import refusals_of
from ancestra_farm.batch.schema import Batch
from tests.batch.test_materials import Place

CONSENT = {"who": "Ana Lima", "when": "2020-03-01", "scope": ["reference", "publication"]}
ROW = {"owner": "Ana Lima", "consent": CONSENT, "licence": "for this film", "scope": ["ancestra"]}
GUIDE = {"kind": "reference", "source": "a.png"}
LOOKS = {"film": {"source": "film.safetensors", "digest": ""}}


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def ledger(place: Place, *rows: dict[str, object], name: str = "rights.yaml") -> None:
    text = yaml.safe_dump({"schema": "ancestra/rights/v1", "materials": list(rows)})
    (place.folder / name).write_text(text)


def test_looks_and_guides_take_their_rows_from_the_ledger_by_digest(place):
    picture, look = place.file("a.png"), place.file("film.safetensors", b"a look")
    ledger(place, {"sha256": picture, **ROW}, {"sha256": look, "file": "the film's look", **ROW, "owner": "Bo Ek"})
    looks = {"film": {"source": "film.safetensors", "digest": look}}
    batch, _ = place.check(GUIDE, ledger="rights.yaml", looks=looks)
    (guide,) = batch.shots[0].guides
    assert guide.rights.owner == "Ana Lima"
    assert guide.rights.consent.when == dt.date(2020, 3, 1)
    assert batch.looks["film"].rights.owner == "Bo Ek"
    assert Batch.model_validate_json(canonical(batch), by_alias=True, by_name=False) == batch


def test_a_row_that_stands_in_the_batch_goes_before_the_ledgers(place):
    picture = place.file("a.png")
    ledger(place, {"sha256": picture, **ROW})
    batch, _ = place.check({**GUIDE, "rights": {**ROW, "owner": "Bo Ek"}}, ledger="rights.yaml")
    assert batch.shots[0].guides[0].rights.owner == "Bo Ek"


def test_a_row_that_stands_in_the_batch_does_not_allow_what_the_ledger_forbids(place):
    picture = place.file("a.png")
    ledger(place, {"sha256": picture, **ROW, "consent": {**CONSENT, "until": "2020-03-02"}})
    (problem,) = place.problems({**GUIDE, "rights": {**ROW, "owner": "Bo Ek"}}, ledger="rights.yaml")
    assert "may not be used: consent ended on 2020-03-02" in problem
    both = {**ROW, "scope": ["other"]}
    ledger(place, {"sha256": picture, **both})
    (problem,) = place.problems({**GUIDE, "rights": both}, ledger="rights.yaml")
    assert "it may be used for other, not for ancestra" in problem, "and it is said once"


def test_what_the_ledger_has_no_row_of_is_told_with_its_line_and_digest(place):
    digest, other = place.file("a.png"), f"sha256:{'1' * 64}"
    ledger(place, {"sha256": other, **ROW})
    assert place.problems(GUIDE, ledger="rights.yaml") == [
        (
            f"batch.yaml:17: shots[0].guides[0].source: guide reference of shot a (a.png) has no row in rights.yaml; "
            f"its digest is {digest} (write one: owner, consent, licence, scope)"
        )
    ]


def test_without_a_ledger_no_row_is_asked_for(place):
    place.file("a.png")
    batch, _ = place.check(GUIDE)
    assert batch.shots[0].guides[0].rights is None


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (
            {"consent": {**CONSENT, "scope": ["training"]}},
            "Ana Lima consented to training, not to reference or publication",
        ),
        (
            {"consent": {**CONSENT, "scope": ["reference"]}},
            "Ana Lima consented to reference, not to publication, and what is delivered is shown",
        ),
        ({"consent": {**CONSENT, "when": "2999-01-01"}}, "consent was given on 2999-01-01, which is still to come"),
        ({"consent": {**CONSENT, "until": "2020-03-02"}}, "consent ended on 2020-03-02"),
        ({"scope": ["other"]}, "it may be used for other, not for ancestra"),
    ],
)
def test_a_row_that_does_not_go_so_far_is_refused_whatever_any_policy_says(place, row, why):
    place.file("a.png")
    (problem,) = place.problems({**GUIDE, "rights": {**ROW, **row}})
    assert f"guide reference of shot a (a.png) may not be used: {why}" in problem


def test_a_row_for_any_show_covers_this_one(place):
    place.file("a.png")
    batch, _ = place.check({**GUIDE, "rights": {**ROW, "scope": ["any"]}})
    assert batch.shots[0].guides[0].rights.scope == ("any",)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gone.yaml", "there is no such file"),
        ("s3://bucket/rights.yaml", "a ledger lies on this machine"),
        ("http://example.com/rights.yaml", "http"),
    ],
)
def test_a_ledger_that_cannot_be_read_is_told_at_its_line(place, name, says):
    place.file("a.png")
    problems = place.problems(GUIDE, ledger=name)
    assert problems[0].startswith("batch.yaml:")
    assert "ledger: " in problems[0]
    assert says in problems[0]


def test_faults_of_a_ledger_are_told_in_the_ledger(place):
    digest = place.file("a.png")
    ledger(place, {"sha256": digest, **ROW, "owner": ""})
    (problem,) = place.problems(GUIDE, ledger="rights.yaml")
    assert problem.startswith("rights.yaml:")
    ledger(place, {"sha256": digest, **ROW}, {"sha256": digest, **ROW})
    (problem,) = place.problems(GUIDE, ledger="rights.yaml")
    assert "the same file has a row above (a file has one row)" in problem


def test_consent_holds_on_its_first_and_on_its_last_day():
    from ancestra_farm.batch.rights import Consent

    consent = Consent.model_validate({**CONSENT, "until": "2020-03-05"})

    def refused(day: int) -> bool:
        return bool(list(refusals_of(consent, ("any",), ("reference",), "s", dt.date(2020, 3, day))))

    assert [refused(day) for day in (1, 5, 6)] == [False, False, True]
    assert list(refusals_of(consent, ("any",), ("reference",), "s", dt.date(2020, 2, 28)))
