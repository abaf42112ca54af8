"""Runs in processes of their own, and every process that such a run has started, found by a mark in its environment."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

ROOT = Path(__file__).parents[2]
MARK = "ANCESTRA_TEST_RUN"


class Attended:
    """A run in a session of its own. ``mark`` is in the environment of everything it starts, wherever that ends up.

    ``environment``: what else is in it. ``module``: what is run, with ``wanted`` as JSON for its argument.
    """

    def __init__(
        self,
        folder: Path,
        *,
        module: str = "tests.farm.attended",
        environment: Mapping[str, str] = MappingProxyType({}),
        **wanted: Any,
    ) -> None:
        self.mark = uuid.uuid4().hex
        self.log = folder / f"run-{self.mark[:8]}.log"
        self._out = self.log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(wanted)],
            cwd=ROOT,
            env={**os.environ, **environment, MARK: self.mark},
            stdin=subprocess.PIPE,
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
        return [pid for pid, line in self.processes() if title in line]

    def processes(self) -> list[tuple[int, str]]:
        """(process id, command line) of every process of this run."""
        return list(_marked(self.mark))

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
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self._out.close()


#: Ray's processes wait a minute by default for a GCS that is gone; nobody brings one back here.
_NO_LONG_WAIT = {"RAY_gcs_rpc_server_reconnect_timeout_s": "20"}


class Persisting:
    """A Ray of its own in another process, and runs on it that go on whoever dies; see `tests.farm.persisting`.

    ``given``: how many batches it was given.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] = MappingProxyType({}), **options: Any) -> None:
        module, environment = "tests.farm.persisting", {**_NO_LONG_WAIT, **environment}
        self.run = Attended(folder, module=module, environment=environment, **options)
        self.given = 0

    @property
    def alive(self) -> bool:
        """Whether its driver lives, and with it the Ray."""
        return self.run.process.poll() is None

    def give(self, **job: Any) -> None:
        """Have a batch run."""
        assert self.run.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.run.process.stdin.write(json.dumps(job).encode() + b"\n")
            self.run.process.stdin.flush()
        self.given += 1

    def said(self, key: str) -> list[dict[str, Any]]:
        """Everything it said that has this key."""
        lines = [line for line in self.run.log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
        return [said for line in lines if key in (said := json.loads(line))]

    def result(self, within_s: float = 300.0) -> dict[str, Any] | None:
        """Wait for the end of what was given last: its summary, None if the driver died before."""
        wait_for(lambda: len(self.said("how")) == self.given or not self.alive, within_s)
        found = self.said("how")
        return found[-1] if len(found) == self.given else None

    def gone(self, within_s: float = 120.0) -> bool:
        """Wait until nothing of it is left, without lending a hand; False if something stays."""
        try:
            return bool(wait_for(lambda: not self.run.pids(), within_s))
        except AssertionError:
            return False

    def leave(self) -> None:
        """Let it go once it has nothing to do, as at the end of a run."""
        assert self.run.process.stdin is not None
        self.run.process.stdin.close()
        self.run.process.wait(60)


def _marked(mark: str) -> Iterator[tuple[int, str]]:
    """(process id, command line) of every process with this mark in its environment."""
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            # A zombie has neither environment nor anything left to end.
            if wanted in (entry / "environ").read_bytes():
                yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def wait_for(condition: Callable[[], Any], within_s: float = 150.0) -> Any:
    """Ask until the condition holds, and return it; AssertionError after ``within_s``.

    Asking works a core for at most a fifth of the time: to read a whole log, or to look at every process, takes what
    is waited for needs itself.
    """
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        worked_s = time.thread_time()
        if found := condition():
            return found
        time.sleep(max(0.05, min(0.5, 4 * (time.thread_time() - worked_s))))
    raise AssertionError(f"{condition} did not come about within {within_s} s")
