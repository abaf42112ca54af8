"""Finished work through the door, block by block, for people who have a token and nothing of the store.

Nothing else of the store goes out this way: what is asked for lies in the folder of one version of one shot, and the
asker has a role on its show. Whoever fetches compares each file with the version's manifest.
"""

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from ancestra_farm.api import incoming
from ancestra_farm.api.problems import Refusal
from ancestra_farm.api.reach import sight
from ancestra_farm.ledger.errors import NotThere, StoreRefused
from ancestra_farm.scheduler.stitches import delivery_folder

if TYPE_CHECKING:
    from ancestra_farm.api.routes import Call

#: Bytes of one answer; it is held in memory while it is on its way.
BLOCK_BYTES = 8 * 2**20


async def block(call: "Call") -> bytes:
    """Bytes of one file of a version, from an offset on: `BLOCK_BYTES`, fewer only at its end."""
    query: incoming.OfDelivered = call.query
    seen = await sight(call)
    missing = Refusal("not-there", f"there is no {query.file} of {query.version} of {query.shot} of {query.show}")
    if not seen.of_show(query.show):
        raise missing  # of another show nobody learns what there is
    path = f"{delivery_folder(query.show, query.shot, query.version)}/{query.file}"
    try:
        return await run_in_threadpool(call.desk.delivered, path, query.offset, BLOCK_BYTES)
    except (NotThere, StoreRefused):
        raise missing from None
