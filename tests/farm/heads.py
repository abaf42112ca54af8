"""A Ray in a process of its own, which others join: its address, and everything that it has started."""

import os
import subprocess
import sys
from pathlib import Path

from tests.farm.processes import MARK, ROOT, wait_for

PROGRAM = """
import sys
import ray
from ancestra_farm.farm.cluster import ray_cluster
if __name__ == "__main__":
    with ray_cluster(cpus=1):
        print(ray.get_runtime_context().gcs_address, flush=True)
        sys.stdin.read()
"""


class Head:
    """``mode``: whether it asks for a token; the one that Ray has made for this user. ``mark``: see `processes`."""

    def __init__(self, folder: Path, mode: str = "token") -> None:
        program = folder / "head.py"
        program.write_text(PROGRAM)
        self.mark = f"{folder.name}-{os.getpid()}"
        self.log = folder / "head.log"
        self._out = self.log.open("w")
        self._process = subprocess.Popen(
            [sys.executable, str(program)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": mode, MARK: self.mark},
            stdin=subprocess.PIPE,
            stdout=self._out,
            stderr=subprocess.STDOUT,
        )
        self.address = str(wait_for(self._told))

    def _told(self) -> str | None:
        """The line with which it says where it is."""
        lines = self.log.read_text().splitlines()
        return next((line for line in lines if line.count(":") == 1 and line[0].isdigit()), None)

    def close(self) -> None:
        """Let it end; it does so by itself."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(60) == 0
        self._out.close()
