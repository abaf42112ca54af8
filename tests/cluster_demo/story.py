"""What was seen of a farm from its first submission to its last node, as data that can be kept and drawn again."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

#: What a node does: its host generates; loads its model; has nothing to do; or it has no host.
Doing = Literal["busy", "loading", "idle", "empty"]
DOING: tuple[Doing, ...] = ("busy", "loading", "idle", "empty")
#: What happened: a batch was submitted, or is done; a node was killed, is noticed to be lost, is drained; the rest.
What = Literal["submitted", "done", "killed", "lost", "drained", "other"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. ``at``: Unix seconds. ``nodes``: up, by type. ``doing``: of these nodes, how many do what.

    ``queue``: candidates that wait, by class. ``planned``: nodes there are to be for the work that waits.
    """

    at: float
    nodes: dict[str, int]
    doing: dict[str, int]
    queue: dict[str, int]
    planned: float


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened ``at`` (Unix seconds). ``of``: a class or a node."""

    at: float
    what: What
    text: str
    of: str = ""


@dataclass(frozen=True, slots=True)
class Bill:
    """What the farm's own metrics say at the end. ``clock_s``: of its hosts: wall, busy, loading, starved, idle.

    ``node_s`` and ``cost`` by node type, in ``currency``. ``candidate_s``: device-seconds of attempts.
    """

    clock_s: dict[str, float]
    node_s: dict[str, float]
    cost: dict[str, float]
    currency: str
    candidate_s: float

    @property
    def paid_s(self) -> float:
        """Node-seconds in all."""
        return sum(self.node_s.values())

    @property
    def money(self) -> float:
        """What they cost."""
        return sum(self.cost.values())

    def share(self, part: str) -> float:
        """A part of hosts' clocks, 0 to 1."""
        wall_s = self.clock_s["wall"]
        return self.clock_s[part] / wall_s if wall_s else 0.0


@dataclass(frozen=True, slots=True)
class Story:
    """The whole of it. ``nodes_came``: how many different ones. ``judged`` candidates, of which ``survivors``."""

    samples: list[Sample]
    marks: list[Mark]
    bill: Bill
    nodes_came: int
    judged: int
    survivors: int

    @property
    def began(self) -> float:
        """When the first batch was submitted."""
        return min(mark.at for mark in self.marks if mark.what == "submitted")

    def keep(self, path: Path) -> None:
        """Write it down."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def kept(cls, path: Path) -> "Story":
        """What was written down."""
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        parts = {
            "samples": [Sample(**one) for one in told.pop("samples")],
            "marks": [Mark(**one) for one in told.pop("marks")],
            "bill": Bill(**told.pop("bill")),
        }
        return cls(**parts, **told)


def clock(seconds: float) -> str:
    """``2:05``: minutes and seconds since the beginning."""
    sign = "-" if seconds < -0.5 else ""
    return f"{sign}{round(abs(seconds)) // 60}:{round(abs(seconds)) % 60:02d}"
