"""``ancestra run --detach``: the farm in a session of its own, which ends with its work and not with the terminal."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ancestra_farm.cli.failures import FAILED, CommandFailed

if TYPE_CHECKING:
    from ancestra_farm.ledger.liveness import Presence

#: A local Ray takes 8 s to start on a quiet machine, and a long log some more to fold.
UP_S = 300.0
LOOK_S = 0.1
#: Lines of its log that are shown where it did not come up.
LAST_LINES = 20


@dataclass(frozen=True, slots=True)
class Detached:
    """A farm in the background. ``presence``: None where it has ended already, with ``code``; ``log``: what it says."""

    pid: int
    log: Path
    presence: "Presence | None"
    code: int | None = None


def detach(command: Sequence[str], store_url: str) -> Detached:
    """Start ``ancestra COMMAND`` in the background and wait until its controller answers, or it has ended.

    Raises `CommandFailed` with the last of its log where it ended with an error, or did not come up in `UP_S`.
    """
    from ancestra_farm.api.tokens import state_folder

    logs = state_folder() / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    log = logs / f"farm-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}.log"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        child = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-m", "ancestra_farm.cli.main", *command],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    before = _epoch_in(store_url)
    until = time.monotonic() + UP_S
    while time.monotonic() < until:
        code = child.poll()
        if code is not None:
            if code != 0:
                raise CommandFailed(f"the farm did not come up (exit code {code}); {log} ends:\n{_end_of(log)}", code)
            return Detached(child.pid, log, None, code)
        presence = _answering(store_url)
        if presence is not None and presence.epoch > before:
            return Detached(child.pid, log, presence)
        time.sleep(LOOK_S)
    raise CommandFailed(
        f"process {child.pid} has not come up after {UP_S:.0f} s and goes on trying; {log} ends:\n{_end_of(log)}",
        FAILED,
    )


def _epoch_in(store_url: str) -> int:
    presence = _answering(store_url)
    return 0 if presence is None else presence.epoch


def _answering(store_url: str) -> "Presence | None":
    """The controller that has opened its door in a store, if there is one. It does so once the log is folded."""
    from ancestra_farm.ledger.errors import StoreError
    from ancestra_farm.ledger.liveness import who_is_alive
    from ancestra_farm.ledger.store import Store

    try:
        presence = who_is_alive(Store.open(store_url))
    except StoreError:
        return None  # it is not made yet
    return presence if presence is not None and presence.endpoint else None


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LAST_LINES:])
