"""Material that comes in through the door, part by part, from whoever cannot write to the store.

What has arrived is in the store and nowhere else, under the names that `ledger.uploads` gives, so a controller that
ends in the middle loses nothing and the next one goes on. Every part is compared with its digest when it comes, and the
whole with its own before it becomes material.
"""

import asyncio
import threading
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from ancestra_farm.api import incoming, wire
from ancestra_farm.api.allowance import MOST_BYTES, Allowance
from ancestra_farm.api.problems import Refusal
from ancestra_farm.api.reach import somebody
from ancestra_farm.ledger.errors import MaterialDamaged, NotThere, StoreFull, StoreRefused
from ancestra_farm.ledger.materials import sha256_of
from ancestra_farm.ledger.revoked import revocations
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.uploads import MOST_PARTS, Part, forget, held, is_there, join, part_bytes, put_part

if TYPE_CHECKING:
    from ancestra_farm.api.routes import Call

#: So long is the joining of parts waited for before the answer is "not yet": well below the patience of clients.
JOIN_S = 15.0
#: So many files are joined at once. Each is read whole from the store, and whoever may submit can ask for any number.
MOST_JOINS = 8

_Whole = tuple[str, int, tuple[Part, ...]]
"""(digest, bytes, parts) of a file: somebody who names others for the same file is answered for those."""


class Uploads:
    """Files on their way into one store. Safe from several threads. ``most``: bytes one person may leave lying."""

    def __init__(self, store: Store, most: int = MOST_BYTES) -> None:
        self._store = store
        self._allowance = Allowance(store, most)
        self._joining: dict[_Whole, Future[None]] = {}
        self._lock = threading.Lock()

    def standing(self, digest: str, size: int) -> wire.UploadStanding:
        """How far a file has come. Raises StoreRefused for what was revoked."""
        sha256 = sha256_of(digest)
        self._check(digest)
        if is_there(self._store, sha256, size):
            forget(self._store, sha256)  # of somebody who ended between the last step and the next to last
            return wire.UploadStanding(there=True, part_bytes=part_bytes(size))
        parts = [
            wire.PartHeld(number=one.number, part=f"sha256:{one.sha256}") for one in sorted(held(self._store, sha256))
        ]
        return wire.UploadStanding(there=False, part_bytes=part_bytes(size), parts=parts[:MOST_PARTS])

    def _check(self, digest: str) -> None:
        if (why := revocations(self._store).get(digest)) is not None:
            raise StoreRefused(f"this file may not be used: {why}")

    def take(self, who: str, digest: str, part: Part, data: bytes) -> None:
        """Keep one part. Raises StoreRefused where it is not what it says, or ``who`` has left too much lying here."""
        sha256 = sha256_of(digest)
        new = False
        try:
            self._allowance.take(who, sha256, len(data))
        except StoreRefused:
            if self._store.exists(part.path(sha256)):
                return  # what arrived once is no more than before
            raise
        try:
            new = put_part(self._store, sha256, part, data)
        finally:
            self._allowance.ended(who, len(data), new=new)

    def named(self, digests: Collection[str]) -> None:
        """A batch that was taken in names these files: they lie about no more."""
        self._allowance.named({sha256_of(digest) for digest in digests})

    def join(self, digest: str, size: int, parts: Sequence[Part]) -> "Future[None]":
        """Make material of parts, on a thread of its own: it reads every byte. Of two who want the same, one is done.

        The future raises what `ledger.uploads.join` does, and StoreRefused for what was revoked. Where too many are
        under way, Refusal is raised.
        """
        whole = (digest, size, tuple(parts))
        with self._lock:
            under_way = self._joining.get(whole)
            if under_way is None:
                if len(self._joining) >= MOST_JOINS:
                    raise Refusal("busy", "too many files are made whole at this moment; ask again")
                under_way = self._joining[whole] = Future()
                # A daemon: a controller that leaves waits for no file, and whoever brings it asks the next one.
                threading.Thread(target=self._join, args=(whole, under_way), name="join", daemon=True).start()
            return under_way

    def _join(self, whole: _Whole, ended: "Future[None]") -> None:
        digest, size, parts = whole
        sha256 = sha256_of(digest)
        try:
            self._check(digest)
            if is_there(self._store, sha256, size):
                forget(self._store, sha256)
            else:
                join(self._store, sha256, size, parts, checked=False)
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            outcome: Exception | None = error
        else:
            outcome = None
        with self._lock:
            del self._joining[whole]
        if outcome is None:
            ended.set_result(None)
        else:
            ended.set_exception(outcome)


# ---- what the door does about each request --------------------------------------------------------------------------


async def standing(call: "Call") -> wire.UploadStanding:
    """How far a file has come."""
    query: incoming.OfMaterial = call.query
    try:
        return await run_in_threadpool(call.desk.uploads.standing, query.digest, query.bytes)
    except StoreRefused as error:
        raise Refusal("refused", str(error)) from error


async def take(call: "Call") -> wire.PartHeld:
    """One part; it is in the store when this is answered."""
    query: incoming.OfPart = call.query
    part = Part(query.number, sha256_of(query.part))
    try:
        who = somebody(call.person).name
        await run_in_threadpool(call.desk.uploads.take, who, query.digest, part, call.body)
    except (StoreRefused, StoreFull) as error:
        raise Refusal("refused", str(error)) from error
    return wire.PartHeld(number=query.number, part=query.part)


async def end(call: "Call") -> wire.JoinOut:
    """The whole file becomes material, or will soon."""
    body: incoming.JoinIn = call.body
    parts = [Part(number, sha256_of(digest)) for number, digest in enumerate(body.parts)]
    future = call.desk.uploads.join(body.digest, body.bytes, parts)
    try:
        await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), JOIN_S)
    except TimeoutError:
        return wire.JoinOut(state="joining")
    except NotThere:
        return wire.JoinOut(state="missing")
    except (StoreRefused, StoreFull, MaterialDamaged) as error:
        raise Refusal("refused", str(error)) from error
    return wire.JoinOut(state="there")
