"""A seed says everything that a soak does."""

from ancestra_farm.batch.faults import FaultProfile
from ancestra_farm.scheduler.tunables import Tunables
from tests.farm.threads import submission
from tests.soak.plans import DOCUMENTS, RATES, SURVIVABLE, TUNABLES, documents, round_of


def test_the_same_seed_makes_the_same_rounds_and_another_others():
    assert [round_of(1, n) for n in range(5)] == [round_of(1, n) for n in range(5)]
    assert round_of(1, 0) != round_of(2, 0)


def test_only_the_last_run_of_a_round_ends_its_ray():
    for number in range(50):
        *runs, last = round_of(3, number).runs
        assert all(kill.who in SURVIVABLE for run in runs for kill in run.kills)
        assert any(kill.who not in SURVIVABLE for kill in last.kills)


def test_everything_a_soak_can_ask_for_is_there_to_be_had(tmp_path):
    assert tuple(documents()) == DOCUMENTS
    for document in documents().values():
        submission(tmp_path, document)  # raises what is wrong with it
    assert FaultProfile(**RATES).persistent == 0
    Tunables(**TUNABLES)
