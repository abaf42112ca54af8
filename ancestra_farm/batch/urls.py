"""Which URLs and paths the farm touches: a short list of schemes for what people name, and no way out of a root.

This module decides from the text alone. It opens nothing and asks no network.
"""

import ipaddress
import re
from pathlib import Path, PurePath
from urllib.parse import urlsplit

#: Schemes a store or a source may have. Anything else (http, ftp, zip, simplecache …) is refused.
SCHEMES = ("file", "s3", "gs", "az", "memory")

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):(.*)$", re.DOTALL)
#: The intersection of what S3, Google and Azure allow, and underscores, which old buckets have.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,62}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: Names by which clouds serve instance credentials; numeric addresses are refused as such.
_METADATA_NAMES = frozenset(
    {"metadata", "metadata.google.internal", "metadata.azure.internal", "instance-data", "localhost"}
)
_NUMERIC_HOST = re.compile(r"(0x[0-9a-f]+|\d+)(\.(0x[0-9a-f]+|\d+)){0,3}")


def check_store_url(url: str) -> str:
    """``url`` in its one normal form: ``file:///absolute/path``, ``s3://bucket/prefix``, ``memory://name`` ….

    Takes the schemes in `SCHEMES` and plain paths (``~`` is expanded, a relative path starts at the working directory).
    As in fsspec, nothing is percent-decoded. Normalising twice changes nothing. Raises ValueError with a sentence for
    other schemes, chained URLs (``::``), credentials, queries, metadata addresses, backslashes and ``..``.
    """
    scheme, rest = _split(url)
    normal = f"file://{_local(rest)}" if scheme == "file" else f"{scheme}://{_remote(scheme, rest)}"
    if normal != normal.rstrip():
        raise ValueError(f"{url!r} ends in a blank")
    return normal


def check_source_url(url: str) -> str:
    """``url`` of material that a batch names (a look, a guide), unchanged if it may be read.

    The rules of `check_store_url`, except that a plain path stays relative: it is looked up beside the batch file.
    Raises ValueError with a sentence.
    """
    check_store_url(url)
    return url


def safe_join(root: str | Path, relative: str) -> str:
    """``relative`` under ``root``, certain not to leave it.

    ``root`` is a path or store URL; ``relative`` uses ``/``. Raises ValueError for what is absolute, has ``..``, ``.``
    or empty parts, a backslash, a scheme or a control character.
    """
    if not relative or _CONTROL.search(relative) or "\\" in relative or "://" in relative or "::" in relative:
        raise ValueError(f"{relative!r} is not a path inside the store")
    if relative.startswith(("/", "~")) or re.match(r"[A-Za-z]:", relative):
        raise ValueError(f"{relative!r} is absolute; paths are relative to the store's root")
    if any(part in {"", ".", ".."} for part in relative.split("/")):
        raise ValueError(f"{relative!r} has an empty part, . or ..; it could leave the store")
    return f"{str(root).rstrip('/')}/{relative}"


def on_loopback(url: str) -> bool:
    """Whether an ``http(s)://HOST:PORT`` never leaves the machine it is used on, going by its text alone.

    ``127.evil.example`` is a name like any other; of names only ``localhost`` counts.
    """
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(url: str) -> tuple[str, str]:
    """Scheme and rest; a plain path has the scheme ``file``."""
    if not url or url != url.strip():
        raise ValueError("the URL is empty or has blanks around it")
    if _CONTROL.search(url):
        raise ValueError("a URL holds no line breaks or control characters")
    if "\\" in url:
        raise ValueError(f"{url!r} has a backslash; write /")
    if "::" in url:
        raise ValueError(f"{url!r} chains several URLs with ::, which is not allowed; name one place")
    match = _SCHEME.match(url)
    if match is None:
        if "://" in url:
            raise ValueError(f"{url!r} has no scheme; begin with one of {', '.join(SCHEMES)}, or give a plain path")
        return "file", f"//{_absolute(url)}"
    scheme, rest = match.group(1).lower(), match.group(2)
    if scheme not in SCHEMES:
        raise ValueError(f"{scheme}: is not a place for a store; use one of {', '.join(SCHEMES)}, or a plain path")
    if not rest.startswith("//"):
        raise ValueError(f"{url!r} lacks the two slashes: {scheme}://…")
    return scheme, rest


def _absolute(path: str) -> str:
    """A plain path made absolute, without touching the disk."""
    _refuse_up(path.split("/"), path)
    try:
        plain = Path(path).expanduser() if path.startswith("~") else Path(path)
    except RuntimeError:  # pathlib's way to say that there is no such user
        raise ValueError(f"{path!r} names a home directory that is not there; write ./{path} for a folder") from None
    return str(plain.absolute())


def _local(rest: str) -> str:
    path = rest[2:]
    if path.startswith("localhost/"):
        path = path.removeprefix("localhost")
    if not path.startswith("/"):
        raise ValueError(f"file://{path} names a machine or a relative path; write file:///absolute/path")
    _refuse_up(path.split("/"), path)
    return "/" + str(PurePath(path)).strip("/")


def _remote(scheme: str, rest: str) -> str:
    body = rest[2:]
    if "@" in body:
        raise ValueError(f"the {scheme} URL holds an account or credentials (@); those come from the environment")
    if "?" in body or "#" in body:
        raise ValueError(f"{scheme}://{body} has a query or fragment; a store is a bucket and a prefix")
    if "%" in body:
        raise ValueError(f"{scheme}://{body} is percent-encoded; write the characters themselves")
    parts = [part for part in body.split("/") if part]
    _refuse_up(parts, body)
    if not parts:
        if scheme == "memory":
            return ""
        raise ValueError(f"{scheme}:// names no bucket")
    if scheme != "memory":
        _check_bucket(scheme, parts[0])
    return "/".join(parts)


def _check_bucket(scheme: str, bucket: str) -> None:
    if is_address(bucket) or bucket.rstrip(".").lower() in _METADATA_NAMES:
        raise ValueError(f"{bucket!r} is a network address, not a bucket; the farm reads no metadata services")
    if ":" in bucket:
        raise ValueError(f"{bucket!r} has a port or password; an endpoint comes from the environment")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(
            f"{bucket!r} is not a bucket name; {scheme} takes 3 to 63 of a-z 0-9 . _ -, starting with one of a-z 0-9"
        )


def is_address(host: str) -> bool:
    """Whether a resolver would read ``host`` as a numeric address, in any of the spellings inet_aton takes."""
    bare = host.strip("[]").split("%", maxsplit=1)[0].rstrip(".").lower()
    if _NUMERIC_HOST.fullmatch(bare):
        return True
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return False
    return True


def _refuse_up(parts: list[str], whole: str) -> None:
    if ".." in parts:
        raise ValueError(f"{whole!r} climbs with ..; write the path it means")
