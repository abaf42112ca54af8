"""A store in a bucket, or in memory for tests: the same few operations over fsspec.

Creating a new name is the service's own conditional write, which fsspec's bucket file systems call ``mode="create"``:
``If-None-Match: *`` on S3, ``ifGenerationMatch=0`` on Google Cloud Storage, ``overwrite=False`` on Azure. An object
appears whole or not at all, so nothing needs a temporary name.
"""

import contextlib
import datetime as dt
import os
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import fsspec

from ancestra_farm.ledger.errors import NotThere, StoreRefused, StoreUnavailable
from ancestra_farm.ledger.local import blocks_of, joined
from ancestra_farm.ledger.retry import patiently

#: S3 answers a conditional write that meets another one in flight with 409 and asks to try again.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_CONFLICTS = frozenset({"ConditionalRequestConflict", "OperationAborted", "409"})
_EXISTS = frozenset({"PreconditionFailed", "412"})
_CONFLICT_TRIES = 8
_CONFLICT_S = 0.05
#: extra of this package that brings the file system of a scheme
_EXTRAS = {"s3": "s3", "gs": "gcs", "az": "azure"}
#: What file systems call the time at which an object was written, in what they list: of S3, Google, Azure.
_WRITTEN = ("LastModified", "mtime", "last_modified")
#: How botocore treats a request: what is throttled, broken or cut off is sent up to six times, with jitter between.
#: ``AWS_MAX_ATTEMPTS`` in the environment changes that. Seconds are those of a connection and of a silence.
_S3_CONFIG = {"connect_timeout": 5, "read_timeout": 20, "retries": {"mode": "standard", "total_max_attempts": 6}}
#: No call takes longer, whatever the client below does: a minute, and a second for each of these bytes.
_CALL_S = 60.0
_SLOWEST_BYTES_PER_S = 2**20
#: A piece of a large object that S3 copies onto itself; at most 5 GiB. One call each, one after the other.
_COPIED_BYTES = 2**30


