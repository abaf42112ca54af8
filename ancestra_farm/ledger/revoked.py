"""Revocations: material that somebody took their consent back for, by digest, one file each under ``revoked/``.

A revocation is never taken back here: new consent is to a new row in a new ledger. What descends from revoked material
follows from what is in the store already (what a look says it was made of, and the rows); nothing of it is deleted.
"""

import datetime as dt
import json
from dataclasses import asdict, dataclass

from ancestra_farm.ledger.errors import LogDamaged
from ancestra_farm.ledger.materials import sha256_of
from ancestra_farm.ledger.store import Store

FOLDER = "revoked"


@dataclass(frozen=True, slots=True)
class Revocation:
    """``digest``: ``sha256:…`` of a photograph, a guide or a look; ``who`` said so; ``at``: Unix seconds."""

    digest: str
    who: str
    note: str
    at: float

    def __str__(self) -> str:
        day = dt.datetime.fromtimestamp(self.at, dt.UTC).strftime("%Y-%m-%d")
        return f"{self.digest} was revoked on {day}, says {self.who}" + (f": {self.note}" if self.note else "")


def revoke(store: Store, digest: str, who: str, note: str, at: float) -> Revocation:
    """Revoke material; the revocation that stands, which is the first. Raises StoreRefused for what is no digest."""
    path = f"{FOLDER}/{sha256_of(digest)}.json"
    store.create(path, json.dumps(asdict(Revocation(digest, who, note, at)), sort_keys=True).encode() + b"\n")
    return _read(store, path)


def revocations(store: Store) -> dict[str, Revocation]:
    """All of them, by digest. Raises LogDamaged for one that cannot be read: it must not be overlooked."""
    found = (_read(store, path) for path in store.list(FOLDER))
    return {one.digest: one for one in found}


def _read(store: Store, path: str) -> Revocation:
    try:
        return Revocation(**json.loads(store.read(path)))
    except (ValueError, TypeError) as error:
        raise LogDamaged(f"{path} is no revocation that can be read ({error})") from error
