"""Runs in processes of their own, and every process that such a run has started, found by a mark in its environment."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MARK = "ANCESTRA_TEST_RUN"


class Attended:
    """A run in a session of its own. ``mark`` is in the environment of everything it starts, wherever that ends up."""

    def __init__(self, folder: Path, **wanted: Any) -> None:
        self.mark = uuid.uuid4().hex
        self.log = folder / f"run-{self.mark[:8]}.log"
        self._out = self.log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.farm.attended", json.dumps(wanted)],
            cwd=ROOT,
            env={**os.environ, MARK: self.mark},
            stdout=self._out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def finish(self, within_s: float = 120.0) -> dict[str, Any]:
        """Wait for its end; its summary. What it printed is the message if it failed."""
        code = self.process.wait(within_s)
        text = self.log.read_text()
        assert code == 0, text
        return json.loads(text.splitlines()[-1])

    def pids(self, title: str = "") -> list[int]:
        """Processes of this run whose command line contains ``title``."""
        return [pid for pid, line in _marked(self.mark) if title in line]

    def kill_all(self) -> None:
        """Kill -9 everything this run has started, and wait until nothing of it is left."""
        while pids := self.pids():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.1)

    def close(self) -> None:
        """End what is left of it."""
        self.kill_all()
        self.process.wait(10)
        self._out.close()


def _marked(mark: str) -> Iterator[tuple[int, str]]:
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            # A zombie has neither environment nor anything left to end.
            if wanted in (entry / "environ").read_bytes():
                yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def wait_for(condition: Callable[[], Any], within_s: float = 60.0) -> Any:
    """Ask until the condition holds, and return it; AssertionError after ``within_s``."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{condition} did not come about within {within_s} s")
