"""Where a look is trained: a GPU for bases that want one, said at once where there is none."""

import pytest

from ancestra_farm.farm.look_training import awaited, gpus_of
from ancestra_farm.models.looks.adapter import LookRefused
from tests.models.looks.photographs import base_card


def test_a_base_that_wants_a_gpu_is_trained_on_as_many_as_it_has():
    assert gpus_of(base_card()) == 0
    assert gpus_of(base_card(vram_gib=12.0)) == 1
    assert gpus_of(base_card(vram_gib=120.0, gpus=2)) == 2
    assert gpus_of(base_card(vram_gib=12.0, runtime={"device": "cpu"})) == 0


def test_a_gpu_that_cannot_come_is_refused_and_one_that_may_is_waited_for():
    wants = base_card(vram_gib=12.0)
    assert awaited(base_card(), 0, None) == ""
    assert awaited(wants, 1, None) == ""
    with pytest.raises(LookRefused, match="is trained on 1 GPU, and this machine has 0; see --address"):
        awaited(wants, 0, None)
    assert "waiting for one to come" in awaited(wants, 0, "10.0.0.1:6379")
