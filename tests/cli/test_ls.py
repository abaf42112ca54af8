"""What is listed of batches: what stands, and a dash where there can be nothing."""

from ancestra_farm.cli.ls import versions_of
from ancestra_farm.scheduler.progress import ShotProgress
from tests.cli.test_display import stage


def shot(*, makes_clips: bool, versions: tuple[str, ...] = ()) -> ShotProgress:
    return ShotProgress("b", "s", "a", "done", 96, (stage(makes_clips=makes_clips),), versions)


def test_versions_are_counted_only_where_there_can_be_some() -> None:
    assert versions_of([shot(makes_clips=False), shot(makes_clips=False)]) is None
    assert versions_of([shot(makes_clips=False), shot(makes_clips=True)]) == 0
    two, one = (shot(makes_clips=True, versions=versions) for versions in (("v001", "v002"), ("v001",)))
    assert versions_of([two, one]) == 3
