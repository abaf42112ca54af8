"""Bodies of requests: each is read whole, within its row's bounds on size and time, and all together within another.

A part of a large file is held in memory while it is on its way into the store, and so is a batch while it is looked at.
How many of them there are at once is up to others; what they come to is not: neither of all, nor of one person, so that
nobody takes the room of everybody else. What is small needs none of that room, and gets through when it is full: as
many small bodies as there are connections come to little.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.requests import Request

from ancestra_farm.api.problems import Refusal

if TYPE_CHECKING:
    from ancestra_farm.api.routes import Row

#: Seconds for a body to arrive whole, where its row says nothing else.
BODY_S = 20.0
#: Bytes of all bodies that are held at once: 64 parts of ordinary length, or 8 of the longest.
MOST_HELD_BYTES = 2**29
#: Of these, bytes of one person's: 8 parts of ordinary length, or one of the longest.
MOST_OF_ONE_BYTES = 2**26
#: Bytes at the beginning of a body that are not counted: most orders are smaller than that.
SMALL_BYTES = 2**16


class Bodies:
    """The bodies of the requests that are being answered on one event loop."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()

    @asynccontextmanager
    async def of(self, request: Request, row: "Row", who: str) -> AsyncIterator[bytes]:
        """The body of somebody's request for as long as that is worked on; empty where its row takes none.

        Raises Refusal.
        """
        chunks: list[bytes] = []
        try:
            if row.raw or row.body is not None:
                await self._read(request, row, who, chunks)
                chunks[:] = [b"".join(chunks)]
            yield b"".join(chunks)
        finally:
            self._count(who, sum(map(len, chunks)), 0)

    async def _read(self, request: Request, row: "Row", who: str, chunks: list[bytes]) -> None:
        most, within_s = row.body_bytes, row.body_s or BODY_S
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > most:
            raise Refusal("too-large", f"the body has {int(length):,} bytes; at most {most:,} are read")
        size = 0
        try:
            async with asyncio.timeout(within_s):
                async for chunk in request.stream():
                    chunks.append(chunk)
                    before, size = size, size + len(chunk)
                    there_is_room = self._count(who, before, size)
                    if size > most:
                        raise Refusal("too-large", f"the body has more than the {most:,} bytes that are read")
                    if not there_is_room:
                        raise Refusal(
                            "busy", "too much is sent at this moment; send it again", headers={"retry-after": "2"}
                        )
        except TimeoutError:
            raise Refusal("too-slow", f"the body did not arrive within {within_s:.0f} s") from None
        _check_type(request, row, empty=not size)

    def _count(self, who: str, before: int, now: int) -> bool:
        """A body of somebody's has come to so many bytes; whether there is room for what it has come to."""
        more = max(now - SMALL_BYTES, 0) - max(before - SMALL_BYTES, 0)
        if not more:
            return True
        self._held[who] += more
        if not self._held[who]:
            del self._held[who]
        return self._held[who] <= MOST_OF_ONE_BYTES and self._held.total() <= MOST_HELD_BYTES


def _check_type(request: Request, row: "Row", *, empty: bool) -> None:
    media = "application/octet-stream" if row.raw else "application/json"
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not empty and said != media:
        what = "bytes" if row.raw else "JSON"
        raise Refusal("not-bytes" if row.raw else "not-json", f"the body has to be {what}: Content-Type: {media}")
