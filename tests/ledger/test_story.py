import pytest

from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.read import story
from ancestra_farm.ledger.store import Store
from tests.ledger.film import Film, plan_of, shoot, submitted


def kinds(store: Store, candidate_id: str) -> list[str]:
    return [type(event).__name__ for _, event in story(store, candidate_id)]


def test_the_story_of_a_delivered_clip_is_told_to_its_end(store: Store):
    (film,) = shoot(store)
    assert kinds(store, film.id_of("animate", 0)) == [
        "BatchSubmitted",
        "BranchOpened",
        "WaveReleased",
        "AttemptEnded",
        "WaveClosed",
        "OrderGiven",
        "OrderGiven",
        "OrderGiven",
        "StitchPlanned",
        "StitchEnded",
    ]


def test_the_story_of_a_still_goes_on_to_what_was_made_of_it(local_store: Store):
    (film,) = shoot(local_store)
    told = story(local_store, film.id_of("still", 2))
    assert [type(event).__name__ for _, event in told] == [
        "BatchSubmitted",
        "BranchOpened",
        "WaveReleased",
        "AttemptEnded",
        "AttemptEnded",
        "WaveClosed",
        "StageClosed",
    ]
    assert [event.cause for _, event in told[3:5]] == ["exception", "judged"]
    numbers = [commit.number for commit, _ in told]
    assert numbers == sorted(numbers)


def test_a_draft_and_its_full_candidate_have_stories_of_their_own(local_store: Store):
    (film,) = shoot(local_store)
    assert kinds(local_store, film.id_of("still", 2, "draft")).count("AttemptEnded") == 1
    assert kinds(local_store, film.id_of("still", 0, "draft"))[-1] == "WaveClosed"


def test_one_that_was_skipped_untried_has_a_story_too(local_store: Store):
    (film,) = shoot(local_store)
    told = kinds(local_store, film.id_of("still", 6, "draft"))
    assert told == ["BatchSubmitted", "BranchOpened", "WaveReleased", "WaveClosed"]


def test_one_that_was_given_up_has_its_end_told(local_store: Store):
    (film,) = shoot(local_store)
    assert "CandidateGivenUp" in kinds(local_store, film.id_of("animate", 1))
    assert "CandidateGivenUp" not in kinds(local_store, film.id_of("animate", 0))


@pytest.mark.parametrize("name", ["f" * 32, "nonsense", ""])
def test_of_a_stranger_nothing_is_told(local_store: Store, name: str):
    shoot(local_store)
    assert story(local_store, name) == []


def test_a_story_goes_on_through_a_newer_revision_at_another_position(local_store: Store):
    film = Film(plan_of(), store=local_store)
    newer = Film(plan_of(("a wording more", "the sea at dawn")), store=local_store)
    writer = Writer.begin(local_store, "ann", "run")
    writer.commit([submitted(film.plan), film.opened("still"), film.released("still", 0, 0, 2, "draft")])
    name = film.id_of("still", 1, "draft")
    writer.commit([film.attempt("still", 1, "draft")])
    writer.commit([submitted(newer.plan, 2.0), newer.opened("still"), newer.released("still", 0, 0, 8, "draft")])
    (position,) = [n for n in range(8) if newer.id_of("still", n, "draft") == name]
    assert position != 1
    writer.commit([newer.wave_closed("still", 0, "draft", promoted=(position,))])
    assert kinds(local_store, name) == [
        "BatchSubmitted",
        "BranchOpened",
        "WaveReleased",
        "AttemptEnded",
        "BatchSubmitted",
        "BranchOpened",
        "WaveReleased",
        "WaveClosed",
    ]
