"""The film as it would be handed to a cluster: `check` and `plan` accept it, material and all."""

from fractions import Fraction
from pathlib import Path

import pytest

from ancestra_farm.api.batchfile import planned
from ancestra_farm.plan.plan import Plan
from tests.cli.conftest import Ancestra

FILM = Path(__file__).parents[2] / "jobs" / "ancestra.yaml"


@pytest.fixture(scope="module")
def film() -> Plan:
    return planned(FILM, None)


def test_check_accepts_the_film_and_its_material(ancestra: Ancestra) -> None:
    said = ancestra("check", FILM)
    assert (said.code, said.err) == (0, "")
    assert "good. Batch ancestra of show ancestra, 5 shots" in said.out


def test_plan_says_what_the_film_takes(ancestra: Ancestra) -> None:
    said = ancestra("plan", FILM, "--json")
    assert said.code == 0
    assert {row["stage"] for row in said.json["stages"]} == {
        "still", "move", "join", "move_24", "join_24", "move_finish", "join_finish",
    }  # fmt: skip
    assert said.json["cost"] > 0


def test_each_shot_is_finished_at_the_rate_and_size_of_the_film_from_what_people_picked(film: Plan) -> None:
    for shot in film.shots:
        final = shot.final
        assert final is not None
        assert (final.spec.role, final.size, final.rate) == ("upscale", (2560, 1440), Fraction(24))
        assert final.needed_frames == shot.total_frames
        picked = [stage for stage in shot.stages if stage.spec.select == "close"]
        assert picked[0].spec.role == "text_to_image"
        assert len(picked) == 2  # stills, then clips
        lengths = shot.lengths
        assert lengths is not None
        assert lengths.frames == shot.frames + 16


def test_what_a_shot_begins_to_move_with_has_the_look_and_long_ways_are_drawn_between_keys(film: Plan) -> None:
    by_name = {shot.name: shot for shot in film.shots}
    moving = [shot.stage("move") for name, shot in by_name.items() if name != "anc_010_0020"]
    assert all(stage.look for stage in moving)
    guided = [bool(stage.space(0, (("0" * 32,),))[0].guides) for stage in moving]
    assert guided == [True, False, False, True]
    descent = by_name["anc_010_0020"]
    assert descent.stage("join").join == "keyframes"
    assert len(descent.stage("still").segments) == len(descent.stage("join").segments) + 1
    assert descent.final is not None
    assert descent.final.name == "join_finish"
