"""A head with Ray's real autoscaler, whose GPU nodes are processes of this machine: `ray start`, with a token.

Everything that it starts carries a mark in its environment, by which a node is found to be lost on purpose, and all
that is left is ended; nothing else on the machine is touched.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from ancestra_farm.batch.farm_settings import FarmSettings
from ancestra_farm.farm.cluster import OBJECT_STORE_BYTES
from ancestra_farm.farm.head import Head, HeadUnreachable
from ancestra_farm.farm.notices import CLOUD_VARIABLE
from ancestra_farm.farm.scratch import scratch
from tests.farm.growing import autoscaling, environment, free_port
from tests.farm.processes import MARK, _marked

#: A head is up within seconds on a machine of its own.
UP_S = 120.0
END_S = 15.0


class HeadBroke(Exception):
    """The head did not come up; the message is what it said."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One node of the cluster. ``node``: Ray's id of it, hex; ``pid``: of its raylet, with which all of it ends."""

    pid: int
    node: str
    kind: str


@dataclass(frozen=True, slots=True)
class Growing:
    """The cluster. ``address``: of its head's HTTP side; ``token``: of Ray, full control."""

    address: str
    token: str
    mark: str

    def machines(self) -> list[Machine]:
        """Every node that runs but for the head."""
        found = [_machine(pid) for pid, line in _marked(self.mark) if "/raylet/raylet " in line]
        return [one for one in found if one is not None]

    @staticmethod
    def lose(machine: Machine) -> None:
        """The machine is gone, without a word."""
        os.kill(machine.pid, signal.SIGKILL)


@contextlib.contextmanager
def growing_cluster(farm: FarmSettings, logs: Path) -> Iterator[Growing]:
    """A head alone, which brings nodes of these types as they are asked for. ``logs``: a folder for what Ray says.

    Raises HeadBroke.
    """
    logs.mkdir(parents=True)
    log = logs / "head.log"
    with scratch("d-", "/tmp") as folder:
        token, mark = uuid.uuid4().hex * 2, uuid.uuid4().hex
        gcs, dashboard = free_port(), free_port()
        config = folder / "autoscaling.yaml"
        config.write_text(yaml.safe_dump(autoscaling(farm, f"127.0.0.1:{gcs}")))
        with log.open("w") as out:
            head = subprocess.Popen(
                _words(folder, config, gcs, dashboard),
                env={**surroundings(), **environment(folder, token), CLOUD_VARIABLE: "none", MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            address = f"http://127.0.0.1:{dashboard}"
            _wait(head, address, token, log)
            yield Growing(address, token, mark)
        finally:
            head.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                head.wait(END_S)
            _end(mark)
            head.wait(END_S)
            with contextlib.suppress(OSError, shutil.Error):
                shutil.copytree(folder / "session_latest" / "logs", logs / "session", ignore_dangling_symlinks=True)


def surroundings() -> dict[str, str]:
    """The environment without what anybody has said in it of their own Ray or farm."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("ANCESTRA_", "RAY_"))}


def _words(folder: Path, config: Path, gcs: int, dashboard: int) -> list[str]:
    """The command of the head: no work on itself, nothing beyond loopback, every port one that is free."""
    ports = ("dashboard-agent-listen", "dashboard-agent-grpc", "metrics-export", "runtime-env-agent")
    return [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--disable-usage-stats",
        "--num-cpus=0", "--num-gpus=0", f"--object-store-memory={OBJECT_STORE_BYTES}",
        f"--temp-dir={folder}", f"--autoscaling-config={config}", f"--port={gcs}",
        "--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}",
        "--min-worker-port=0", "--max-worker-port=0", f"--ray-client-server-port={free_port()}",
        *(f"--{name}-port={free_port()}" for name in ports),
    ]  # fmt: skip


def _wait(process: "subprocess.Popen[bytes]", address: str, token: str, log: Path) -> None:
    until = time.monotonic() + UP_S
    with Head(address, token=token) as head:
        while process.poll() is None and time.monotonic() < until:
            try:
                head.jobs()
            except HeadUnreachable:
                time.sleep(0.2)
            else:
                return
    raise HeadBroke(f"the head did not come up; it said:\n{log.read_text()[-3000:]}")


def _end(mark: str) -> None:
    """End what is left. They are others' children: nobody here can wait for them."""
    while pids := [pid for pid, _ in _marked(mark)]:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _machine(pid: int) -> Machine | None:
    """What a raylet was started as; None for the head's, and for one that is gone."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    named = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    kind = named.get("RAY_NODE_TYPE_NAME", "")
    return Machine(pid, named.get("RAY_CLOUD_INSTANCE_ID", ""), kind) if kind else None
