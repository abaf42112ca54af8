import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

from ancestra_farm.ledger.store import Store
from tests.api.door import OpenDoor
from tests.cli.conftest import Ancestra
from tests.dashboards.programs import needs_prometheus
from tests.farm.processes import ROOT, wait_for


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), create=True)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_files_are_written_for_a_prometheus_that_runs_already(ancestra: Ancestra, store: Store, tmp_path: Path) -> None:
    said = ancestra("dash", "--store", store.url, "--folder", tmp_path / "dash", "--files", "--port", 9191)
    assert said.code == 0, said.err
    assert "nobody is at work" in said.out
    source = yaml.safe_load((tmp_path / "dash/grafana/provisioning/datasources/ancestra.yaml").read_text())
    assert source["datasources"][0]["url"] == "http://127.0.0.1:9191"
    provider = yaml.safe_load((tmp_path / "dash/grafana/provisioning/dashboards/ancestra.yaml").read_text())
    folder = Path(provider["providers"][0]["options"]["path"])
    assert sorted(file.stem for file in folder.iterdir()) == [
        "ancestra-batch",
        "ancestra-farm",
        "ancestra-look",
        "ancestra-trouble",
    ]
    assert json.loads((tmp_path / "dash/prometheus/targets/farms.json").read_text()) == []


def test_without_prometheus_it_says_how_to_get_it(
    ancestra: Ancestra, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = ancestra("dash", "--store", store.url, "--folder", tmp_path / "dash")
    assert said.code == 2
    assert "apt-get install prometheus" in said.err


def test_a_store_that_is_not_there_is_said(ancestra: Ancestra, tmp_path: Path) -> None:
    said = ancestra("dash", "--store", tmp_path / "nowhere", "--folder", tmp_path / "dash", "--files")
    assert said.code == 2
    assert not (tmp_path / "dash").exists()


@needs_prometheus
def test_a_port_that_is_taken_is_said(ancestra: Ancestra, store: Store, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = ancestra("dash", "--store", store.url, "--folder", tmp_path / "dash", "--port", port)
    assert said.code == 2
    assert f"port {port} is taken" in said.err


@needs_prometheus
def test_it_follows_the_farm_and_ends_what_it_started(store: Store, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "ancestra_farm.cli.main", "dash", "--store", store.url]
    command += ["--folder", str(tmp_path / "dash"), "--port", str(port)]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    log = tmp_path / "dash.out"

    def up() -> bool:
        try:
            url = f"http://127.0.0.1:{port}/api/v1/query?query=ancestra_epoch"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(json.loads(answer.read())["data"]["result"])
        except OSError:
            return False

    with log.open("wb") as out, OpenDoor(store):
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: process.poll() is None and up(), 90)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, log.read_text()
    assert "is not installed here" in log.read_text() or "Grafana     http" in log.read_text()
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5)
