"""A farm known by its door alone: an address in place of a store, for people who have a token and no store to read.

``https://HOST:PORT#FINGERPRINT`` names a door and the certificate that it has to show (`ancestra status` says it to
whoever reads the store); ``http://127.0.0.1:PORT`` is this end of a tunnel. Whatever goes through the door works from
there; what reads or writes the store itself says that it needs the store.
"""

import re
import socket
import time
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

import urllib3
from pydantic import ValidationError

from ancestra_farm.api import wire
from ancestra_farm.api.connection import connections
from ancestra_farm.batch.urls import on_loopback
from ancestra_farm.ledger.errors import StoreRefused
from ancestra_farm.ledger.liveness import Presence, who_is_alive
from ancestra_farm.ledger.store import Store

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


class DoorClosed(Exception):
    """Nobody answers at a door's address, or somebody who is no farm's controller."""


@dataclass(frozen=True, slots=True)
class Afar:
    """One farm by its door. ``url``: the address as it was given; ``id``: of its store, as it says itself.

    It is told nothing but under a token, and no token before it has shown that it is the farm that was named.
    """

    url: str
    id: str

    @classmethod
    def at(cls, address: str) -> Self:
        """The farm whose door this is. Raises StoreRefused for what is no such address, DoorClosed."""
        endpoint, fingerprint = _parts(address)
        health = _health(endpoint, fingerprint)
        if health is None:
            raise DoorClosed(
                f"no farm answers at {endpoint}: is it at work, is the tunnel up, is the certificate the one after #?"
            )
        return cls(address, health.store)

    def presence(self) -> Presence | None:
        """Who is at work behind the door; None where nobody answers, or another farm does."""
        endpoint, fingerprint = _parts(self.url)
        health = _health(endpoint, fingerprint)
        if health is None or health.store != self.id:
            return None
        here = socket.gethostname() if on_loopback(endpoint) else (urlsplit(endpoint).hostname or "")
        return Presence("the farm", here, "", 0, "", health.epoch, time.time(), endpoint, fingerprint)


Place = Store | Afar


def is_door(address: str) -> bool:
    """Whether an address names a door in place of a store."""
    return address.startswith(("http://", "https://"))


def farm_at(address: str) -> Place:
    """The farm at an address: its store, or its door. Raises StoreMissing, StoreRefused, DoorClosed."""
    return Afar.at(address) if is_door(address) else Store.open(address)


def at_work_in(place: Place) -> Presence | None:
    """Who is at work there; None where nobody is, or nobody who answers."""
    return place.presence() if isinstance(place, Afar) else who_is_alive(place)


def _parts(address: str) -> tuple[str, str]:
    """(endpoint, fingerprint) of an address. Raises StoreRefused."""
    endpoint, _, fingerprint = address.partition("#")
    try:
        found = urlsplit(endpoint)
        plain = bool(found.hostname and found.port) and found.path in {"", "/"} and not (found.query or found.username)
    except ValueError:
        plain = False
    if not plain:
        raise StoreRefused(f"{address!r} is no farm's door: https://HOST:PORT#FINGERPRINT, or http://127.0.0.1:PORT")
    endpoint = endpoint.rstrip("/")
    if endpoint.startswith("https:"):
        fingerprint = fingerprint.lower().replace(":", "")
        if not _FINGERPRINT.fullmatch(fingerprint):
            raise StoreRefused(
                f"{address}: say after # which certificate it has to show (SHA-256, 64 hexadecimal digits): nobody "
                "else vouches for it. Whoever reads the store sees it in `ancestra status`"
            )
    elif not on_loopback(endpoint):
        raise StoreRefused(f"{address}: a token would go there in the clear; https://, or a tunnel to http://127.0.0.1")
    return endpoint, fingerprint


def _health(endpoint: str, fingerprint: str) -> wire.Health | None:
    """What a door says of itself to whoever asks."""
    try:
        with connections(endpoint, fingerprint) as pool:
            answer = pool.request("GET", f"{endpoint}/v1/health")
        return wire.Health.model_validate_json(answer.data) if answer.status == 200 else None
    except (urllib3.exceptions.HTTPError, ValidationError):
        return None
