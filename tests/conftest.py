"""Settings that hold for every test."""

import pytest
from hypothesis import HealthCheck, settings

# No deadlines: a test never fails for being slow, and machines that run it are shared.
settings.register_profile("farm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("farm")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start Ray follow one another: a cluster wants the machine nearly to itself.

    First of all: what hands tests to workers reads their groups in the same hook.
    """
    for item in items:
        if item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.xdist_group("ray"))
