"""A file system for Ray Data's Parquet writer, as durable as the farm's own; a module, since workers import it."""

import os
from typing import Any

from fsspec.implementations.local import LocalFileSystem


class Durable(LocalFileSystem):
    """A local file system whose files are on the disk once they are closed."""

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        file = super()._open(path, mode, **kwargs)
        if "w" in mode:
            close = file.close

            def durably() -> None:
                if not file.closed:
                    file.flush()
                    os.fsync(file.fileno())
                close()

            file.close = durably
        return file
