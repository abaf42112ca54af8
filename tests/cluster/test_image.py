"""The Dockerfile: what its linter says, what goes in, and who it runs as."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests.cluster.manifests import CLOUDS, CLUSTER, LAUNCHERS, launcher

ROOT = CLUSTER.parent
DOCKERFILE = (CLUSTER / "Dockerfile").read_text()
INSTRUCTIONS = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))


def said(instruction: str) -> list[str]:
    """What follows an instruction, each time it is there."""
    return re.findall(rf"^{instruction}\s+(.*)$", INSTRUCTIONS, re.MULTILINE)


def constraints() -> dict[str, str]:
    """The pinned version of every package, by its normal name."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = (line.partition("==") for line in lines if "==" in line)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, _, version in pins}


def test_its_linter_has_nothing_to_say():
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, CLUSTER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_runs_as_nobody_special():
    assert said("USER") == ["1000:1000"]
    instructions = re.findall(r"^([A-Z]+)\s", INSTRUCTIONS, re.MULTILINE)
    # Whatever is installed or copied is root's, so that what runs cannot change it.
    assert not {"RUN", "COPY", "ADD"} & set(instructions[instructions.index("USER") :])


def test_a_ray_that_is_started_in_it_asks_for_a_token():
    environment = dict(re.findall(r"(\w+)=(\S+)", " ".join(said("ENV"))))
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_USAGE_STATS_ENABLED"] == "0"
    assert environment["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert environment["ANCESTRA_CACHE"] == "/cache"


def test_its_home_is_where_the_launchers_put_the_token():
    home = dict(re.findall(r"(\w+)=(\S+)", " ".join(said("ENV"))))["HOME"]
    for name in LAUNCHERS:
        assert all(folder.startswith(f"{home}/") for folder in launcher(name)["file_mounts"])


def test_everything_that_is_installed_has_one_version():
    installs = [line for line in said("RUN") if "pip install" in line]
    assert len(installs) == 3
    assert all("--constraint constraints.txt" in line for line in installs)
    assert "--no-cache-dir" in installs[0]
    (base,) = [value for value in said("ARG") if value.startswith("PYTHON_IMAGE=")]
    assert re.fullmatch(r"PYTHON_IMAGE=python:\d+\.\d+\.\d+-slim-\w+", base)


def test_its_python_is_one_that_the_farm_is_written_for():
    (base,) = [value for value in said("ARG") if value.startswith("PYTHON_IMAGE=")]
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert Version(base.partition(":")[2].partition("-")[0]) in SpecifierSet(wanted)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_what_the_head_needs_for_a_cloud_has_one_version(cloud):
    pins = constraints()
    lines = (CLUSTER / "clouds" / f"{cloud}.txt").read_text().splitlines()
    wanted = [Requirement(line) for line in lines if not line.startswith("#")]
    assert wanted
    for requirement in wanted:
        assert str(requirement.specifier).startswith("==") or requirement.name in pins, requirement


def test_what_is_copied_is_there_and_nothing_else_goes_along():
    ignore = (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    copied = {source for line in said("COPY") for source in line.split()[:-1]}
    assert "*" in ignore
    assert copied == allowed
    assert all((ROOT / source).exists() for source in copied)


def test_the_extras_that_it_takes_in_are_there():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (taken,) = re.findall(r"'\.\[([\w,]+)\]'", INSTRUCTIONS)
    assert set(taken.split(",")) <= set(extras)
