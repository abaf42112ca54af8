"""Prometheus's own programs, where they are installed (Debian: the package prometheus)."""

import shutil
import subprocess

import pytest

PROMTOOL = shutil.which("promtool")
PROMETHEUS = shutil.which("prometheus")

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
needs_prometheus = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed (Debian: prometheus)")


def promtool(*arguments: object, stdin: bytes | None = None) -> None:
    """Run promtool; what it says is the message if it fails."""
    command = [PROMTOOL, *(str(argument) for argument in arguments)]
    ended = subprocess.run(command, input=stdin, capture_output=True, timeout=120, check=False)
    said = (ended.stdout + ended.stderr).decode()
    assert ended.returncode == 0, said
