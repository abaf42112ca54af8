"""Answers that are made while they go out: of each only a piece is held in memory, and to one person few are under way.

A connection takes the next piece once it is rid of the last, so that whoever reads slowly, or not at all, makes the
controller hold no more than whoever reads fast.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ancestra_farm.api.people import Person
from ancestra_farm.api.problems import Refusal

#: Answers under way to one person at once: a few machines of theirs, each of which asks for one after the other.
MOST_UNDER_WAY = 8


class Streams:
    """The answers that are under way on one event loop."""

    def __init__(self) -> None:
        self._to: Counter[str] = Counter()

    def answer(self, person: Person, pieces: AsyncIterator[bytes], media: str) -> Response:
        """An answer of these pieces, which is under way from now on until it has ended. Raises Refusal."""
        if self._to[person.name] >= MOST_UNDER_WAY:
            raise Refusal(
                "busy",
                f"{MOST_UNDER_WAY} answers are under way to {person.name} at this moment; ask again",
                headers={"retry-after": "2"},
            )
        self._to[person.name] += 1

        def ended() -> None:
            self._to[person.name] -= 1
            if not self._to[person.name]:
                del self._to[person.name]

        return _Answer(pieces, media, ended)


class _Answer(StreamingResponse):
    """Tells when it has ended, however it does."""

    def __init__(self, pieces: AsyncIterator[bytes], media: str, ended: Callable[[], None]) -> None:
        super().__init__(pieces, headers={"content-type": media})
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()
