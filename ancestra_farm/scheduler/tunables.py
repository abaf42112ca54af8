"""The numbers that decisions rest on, with their reasons. They change pace and patience, never survivors."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tunables:
    """Every tunable of the scheduler. Raises ValueError on values that could not work."""

    #: Seconds of work a ticket should hold. A call costs ~1.5 ms, so a second of work makes the overhead invisible,
    #: and two seconds is about as long as an urgent ticket should ever wait for a running one.
    ticket_s: float = 2.0
    #: Candidates in one ticket at most: the rows of one reply stay around a megabyte.
    ticket_max: int = 512
    #: A generation is ended after this many times its expected seconds …
    deadline_factor: float = 20.0
    #: … but never before this: first calls compile, page in and warm up.
    deadline_floor_s: float = 120.0
    #: Strikes (an exception, or a crash or missed deadline while alone) after which a candidate is quarantined.
    strikes: int = 3
    #: Losses nobody can explain (a node gone) after which a candidate is given up as lost.
    losses: int = 5
    #: A stitch that fails for a reason other than its seams is tried so often.
    stitch_tries: int = 3
    #: A model whose hosts failed to come up so often in a row is taken as unable to start.
    start_failures: int = 3
    #: Hosts that came up forget their pool's failures; this weight goes to the newest measured seconds.
    newest_weight: float = 0.3
    #: New waves are released while a pool has fewer undispatched tickets than this for each of its hosts.
    queued_tickets_per_host: int = 2

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if self.newest_weight > 1:
            raise ValueError("newest_weight is a fraction")
