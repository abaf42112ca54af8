"""Bringing the files of a batch to a farm: into its store, or through its door where the store is out of reach.

Through the door a file goes part by part, without those that arrived before, whoever brought them. A line that breaks
and a controller that ends are waited for; after that the same command goes on where it was.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from ancestra_farm.api.batchfile import Told, told_nobody
from ancestra_farm.api.client import Client, EndpointGone
from ancestra_farm.batch.materials import Material
from ancestra_farm.ledger.errors import StoreUnavailable
from ancestra_farm.ledger.materials import sha256_of
from ancestra_farm.ledger.points import reached
from ancestra_farm.ledger.uploads import Count, Meter, Progressed, parts_of, untold

R = TypeVar("R")

#: So long is a door that does not answer asked again before what is under way is given up for now.
LINE_S = 60.0
PAUSE_S = 1.0
#: Parts that went while they were counted on are brought again so often.
_TRIES = 3


def carry(
    client: Client,
    materials: Sequence[Material],
    told: Told = told_nobody,
    progressed: Progressed = untold,
    line_s: float = LINE_S,
) -> None:
    """Bring files through a farm's door, those that are not there, before the batch that names them. Repeatable.

    ``line_s``: so long a door that does not answer is asked again.

    Raises SourceChanged where a file has changed since it was checked, OrderRefused for what was revoked or does not
    fit, NotAllowed, EndpointGone where nobody answers any more: what arrived stays there.
    """
    for material in materials:
        count = Count(progressed)
        meter = Meter(count)
        for _ in range(_TRIES):
            if _brought(client, material, meter, line_s):
                break
        else:
            raise StoreUnavailable(f"parts of {material.file} went again and again while others came; try again")
        told(material, count.sent)


def _brought(client: Client, material: Material, meter: Meter, line_s: float) -> bool:
    """Bring a file; False where parts that had arrived have gone meanwhile."""
    digest, size = material.digest, material.bytes
    standing = patiently(lambda: client.upload_standing(digest, size), line_s)
    if standing.there:
        meter.at(size, 0)
        return True
    there = {(one.number, one.part) for one in standing.parts}
    done, parts = 0, []
    for part, data in parts_of(material.file, sha256_of(digest)):
        named = f"sha256:{part.sha256}"
        parts.append(named)
        done += len(data)
        if (part.number, named) in there:
            meter.at(done, 0)
            continue
        patiently(partial(client.bring_part, digest, part.number, named, data), line_s)
        meter.at(done, len(data))
        reached("uploads.after_answer")
    state = "joining"
    while state == "joining":  # the door itself waits for a while before it says so
        state = patiently(lambda: client.join_upload(digest, size, parts), line_s).state
    return state == "there"


def patiently(ask: Callable[[], R], line_s: float) -> R:
    """Ask until there is an answer. Raises EndpointGone where there was none for ``line_s`` after the first failure."""
    until = None
    while True:
        try:
            return ask()
        except EndpointGone:
            until = until or time.monotonic() + line_s
            if time.monotonic() >= until:
                raise
            time.sleep(min(PAUSE_S, line_s))
