"""Temporary folders go with their owner, also with one that had no time to clean up."""

import signal
import subprocess
import sys

from ancestra_farm.farm.scratch import OWNER, scratch, sweep
from tests.farm.processes import ROOT

HOLD = """
import sys, time
from ancestra_farm.farm.scratch import scratch
with scratch("test-", sys.argv[1]) as folder:
    (folder / "large").write_text("something")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_a_folder_goes_with_its_owner(tmp_path):
    with scratch("test-", str(tmp_path)) as folder:
        assert folder.name.startswith("anc-test-")
        assert (folder / OWNER).exists()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_what_lives_stays(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    folder = holder.stdout.readline().strip()
    with scratch("test-", str(tmp_path)) as mine:
        assert sweep(str(tmp_path)) == []
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
        assert [str(path) for path in sweep(str(tmp_path))] == [folder]
        assert list(tmp_path.iterdir()) == [mine]


def test_folders_that_carry_no_mark_are_left_alone(tmp_path):
    (tmp_path / "anc-somebodys").mkdir()
    assert sweep(str(tmp_path)) == []
    assert (tmp_path / "anc-somebodys").exists()
