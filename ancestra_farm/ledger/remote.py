"""A store in a bucket, or in memory for tests: the same few operations over fsspec.

Creating a new name is the service's own conditional write, which fsspec's bucket file systems call ``mode="create"``:
``If-None-Match: *`` on S3, ``ifGenerationMatch=0`` on Google Cloud Storage, ``overwrite=False`` on Azure. An object
appears whole or not at all, so nothing needs a temporary name.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import fsspec

from ancestra_farm.ledger.errors import NotThere, StoreRefused, StoreUnavailable

#: S3 answers a conditional write that meets another one in flight with 409 and asks to try again.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_CONFLICTS = frozenset({"ConditionalRequestConflict", "OperationAborted", "409"})
_EXISTS = frozenset({"PreconditionFailed", "412"})
_CONFLICT_TRIES = 8
#: extra of this package that brings the file system of a scheme
_EXTRAS = {"s3": "s3", "gs": "gcs", "az": "azure"}


class Bucket:
    """The backend over one prefix of a bucket. Keys are relative POSIX paths, checked by `Store`."""

    def __init__(self, url: str) -> None:
        scheme = url.split("://", 1)[0]
        try:
            # Listings are never cached: another machine may have written in the meantime.
            self.fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            extra = _EXTRAS.get(scheme, scheme)
            raise StoreRefused(f"{url}: install ancestra-farm[{extra}] for stores at {scheme}:// ({error})") from error
        self.root = str(root).rstrip("/")

    def create(self, key: str, data: bytes) -> bool:
        """Write ``data`` under a new name; False where the name exists."""
        path = f"{self.root}/{key}"
        for attempt in range(_CONFLICT_TRIES):
            try:
                with _writing(path):
                    return self._create(path, data)
            except StoreUnavailable as error:
                if _code(error) not in _CONFLICTS or attempt == _CONFLICT_TRIES - 1:
                    raise
                time.sleep(0.05 * 2**attempt)
        raise AssertionError("unreachable")

    def _create(self, path: str, data: bytes) -> bool:
        try:
            self.fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            # Services that name no condition in a 412 are translated to a bare OSError by s3fs.
            if _code(error) in _EXISTS:
                return False
            raise
        return True

    def replace(self, key: str, data: bytes) -> None:
        """Write ``data`` under a name, new or not."""
        path = f"{self.root}/{key}"
        with _writing(path):
            self.fs.pipe_file(path, data)

    def read(self, key: str) -> bytes:
        """The bytes of an object; NotThere if there is none."""
        path = f"{self.root}/{key}"
        with _errors(path):
            data: bytes = self.fs.cat_file(path)
            return data

    def exists(self, key: str) -> bool:
        """Whether an object of this name is there."""
        path = f"{self.root}/{key}"
        with _errors(path):
            return bool(self.fs.isfile(path))

    def size(self, key: str) -> int:
        """Length of an object in bytes; NotThere if there is none."""
        path = f"{self.root}/{key}"
        with _errors(path):
            return int(self.fs.info(path)["size"])

    def list(self, folder: str) -> list[str]:
        """Keys of all objects below a folder (``""``: the whole store), in no order."""
        path = f"{self.root}/{folder}" if folder else self.root
        with _errors(path):
            self.fs.invalidate_cache()
            try:
                found = self.fs.find(path)
            except FileNotFoundError:
                return []
        start = len(self.root) + 1
        # `find` of a prefix that is itself an object gives that object; it is no folder.
        return [name[start:] for name in found if name.startswith(f"{path}/")]

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is fine."""
        path = f"{self.root}/{key}"
        with _errors(path), contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(path)


class Memory(Bucket):
    """The backend over fsspec's memory file system: tests within one process. A lock makes creating atomic."""

    _lock: ClassVar[threading.Lock] = threading.Lock()

    def _create(self, path: str, data: bytes) -> bool:
        with self._lock:
            if self.fs.exists(path):
                return False
            self.fs.pipe_file(path, data)
            return True


def _code(error: BaseException | None) -> str:
    """The service's error code, from wherever in the chain of causes botocore's error is."""
    while error is not None:
        response: Any = getattr(error, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
        error = error.__cause__
    return ""


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
        raise StoreUnavailable(f"{path}: {type(error).__name__}: {error}") from error
