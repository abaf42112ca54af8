"""A farm as a Prometheus on this machine scrapes it: with which token, where it answers, what it shows there.

Prometheus is given a token of its own with the role viewer, in a file that nobody else can read, and an address only
after what answers there has named the store's id: a port may have been given to another process meanwhile.
"""

import hashlib
import os
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ancestra_farm.api.afar import Place
from ancestra_farm.api.client import Client, EndpointGone
from ancestra_farm.api.people import NotAllowed, checked_name, issue, owner
from ancestra_farm.api.tokens import OwnToken, own_token, user_name
from ancestra_farm.ledger.errors import StoreError
from ancestra_farm.ledger.store import Store
from ancestra_farm.telemetry.boards.scrape import CERTIFICATE_FILE, TOKEN_FILE, Certificate

#: Seconds for an answer of the farm's; one that is late is looked for again soon.
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Found:
    """Where a farm answers now, ``http[s]://HOST:PORT``; empty: nowhere, and ``why``. ``certificate``: over TLS."""

    endpoint: str
    why: str = ""
    certificate: Certificate | None = None


def scrape_token(store: Place, folder: Path) -> OwnToken:
    """The token that Prometheus shows, kept in ``folder``; made if need be.

    Somebody who cannot make one for it lends it their own, as does whoever knows a farm by its door alone. Raises
    NotAllowed where there is none, and where one that is lent lets nobody ask for metrics; EndpointGone.
    """
    path = folder / TOKEN_FILE
    if not isinstance(store, Store):
        lent = own_token(store)
        if (client := Client.of(store, token=lent, patience_s=PATIENCE_S)) is not None:
            with client:
                client.metrics()
        _keep(path, lent.token)
        return lent
    kept = path.read_text(encoding="ascii").strip() if path.is_file() else ""
    person = owner(store, kept) if kept else None
    if person is not None and person.counts(time.time()):
        return OwnToken(kept, "", str(path))
    try:
        name = checked_name(f"prometheus on {socket.gethostname()}")
        made = OwnToken(issue(store, name, "viewer", by=user_name()), name, str(path))
    except (StoreError, OSError, ValueError):
        made = own_token(store)
    _keep(path, made.token)
    return made


def find(store: Place, token: OwnToken, folder: Path) -> Found:
    """Where the farm answers now. Over TLS what it shows is kept in ``folder``, if it is what the store names."""
    try:
        client = Client.of(store, token=token, patience_s=PATIENCE_S)
        if client is None:
            return Found("", "nobody is at work")
        with client:
            client.health()
            endpoint, fingerprint = client.endpoint, client.presence.fingerprint
    except (EndpointGone, NotAllowed, StoreError) as error:
        return Found("", str(error))
    if not endpoint.startswith("https:"):
        return Found(endpoint)
    try:
        return Found(endpoint, certificate=_kept_certificate(endpoint, fingerprint, folder))
    except (OSError, ValueError) as error:
        return Found("", f"its certificate cannot be used: {error}")


def _kept_certificate(endpoint: str, fingerprint: str, folder: Path) -> Certificate:
    """Fetch what is shown at ``endpoint`` and keep it. Raises OSError, and ValueError where it is another one."""
    from cryptography import x509  # noqa: PLC0415 - where nobody listens beyond loopback it is not needed

    where = urlsplit(endpoint)
    pem = ssl.get_server_certificate((where.hostname or "", where.port or 443), timeout=PATIENCE_S)
    if hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest() != fingerprint:
        raise ValueError(f"what answers at {endpoint} does not show the certificate that the store names")
    path = folder / CERTIFICATE_FILE
    if not path.is_file() or path.read_text(encoding="ascii") != pem:
        path.write_text(pem, encoding="ascii")
    try:
        names = x509.load_pem_x509_certificate(pem.encode()).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        known = names.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        known = []
    # One of our own names its machine and localhost, never an address; the fingerprint has been compared already.
    return Certificate(CERTIFICATE_FILE, "localhost" if "localhost" in known else "")


def _keep(path: Path, token: str) -> None:
    """Write a token so that nobody else can read it, not for a moment."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token)
