"""System calls that fail, below a folder: real files, but the kernel's answers go wrong by a seed.

Used in the process itself (`Syscalls`) or in one of its own: ``python -m tests.ledger.syscalls SEED URL NAME COMMITS``
is `tests.ledger.racer` under such a kernel.
"""

import errno
import os
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

#: What may befall a call: the errors it may answer with, and whether it was carried out all the same.
FAULTS: dict[str, tuple[tuple[int, bool], ...]] = {
    "write": ((errno.ENOSPC, False), (errno.EIO, False)),
    "fsync": ((errno.EIO, False), (errno.ENOSPC, False), (errno.EIO, True)),
    "link": ((errno.EEXIST, True), (errno.EIO, True), (errno.EIO, False), (errno.ENOSPC, False)),
    "replace": ((errno.EIO, True), (errno.ENOSPC, False)),
}


class Syscalls:
    """While entered, calls of ``os`` that concern a file below ``root`` fail at ``rate`` (0 to 1).

    ``script``: instead of chance, the faults of the next calls by name, in order; None lets a call pass. ``happened``
    counts faults by (call, errno, carried out).
    """

    def __init__(self, root: Path, *, rate: float = 0.0, seed: int = 0, script: dict[str, list] | None = None) -> None:
        self.root = str(root)
        self.rate = rate
        self.script = script or {}
        self.happened: Counter[tuple[str, int, bool]] = Counter()
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._real = {name: getattr(os, name) for name in FAULTS}

    def __enter__(self) -> "Syscalls":
        for name in FAULTS:
            setattr(os, name, self._faulty(name))
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        for name, real in self._real.items():
            setattr(os, name, real)

    def _faulty(self, name: str) -> Callable[..., Any]:
        real = self._real[name]

        def call(*args: Any, **kwargs: Any) -> Any:
            fault = self._fault(name, args[0])
            if fault is None:
                return real(*args, **kwargs)
            number, carried_out = fault
            if carried_out:
                real(*args, **kwargs)
            elif name == "write" and len(args[1]) > 1:
                real(args[0], args[1][: len(args[1]) // 2])  # the disk takes some of it
            raise OSError(number, os.strerror(number))

        return call

    def _fault(self, name: str, target: Any) -> tuple[int, bool] | None:
        path = str(Path(f"/proc/self/fd/{target}").readlink()) if isinstance(target, int) else str(target)
        if not path.startswith(self.root):
            return None
        with self._lock:
            if name in self.script:
                fault = self.script[name].pop(0) if self.script[name] else None
            else:
                fault = self._random.choice(FAULTS[name]) if self._random.random() < self.rate else None
            if fault is not None:
                self.happened[name, *fault] += 1
            return fault


def main(seed: int, url: str, name: str, commits: int) -> None:
    """Write commits under faults until all are made; say on standard output what was acknowledged."""
    from ancestra_farm.ledger.errors import StoreUnavailable, Superseded
    from ancestra_farm.ledger.log import Writer
    from ancestra_farm.ledger.store import Store
    from tests.ledger.samples import pick

    store = Store.open(url)
    made = tries = 0
    with Syscalls(Path(url.removeprefix("file://")), rate=0.04, seed=seed):
        while made < commits:
            try:
                writer = Writer.begin(store, name, "race")
                while made < commits:
                    tries += 1
                    number = writer.commit([pick(name, f"{made}.{tries}")])
                    sys.stdout.write(f"{name} {made}.{tries} {number}\n")
                    sys.stdout.flush()
                    made += 1
            except (Superseded, StoreUnavailable):
                continue


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
