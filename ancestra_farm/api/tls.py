"""What the door shows for itself beyond loopback: a certificate, known by its fingerprint.

The fingerprint stands in the presence file in the store, and whoever asks compares: so a certificate that the
controller makes for itself is as good as one that an authority signed, and there is nothing to install on anybody's
machine. Whoever can write the presence file can write the log, and is an operator anyway. A certificate of the studio's
own (for browsers, which read no store) can be given instead, and is compared in the same way.
"""

import datetime as dt
import hashlib
import os
import re
import socket
import ssl
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loads in a tenth of a second, and only doors beyond loopback need it
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate

#: A certificate of our own dies with its controller; the dates in it only have to outlive that.
VALID_DAYS = 3650
#: Clocks of machines differ.
EARLIER = dt.timedelta(days=1)

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class CertificateRefused(Exception):
    """A certificate or its key cannot be used; the message says which file, and why."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a server shows, and what it is known by. ``fingerprint``: SHA-256 of the certificate as DER, in hex."""

    context: ssl.SSLContext
    fingerprint: str


def own_certificate() -> Shown:
    """A new key (ECDSA on P-256) and a certificate signed with it. The key is on disk for a moment, for us alone."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as above

    key, certificate = _made()
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with tempfile.TemporaryDirectory(prefix="ancestra-door-") as folder:  # mode 0700
        chain, private = Path(folder) / "door.pem", Path(folder) / "door.key"
        chain.write_bytes(pem)
        with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secret)
        return _shown(chain, private)


def given_certificate(certificate: Path, key: Path) -> Shown:
    """A certificate (PEM, its chain after it) and its key. Raises CertificateRefused, also where others can read it."""
    try:
        mode = stat.S_IMODE(key.stat().st_mode)
        if mode & 0o007:
            raise CertificateRefused(
                f"{key} has mode {mode:04o}: everybody on this machine can read this key, so it is not used. "
                f"`chmod o= {key}` if nobody has seen it, else make another"
            )
        return _shown(certificate, key)
    except ssl.SSLError as error:
        raise CertificateRefused(
            f"{certificate} and {key} are no certificate and its key, both PEM, the key without a passphrase "
            f"({error.reason or error})"
        ) from error
    except (OSError, ValueError) as error:
        raise CertificateRefused(f"{certificate} and {key}: {error}") from error


def _shown(certificate: Path, key: Path) -> Shown:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # A passphrase would be asked for on a terminal that a controller does not have.
    context.load_cert_chain(certificate, key, password=lambda: "")
    found = _PEM.search(certificate.read_text("ascii"))
    if found is None:
        raise CertificateRefused(f"{certificate} holds no certificate in PEM")
    return Shown(context, hashlib.sha256(ssl.PEM_cert_to_DER_cert(found.group())).hexdigest())


def _made() -> "tuple[EllipticCurvePrivateKey, Certificate]":
    """(key, certificate). It names this machine, for readers that look at names before they look at fingerprints."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ancestra farm")])
    names = {name for name in (socket.gethostname(), socket.getfqdn(), "localhost") if name.isascii() and name}
    alternatives = [x509.DNSName(name) for name in sorted(names)]
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key, certificate
