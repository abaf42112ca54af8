"""The controller's inbox: everything that happens anywhere arrives here and is dealt with by one thread, in order.

News are small functions. The controller's thread calls them, so that whatever they touch is touched by that thread
alone; what they return is a happening for the scheduler, or nothing.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from ancestra_farm.api.desk import Leaving
from ancestra_farm.scheduler.world import Happening

News = Callable[[], Happening | None]
T = TypeVar("T")


#: What is told to whoever asks a controller that has stopped listening.
LEAVING = "the controller is just leaving; ask again in a moment"


@dataclass(frozen=True, slots=True)
class Asked:
    """A happening somebody waits for, with ``more`` of its kind; all of them are taken in, or none.

    ``answer`` is set once what it led to is durable: to the number of a commit by which it is in the log, or to why it
    was refused.
    """

    happening: Happening
    more: tuple[Happening, ...] = ()
    answer: "Future[int]" = field(default_factory=Future)

    @property
    def happenings(self) -> tuple[Happening, ...]:
        """All that is asked for, in order."""
        return (self.happening, *self.more)

    def tell(self, number: int) -> None:
        """It is in the log by commit ``number``."""
        with suppress(InvalidStateError):  # whoever asked has given up waiting
            self.answer.set_result(number)

    def refuse(self, error: Exception) -> None:
        """It did not happen, or nobody knows: ``error`` says."""
        with suppress(InvalidStateError):
            self.answer.set_exception(error)


@dataclass(frozen=True, slots=True)
class Question:
    """News that only reads: called by the controller's thread, it answers whoever waits and changes nothing."""

    ask: Callable[[], Any]
    answer: "Future[Any]" = field(default_factory=Future)

    def __call__(self) -> None:
        """Answer. What goes wrong in answering is the asker's to see, and no matter of the loop."""
        try:
            found = self.ask()
        except Exception as error:  # noqa: BLE001 - handed on whole
            self.refuse(error)
            return
        with suppress(InvalidStateError):
            self.answer.set_result(found)

    def refuse(self, error: Exception) -> None:
        """There is no answer: ``error`` says why."""
        with suppress(InvalidStateError):
            self.answer.set_exception(error)


class Inbox:
    """Filled from any thread, emptied by one."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[News | Asked] = SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False

    def put(self, news: News) -> None:
        """Something happened."""
        self._queue.put(news)

    def ask(self, happening: Happening, *more: Happening) -> "Future[int]":
        """Something is wanted; the future ends when it is durable, or raises OrderRefused."""
        return self._wanted(Asked(happening, more))

    def question(self, ask: Callable[[], T]) -> "Future[T]":
        """Have the controller's thread call ``ask`` between two turns; it only reads, and is quick."""
        return self._wanted(Question(ask))

    def _wanted(self, asked: "Asked | Question") -> "Future[Any]":
        with self._lock:
            if self._closed:
                asked.refuse(Leaving(LEAVING))
            else:
                self._queue.put(asked)
        return asked.answer

    def close(self) -> None:
        """Nobody will look again: whoever waits for an answer is told so, and so is whoever asks from now on."""
        with self._lock:
            self._closed = True
            while True:
                try:
                    left = self._queue.get_nowait()
                except Empty:
                    return
                if isinstance(left, Asked | Question):
                    left.refuse(Leaving(LEAVING))

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
