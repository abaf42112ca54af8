"""The controller's inbox: everything that happens anywhere arrives here and is dealt with by one thread, in order.

News are small functions. The controller's thread calls them, so that whatever they touch is touched by that thread
alone; what they return is a happening for the scheduler, or nothing.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from ancestra_farm.scheduler.world import Happening

News = Callable[[], Happening | None]


@dataclass(frozen=True, slots=True)
class Asked:
    """A happening somebody waits for: ``answer`` is set once what it led to is durable, or to why it was refused."""

    happening: Happening
    answer: "Future[None]" = field(default_factory=Future)


class Inbox:
    """Filled from any thread, emptied by one."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[News | Asked] = SimpleQueue()

    def put(self, news: News) -> None:
        """Something happened."""
        self._queue.put(news)

    def ask(self, happening: Happening) -> "Future[None]":
        """Something is wanted; the future ends when it is durable, or raises OrderRefused."""
        asked = Asked(happening)
        self._queue.put(asked)
        return asked.answer

    def collect(self, wait_s: float, gather_s: float, most: int = 1024) -> list[News | Asked]:
        """What has come, in order; waits up to ``wait_s`` for the first and then ``gather_s`` for more to join it."""
        try:
            found = [self._queue.get(timeout=wait_s)]
        except Empty:
            return []
        until = time.monotonic() + gather_s
        while len(found) < most:
            left_s = until - time.monotonic()
            try:
                found.append(self._queue.get(timeout=left_s) if left_s > 0 else self._queue.get_nowait())
            except Empty:
                break
        return found