class Bucket:
    """The backend over one prefix of a bucket. Keys are relative POSIX paths, checked by `Store`."""

    def __init__(self, url: str) -> None:
        scheme = url.split("://", 1)[0]
        options: dict[str, Any] = {}
        if scheme == "s3":
            options["config_kwargs"] = dict(_S3_CONFIG)
            if "AWS_MAX_ATTEMPTS" in os.environ:
                del options["config_kwargs"]["retries"]
        try:
            # Listings are never cached: another machine may have written in the meantime.
            self.fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False, **options)
        except ImportError as error:
            extra = _EXTRAS.get(scheme, scheme)
            raise StoreRefused(f"{url}: install ancestra-farm[{extra}] for stores at {scheme}:// ({error})") from error
        #: Only there are parts joined without being sent again, by a file system that knows how.
        self.resumes = scheme == "s3"
        if scheme == "s3":
            self.fs.retries = 1  # the tries are botocore's; s3fs would multiply them
        self.root = str(root).rstrip("/")

    def create(self, key: str, data: bytes) -> bool:
        """Write ``data`` under a new name; False where the name exists.

        "Exists" may be the echo of our own request: its answer was lost on the way and a layer below sent it again, not
        always saying so (aiohttp does that on a connection that was used before). So what is there is compared, and
        the same bytes are ours. Who has to know apart from another with the same bytes puts a nonce into them.
        """
        path = f"{self.root}/{key}"

        def attempt(_: int) -> bool:
            with _writing(path):
                return self._create(path, data) or self._holds(path, data)

        return patiently(attempt, _worth_writing_again, tries=_CONFLICT_TRIES, first_s=_CONFLICT_S)

    def _create(self, path: str, data: bytes) -> bool:
        try:
            self.fs.pipe_file(path, data, mode="create", **self._in_time(len(data)))
        except FileExistsError:
            return False
        except FileNotFoundError:
            # No bucket, or a large upload whose end was answered, unheard, and asked for again.
            if self._is_there(path):
                return False
            raise
        except OSError as error:
            # Services that name no condition in a 412 are translated to a bare OSError by s3fs.
            if _code(error) in _EXISTS:
                return False
            raise
        return True

    def _holds(self, path: str, data: bytes) -> bool:
        """Whether an object has these very bytes."""
        if self.fs.info(path, **self._in_time(0))["size"] != len(data):
            return False
        return bool(self._read(path) == data)

    def replace(self, key: str, data: bytes) -> None:
        """Write ``data`` under a name, new or not."""
        path = f"{self.root}/{key}"

        def attempt(_: int) -> None:
            with _writing(path):
                self.fs.pipe_file(path, data, **self._in_time(len(data)))

        patiently(attempt, _timed_out)

    def create_from(self, key: str, file: Path, sha256: str) -> bool:
        """Upload a file under a new name, in parts where it is large; False where the name exists.

        Whose an object of that name is does not matter: it is named by its content. Raises SourceChanged.
        """
        path = f"{self.root}/{key}"
        if self.exists(key):  # a large file is not sent to learn that
            return False
        with _staged(file, sha256) as staged:

            def attempt(_: int) -> bool:
                with _writing(path):
                    return self._sent(path, staged)

            return patiently(attempt, _worth_writing_again, tries=_CONFLICT_TRIES, first_s=_CONFLICT_S)

    def _sent(self, path: str, file: Path) -> bool:
        try:
            self.fs.put_file(str(file), path, mode="create", **self._in_time(file.stat().st_size))
        except FileExistsError:
            return False
        except OSError as error:
            if _code(error) in _EXISTS:
                return False
            raise
        return True

    def replace_from(self, key: str, file: Path, sha256: str) -> None:
        """Upload a file under a name, new or not. Raises SourceChanged."""
        path = f"{self.root}/{key}"
        with _staged(file, sha256) as staged:

            def attempt(_: int) -> None:
                with _writing(path):
                    self.fs.put_file(str(staged), path, **self._in_time(staged.stat().st_size))

            patiently(attempt, _timed_out)

    def renew(self, key: str) -> None:
        """Have an object count as written now: the service copies it onto itself, and nothing is sent. Raises NotThere.

        S3 wants to be told that this is meant, and copies what is larger than 5 GB in pieces.
        """
        path = f"{self.root}/{key}"
        meant = {"MetadataDirective": "REPLACE", "block": _COPIED_BYTES} if self.resumes else {}
        size = self.size(key)

        def attempt(_: int) -> None:
            with _errors(path):
                self.fs.cp_file(path, path, **meant, **self._in_time(size))

        patiently(attempt, _timed_out)

    def join(self, key: str, parts: Sequence[str], sha256: str, *, checked: bool) -> None:
        """One object of others, one after the other, new or not. Raises NotThere, MaterialDamaged.

        ``checked``: they are known to come to ``sha256`` (hex); otherwise every byte is read first.
        """
        path = f"{self.root}/{key}"
        if len(parts) < 2:
            self.replace(key, b"".join(joined(sha256, map(self.read, parts))))
            return
        if not self.resumes:
            with tempfile.TemporaryDirectory(prefix="anc-upload-") as folder:
                whole = Path(folder) / "file"
                with whole.open("wb") as target:
                    for block in joined(sha256, map(self.read, parts)):
                        target.write(block)
                self.replace_from(key, whole, sha256)
            return
        if not checked:
            deque(joined(sha256, map(self.read, parts)), maxlen=0)

        def attempt(_: int) -> None:
            with _errors(path):
                self._merge(path, [f"{self.root}/{part}" for part in parts])

        patiently(attempt, _timed_out)

    def _merge(self, path: str, parts: list[str]) -> None:
        self.fs.merge(path, parts, **self._in_time(len(parts) << 23))

    def fetch(self, key: str, file: Path) -> None:
        """Download an object to ``file``; NotThere if there is none."""
        path = f"{self.root}/{key}"

        def attempt(_: int) -> None:
            with _errors(path):
                size = int(self.fs.info(path, **self._in_time(0))["size"])
                self.fs.get_file(path, str(file), **self._in_time(size))

        patiently(attempt, _worth_reading_again)

    def read(self, key: str) -> bytes:
        """The bytes of an object; NotThere if there is none."""
        return self._read(f"{self.root}/{key}")

    def read_block(self, key: str, start: int, length: int) -> bytes:
        """Bytes of an object from ``start`` on; NotThere if there is none."""
        size = self.size(key)
        if start >= size:
            return b""
        return self._read(f"{self.root}/{key}", start=start, end=min(start + length, size))

    def _read(self, path: str, **part: int) -> bytes:
        def attempt(_: int) -> bytes:
            with _errors(path):
                # A body that is cut short or stays away is seen here, not by the client below.
                data: bytes = self.fs.cat_file(path, **part, **self._in_time(2**30))
                return data

        return patiently(attempt, _worth_reading_again)

    def exists(self, key: str) -> bool:
        """Whether an object of this name is there."""
        path = f"{self.root}/{key}"
        with _errors(path):
            return self._is_there(path)

    def _is_there(self, path: str) -> bool:
        # Not `isfile`, which takes every error for a no.
        try:
            return bool(self.fs.info(path, **self._in_time(0))["type"] == "file")
        except FileNotFoundError:
            return False

    def size(self, key: str) -> int:
        """Length of an object in bytes; NotThere if there is none."""
        path = f"{self.root}/{key}"
        with _errors(path):
            return int(self.fs.info(path, **self._in_time(0))["size"])

    def modified(self, key: str) -> float:
        """When an object was written; NotThere if there is none."""
        path = f"{self.root}/{key}"
        with _errors(path):
            return float(self.fs.modified(path).timestamp())

    def leftovers(self) -> Iterator[tuple[str, int, float]]:
        """None: an object appears whole or not at all."""
        return iter(())

    def list(self, folder: str) -> list[str]:
        """Keys of all objects below a folder (``""``: the whole store), in no order."""
        return list(self._found(folder))

    def entries(self, folder: str) -> Sequence[tuple[str, int, float]]:
        """The same with lengths in bytes and when last written, as the listing has them."""
        found = []
        for key, told in self._found(folder).items():
            when = next((told[name] for name in _WRITTEN if isinstance(told.get(name), dt.datetime)), None)
            with contextlib.suppress(NotThere):
                found.append((key, int(told["size"]), self.modified(key) if when is None else when.timestamp()))
        return found

    def _found(self, folder: str) -> dict[str, dict[str, Any]]:
        """What a listing says of all objects below a folder, by their keys."""
        path = f"{self.root}/{folder}" if folder else self.root

        def attempt(_: int) -> dict[str, dict[str, Any]]:
            with _errors(path):
                self.fs.invalidate_cache()
                try:
                    return dict(self.fs.find(path, detail=True, **self._in_time(2**30)))
                except FileNotFoundError:
                    return {}

        start = len(self.root) + 1
        found = patiently(attempt, _worth_reading_again).items()
        # `find` of a prefix that is itself an object gives that object; it is no folder.
        return {name[start:]: told for name, told in found if name.startswith(f"{path}/")}

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is fine."""
        path = f"{self.root}/{key}"
        with _errors(path), contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(path, **self._in_time(0))

    def _in_time(self, size: int) -> dict[str, float]:
        """How long a call about so many bytes may take. Clients that do not work asynchronously know no limit."""
        return {"timeout": _CALL_S + size / _SLOWEST_BYTES_PER_S} if self.fs.async_impl else {}


class Memory(Bucket):
    """The backend over fsspec's memory file system: tests within one process. A lock makes creating atomic."""

    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.resumes = True

    def _create(self, path: str, data: bytes) -> bool:
        with self._lock:
            if self.fs.exists(path):
                return False
            self.fs.pipe_file(path, data)
            return True

    def _sent(self, path: str, file: Path) -> bool:
        return self._create(path, file.read_bytes())

    def _merge(self, path: str, parts: list[str]) -> None:
        self.fs.pipe_file(path, b"".join(map(self.fs.cat_file, parts)))

    def _holds(self, path: str, data: bytes) -> bool:  # noqa: ARG002 - as the base has it
        return False  # no answer is ever lost


