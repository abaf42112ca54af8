"""Temporary folders that are removed with their owner, or by whoever comes next if the owner was killed.

The owner holds a lock on a file in the folder, and a lock dies with its process: so a folder whose lock can be had
belongs to nobody any more. Folders without such a file are not ours to judge and stay.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Every folder begins so.
PREFIX = "anc-"
OWNER = ".owner"


@contextmanager
def scratch(kind: str = "", under: str | None = None) -> Iterator[Path]:
    """A folder of this process; ``kind`` becomes part of its name. ``under``: where; None: the usual place."""
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}", dir=under))
    try:
        # Locked before it has its name, so that nobody finds it unlocked.
        with (folder / f"{OWNER}-").open("w") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX)
            (folder / f"{OWNER}-").rename(folder / OWNER)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(under: str | None = None) -> list[Path]:
    """Remove this user's folders whose owner is gone, and say which."""
    swept = []
    for folder in Path(under or tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            if (folder / OWNER).lstat().st_uid != os.getuid():
                continue
            with (folder / OWNER).open() as owner:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
                swept.append(folder)
        except OSError:
            continue  # no such file, or its owner lives
    return swept
