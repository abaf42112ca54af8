"""Finished work through the door, block by block, for people who have a token and nothing of the store.

Nothing else of the store goes out this way: what is asked for lies in the folder of one version of one shot, and the
asker has a role on its show. Whoever fetches compares each file with the version's manifest.
"""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from ancestra_farm.api import incoming
from ancestra_farm.api.problems import Refusal
from ancestra_farm.api.reach import sight
from ancestra_farm.ledger.errors import NotThere, StoreRefused, StoreUnavailable
from ancestra_farm.scheduler.stitches import delivery_folder

if TYPE_CHECKING:
    from ancestra_farm.api.routes import Call

#: Bytes of one answer.
BLOCK_BYTES = 8 * 2**20
#: Bytes of it that are read, and held in memory, at once: in a bucket each reading is a request of its own.
READ_BYTES = 2**19


async def block(call: "Call") -> AsyncIterator[bytes]:
    """Bytes of one file of a version, from an offset on: `BLOCK_BYTES`, or fewer; none only at its end."""
    query: incoming.OfDelivered = call.query
    seen = await sight(call)
    missing = Refusal("not-there", f"there is no {query.file} of {query.version} of {query.shot} of {query.show}")
    if not seen.of_show(query.show):
        raise missing  # of another show nobody learns what there is
    path = f"{delivery_folder(query.show, query.shot, query.version)}/{query.file}"
    try:
        first = await _read(call, path, query.offset, BLOCK_BYTES)
    except (NotThere, StoreRefused):
        raise missing from None
    return _pieces(call, path, query.offset, first)


async def _pieces(call: "Call", path: str, offset: int, first: bytes) -> AsyncIterator[bytes]:
    """A block as it is read. It ends early where the store does: whoever asks on from there is told why."""
    piece, left = first, BLOCK_BYTES
    while piece:
        yield piece
        offset, left = offset + len(piece), left - len(piece)
        if not left:
            return
        try:
            piece = await _read(call, path, offset, left)
        except (NotThere, StoreRefused, StoreUnavailable):
            return


async def _read(call: "Call", path: str, offset: int, most: int) -> bytes:
    return await run_in_threadpool(call.desk.delivered, path, offset, min(most, READ_BYTES))
