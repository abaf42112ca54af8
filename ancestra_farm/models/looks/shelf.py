"""A folder as the place where a training keeps its things."""

import os
import uuid
from pathlib import Path


class FolderShelf:
    """``folder`` is made when it is first written to. A kill leaves whole files, and at most one in the making."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> bytes | None:
        """See `training.Shelf`."""
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """See `training.Shelf`."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        making = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            with making.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            making.replace(target)
        finally:
            making.unlink(missing_ok=True)
