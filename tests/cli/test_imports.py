import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.small_farm import batch_file

HEAVY = ("ray", "torch", "diffusers", "transformers", "numpy", "pyarrow", "cv2", "pandas")
SCRIPT = """
import sys
from ancestra_farm.cli.main import main
sys.argv = ["ancestra", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    code = end.code or 0
print("LOADED", *(name for name in {heavy!r} if name in sys.modules))
sys.exit(code)
"""


def loaded_by(*arguments: str) -> tuple[int, list[str], str]:
    script = SCRIPT.format(heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    last = done.stdout.splitlines()[-1] if done.stdout else ""
    assert last.startswith("LOADED"), done.stderr
    return done.returncode, last.split()[1:], done.stdout


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("--version",), ("schema",), ("models",)])
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    code, loaded, _ = loaded_by(*arguments)
    assert code == 0
    assert loaded == []


def test_check_and_plan_load_nothing_heavy(tmp_path: Path) -> None:
    for command in ("check", "plan"):
        code, loaded, said = loaded_by(command, str(batch_file(tmp_path)))
        assert code == 0, said
        assert loaded == []


def test_a_refused_batch_loads_nothing_heavy(tmp_path: Path) -> None:
    path = batch_file(tmp_path)
    path.write_text(path.read_text().replace("candidates: 24", "candidates: none"))
    code, loaded, _ = loaded_by("check", str(path))
    assert code == 2
    assert loaded == []


def test_a_refused_run_loads_no_ray_and_makes_no_store(tmp_path: Path) -> None:
    path = batch_file(tmp_path)
    path.write_text(path.read_text().replace("role: text_to_image", "role: text_to_painting"))
    code, loaded, _ = loaded_by("run", str(path), "--store", str(tmp_path / "store"))
    assert code == 2
    assert loaded == []
    assert not (tmp_path / "store").exists()


def test_readers_load_no_ray_and_no_torch(tmp_path: Path) -> None:
    code, loaded, _ = loaded_by("status", "--store", str(tmp_path))
    assert code == 2
    assert not {"ray", "torch", "diffusers"} & set(loaded)
