"""Every decision, pure: happenings in, instructions out."""

from ancestra_farm.scheduler.progress import ShotProgress, StageProgress
from ancestra_farm.scheduler.scheduler import Scheduler, folded
from ancestra_farm.scheduler.tunables import Tunables

__all__ = ["Scheduler", "ShotProgress", "StageProgress", "Tunables", "folded"]
