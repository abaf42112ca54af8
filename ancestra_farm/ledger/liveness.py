"""Who is at work in a store: a small file that the controller refreshes, and how to tell whether it is still there.

Presence keeps people from starting a second controller by mistake. It is not what keeps the log right: that is the
epoch, so a wrong answer here costs a message and no data.
"""

import contextlib
import dataclasses
import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ancestra_farm.ledger.errors import NotThere
from ancestra_farm.ledger.store import Store

PATH = "controller.json"
#: A heartbeat from another machine counts for so long. A controller writes one every few seconds.
HEARTBEAT_S = 20.0
#: Clocks of machines are not further apart than this; an older heartbeat is nobody's.
CLOCKS_S = 3600.0
#: Seconds in which somebody at work writes another heartbeat.
NEXT_S = 8.0
LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Presence:
    """A process at work in a store. ``machine`` tells machines (and containers) apart, ``started`` pids used twice.

    ``at``: the last heartbeat, seconds since the Unix epoch. ``endpoint``: where it answers, empty if it does not.
    ``fingerprint``: SHA-256, hex, of the certificate it shows there; empty where it answers without TLS.
    """

    who: str
    host: str
    machine: str
    pid: int
    started: str
    epoch: int
    at: float
    endpoint: str = ""
    fingerprint: str = ""

    @classmethod
    def here(cls, who: str, epoch: int, endpoint: str = "", fingerprint: str = "") -> Self:
        """The calling process, now."""
        pid = os.getpid()
        return cls(who, socket.gethostname(), _machine(), pid, _started(pid), epoch, time.time(), endpoint, fingerprint)

    def write(self, store: Store) -> None:
        """Say in the store that this process is at work, as of now. Call it again every few seconds."""
        now = dataclasses.replace(self, at=time.time())
        store.replace(PATH, json.dumps(dataclasses.asdict(now)).encode() + b"\n")

    def withdraw(self, store: Store) -> None:
        """Take the mark away, if it is still this process's own."""
        found = _read(store)
        if found is not None and (found.machine, found.pid, found.epoch) == (self.machine, self.pid, self.epoch):
            store.delete(PATH)

    def __str__(self) -> str:
        process = f"process {self.pid} " if self.pid else ""  # seen through its door, nobody knows which
        return f"{self.who} ({process}on {self.host}, epoch {self.epoch})"


def who_is_alive(store: Store, now: float | None = None) -> Presence | None:
    """The process at work in this store, or None.

    On the same machine the process itself is looked for; elsewhere a heartbeat younger than `HEARTBEAT_S` counts.
    """
    found = _read(store)
    if found is None:
        return None
    if found.machine == _machine():
        return found if _started(found.pid) == found.started != "" else None
    age_s = (time.time() if now is None else now) - found.at
    return found if age_s < HEARTBEAT_S else None


def who_would_be_ended(store: Store) -> Presence | None:
    """The process at work in this store, for whoever is about to take it over, which would end that one's work.

    A heartbeat from elsewhere that only looks old, since clocks differ, is told by the next one.
    """
    found = who_is_alive(store)
    before = _read(store)
    if found is not None or before is None or before.machine == _machine() or time.time() - before.at > CLOCKS_S:
        return found
    until = time.monotonic() + NEXT_S
    while time.monotonic() < until:
        time.sleep(LOOK_S)
        now = _read(store)
        if now is None:
            return None
        if now.at != before.at:
            return now
    return None


def _read(store: Store) -> Presence | None:
    try:
        found: Any = json.loads(store.read(PATH))
        # A later version may say more; somebody is at work all the same.
        known = {field.name for field in dataclasses.fields(Presence)}
        return Presence(**{name: value for name, value in found.items() if name in known})
    except (NotThere, ValueError, TypeError, AttributeError):
        return None  # none, or a file that is no presence: nobody can be said to be alive


def _machine() -> str:
    """The machine since it was booted, and the container on it: pids mean something only within both."""
    facts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        facts.append(str(Path("/proc/self/ns/pid").readlink()))
    return "/".join(facts)


def _started(pid: int) -> str:
    """When a process started, in the system's own units; empty where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
        return "running" if _answers(pid) else ""
    # The name, in brackets, may hold anything; state is field 3 and the start time field 22 (proc(5)).
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in {"Z", "X"} else fields[19]


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
