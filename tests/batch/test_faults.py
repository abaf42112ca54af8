import pytest

from ancestra_farm.batch.faults import PRESETS, FaultProfile
from ancestra_farm.batch.load import load_faults
from ancestra_farm.batch.problems import BatchRefused


def test_presets_go_from_nothing_to_a_storm():
    assert PRESETS["none"] == FaultProfile()
    for milder, worse in (("none", "calm"), ("calm", "rough"), ("rough", "storm")):
        for name in ("exception", "crash", "nan", "host_losses_per_hour", "node_losses_per_hour", "failed_starts"):
            assert getattr(PRESETS[milder], name) < getattr(PRESETS[worse], name)


def test_a_file_gives_the_profile_it_says_and_nothing_else(tmp_path):
    path = tmp_path / "faults.yaml"
    path.write_text("crash: 0.01\nhost_losses_per_hour: 2\n")
    assert load_faults(path) == FaultProfile(crash=0.01, host_losses_per_hour=2)


@pytest.mark.parametrize("text", ["crashes: 0.1", "crash: 1.5", "crash: often", "slow_factor: 0.5", "- crash"])
def test_a_profile_that_is_not_one_is_refused(tmp_path, text):
    path = tmp_path / "faults.yaml"
    path.write_text(text)
    with pytest.raises(BatchRefused):
        load_faults(path)
