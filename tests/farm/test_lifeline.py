"""A process that ends with its parent ends, even in the middle of a call that would go on for ever."""

import contextlib
import os
import subprocess
import sys

from tests.farm.processes import ROOT, wait_for

CHILD = """
import time
from ancestra_farm.farm.lifeline import end_with_parent
end_with_parent()
print("up", flush=True)
time.sleep(600)
"""
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""


def is_there(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_a_process_ends_with_its_parent():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    assert is_there(child)
    parent.kill()
    parent.communicate()
    wait_for(lambda: not is_there(child))
