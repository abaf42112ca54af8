"""A host's clock: every second of a device belongs to exactly one of busy, loading, starved and idle.

It decides nothing; whoever drives the device says what begins now. Because each second is added to the state that was
on when it passed, the four parts add up to the wall clock by construction, not by measurement.
"""

import threading
import time
from collections.abc import Callable
from typing import Literal

from ancestra_farm.plan.farm_events import HostTimed

State = Literal["busy", "loading", "starved", "idle"]


class StretchClock:
    """Seconds by state since the last `take`. Safe to use from several threads; ``now`` is a monotonic clock."""

    def __init__(self, pool: str, host: str, now: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._host = host
        self._now = now
        self._lock = threading.Lock()
        self._state: State = "idle"
        self._since = now()
        self._seconds: dict[State, float] = {"busy": 0.0, "loading": 0.0, "starved": 0.0, "idle": 0.0}

    def switch(self, state: State) -> None:
        """From now on the device is in ``state``."""
        with self._lock:
            self._settle()
            self._state = state

    def owed(self) -> None:
        """The idle seconds of this stretch so far were starved: there was work, and it did not get here in time."""
        with self._lock:
            self._settle()
            self._seconds["starved"] += self._seconds["idle"]
            self._seconds["idle"] = 0.0

    def take(self, batch: str, at: float) -> HostTimed:
        """The stretch that ends now, charged to ``batch`` (empty: to none); the next begins. ``at``: Unix seconds."""
        with self._lock:
            self._settle()
            parts = self._seconds
            self._seconds = dict.fromkeys(parts, 0.0)
        return HostTimed(
            batch=batch,
            pool=self._pool,
            host=self._host,
            wall_s=sum(parts.values()),
            busy_s=parts["busy"],
            loading_s=parts["loading"],
            starved_s=parts["starved"],
            idle_s=parts["idle"],
            at=at,
        )

    def _settle(self) -> None:
        now = self._now()
        self._seconds[self._state] += now - self._since
        self._since = now
