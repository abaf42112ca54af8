"""Settings that hold for every test."""

from collections.abc import Iterator
from typing import Any

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


@pytest.fixture(scope="session", autouse=True)
def each_file_system_is_probed_once() -> Iterator[None]:
    """To make a store races processes for names, a quarter of a second of a core; tests make thousands.

    A file system that gave each name to one racer once is not raced again. Buckets are, and so is whatever a test
    calls `probe` for.
    """
    from ancestra_farm.ledger import store
    from ancestra_farm.ledger.local import LocalFolder

    probe, good = store.probe, set[int]()

    def once(url: str, backend: Any) -> None:
        if not isinstance(backend, LocalFolder):
            probe(url, backend)
            return
        there = next(one for one in (backend.root, *backend.root.absolute().parents) if one.exists())
        device = there.stat().st_dev
        if device not in good:
            probe(url, backend)
            good.add(device)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store, "probe", once)
        yield
