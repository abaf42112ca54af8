"""The probe: does this backend really give a new name to one of several racers? It races and counts.

A backend that says yes twice would let two controllers write the same commit, so it is refused. The race leaves
nothing behind.
"""

import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from ancestra_farm.ledger.errors import StoreError, StoreRefused
from ancestra_farm.ledger.local import LocalFolder

#: fsspec's own local "create" had two winners in 12 of 30 such rounds, so that 12 rounds of it would miss that once in
#: a few hundred probes; the rounds of processes come on top.
ROUNDS = 12
#: A bucket either knows conditional writes, or lets every racer win every round.
BUCKET_ROUNDS = 4
THREADS = 4
PROCESSES = 2
_WAIT_S = 60.0


class Racecourse(Protocol):
    """What the probe needs of a backend."""

    def create(self, key: str, data: bytes) -> bool:
        """Write under a new name; False where the name exists."""

    def read(self, key: str) -> bytes:
        """All bytes."""

    def delete(self, key: str) -> None:
        """Remove a file."""


def probe(url: str, backend: Racecourse) -> None:
    """Race threads (and processes, where it is a folder) for names. Raises StoreRefused saying what it saw."""
    folder = f"probe/{uuid.uuid4().hex}"
    here = isinstance(backend, LocalFolder)
    keys = [f"{folder}/{number:02d}" for number in range(ROUNDS if here else BUCKET_ROUNDS)]
    shared = [f"{folder}/p{number:02d}" for number in range(ROUNDS)] if here else []
    used: list[str] = []
    try:
        with ThreadPoolExecutor(THREADS, thread_name_prefix="probe") as pool:
            for key in keys:
                used.append(key)
                _one_winner(url, _race_threads(backend, key, pool))
                _whole(url, backend.read(key))
        if isinstance(backend, LocalFolder):
            used += shared
            won = _race_processes(url, backend, shared)
            if won != len(shared):
                raise _refusal(url, f"{won} creations of {len(shared)} names by {PROCESSES} processes succeeded")
    finally:
        for key in used:
            backend.delete(key)


def _race_threads(backend: Racecourse, key: str, pool: ThreadPoolExecutor) -> int:
    start = threading.Barrier(THREADS)

    def racer(number: int) -> bool:
        start.wait(_WAIT_S)
        return backend.create(key, bytes([number]) * 4096)

    return sum(pool.map(racer, range(THREADS)))


def _race_processes(url: str, backend: LocalFolder, keys: list[str]) -> int:
    command = [sys.executable, "-m", "ancestra_farm.ledger.local", str(backend.root)]
    racers = [
        subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [*command, str(number), *keys], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for number in range(PROCESSES)
    ]
    try:
        for racer in racers:
            if racer.stdout is None or racer.stdout.readline() != "ready\n":
                raise StoreError(f"{url}: a process of the probe did not start")
        for racer in racers:
            if racer.stdin is not None:
                racer.stdin.write("go\n")
                racer.stdin.flush()
        won = 0
        for racer in racers:
            answer, _ = racer.communicate(timeout=_WAIT_S)
            if racer.returncode != 0:
                raise StoreError(f"{url}: a process of the probe ended with exit code {racer.returncode}")
            won += int(answer)
        return won
    finally:
        for racer in racers:
            if racer.poll() is None:
                racer.kill()
                racer.communicate()


def _one_winner(url: str, winners: int) -> None:
    if winners != 1:
        raise _refusal(url, f"of {THREADS} racers for one name {winners} were told that they had made it")


def _whole(url: str, data: bytes) -> None:
    if len(data) != 4096 or len(set(data)) != 1:
        raise _refusal(url, "a file held a mixture of what two racers wrote")


def _refusal(url: str, seen: str) -> StoreRefused:
    return StoreRefused(
        f"{url} cannot hold a store: {seen}. The log needs a backend that gives a new name to exactly one writer "
        "(a local disk, S3, Google Cloud Storage, Azure)"
    )