@contextlib.contextmanager
def _staged(file: Path, sha256: str) -> Iterator[Path]:
    """A copy that nobody else can change while it is sent. Raises SourceChanged where it has another SHA-256."""
    with tempfile.TemporaryDirectory(prefix="anc-upload-") as folder:
        copy = Path(folder) / "file"
        with copy.open("wb") as target:
            for block in blocks_of(file, sha256):
                target.write(block)
        yield copy


def _code(error: BaseException | None) -> str:
    """The service's error code, from wherever in the chain of causes botocore's error is."""
    while error is not None:
        response: Any = getattr(error, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
        error = error.__cause__
    return ""


def _timed_out(error: Exception) -> bool:
    return isinstance(error, StoreUnavailable) and isinstance(error.__cause__, TimeoutError)


def _worth_writing_again(error: Exception) -> bool:
    return isinstance(error, StoreUnavailable) and _code(error) in _CONFLICTS


def _worth_reading_again(error: Exception) -> bool:
    """Whatever was not the service's own clear answer: a broken or silent connection, a body cut short."""
    return isinstance(error, StoreUnavailable) and not _code(error) and not isinstance(error.__cause__, PermissionError)


@contextlib.contextmanager
def _writing(path: str) -> Iterator[None]:
    try:
        with _errors(path):
            yield
    except NotThere as error:
        # An object can be written wherever there is a bucket.
        raise StoreRefused(f"{path}: there is no such bucket; make it first") from error


@contextlib.contextmanager
def _errors(path: str) -> Iterator[None]:
    """What fsspec and the client below it raise, as the store's own, with the object's name."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError) as error:
        raise NotThere(f"{path} is not there") from error
    except Exception as error:  # each client library has exceptions of its own, and none of them shares a base
        said = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise StoreUnavailable(f"{path}: {said}") from error
