"""How a death is told, by Ray's own words; the crash tests of `test_run` hold these words to what Ray really says."""

import pytest
import ray._private.worker
from ray.exceptions import RayError

from ancestra_farm.farm.crew import cause_of_death


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        (
            "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit ...",
            "crash",
        ),
        ("The actor died because its node has died. Node Id: 5f", "host_lost"),
        ("The actor is temporarily unavailable: RpcError", "host_lost"),
        ("for a reason nobody has thought of", "host_lost"),
    ],
)
def test_only_the_end_of_the_process_itself_is_a_crash(told, cause):
    assert cause_of_death(RayError(told)) == cause


def test_the_switch_for_rays_pages_about_deaths_is_still_there():
    assert callable(ray._private.worker.print_to_stdstream)
