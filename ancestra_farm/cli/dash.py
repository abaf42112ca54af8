"""``ancestra dash``: Prometheus, and Grafana where it is installed, on the dashboards, rules and targets of a farm."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ancestra_farm.cli.failures import BAD_INPUT, CommandFailed
from ancestra_farm.cli.options import StoreOption

if TYPE_CHECKING:
    from ancestra_farm.api.afar import Place
    from ancestra_farm.api.scraped import Found
    from ancestra_farm.api.tokens import OwnToken

#: So often it is looked where the farm answers: each controller has a port of its own.
LOOK_S = 5.0
#: Prometheus reads its own data when it starts, which takes a while with weeks of them.
UP_S = 120.0
#: Both write what they have to disk when they are asked to end.
GO_S = 20.0
LAST_LINES = 10

PortOption = Annotated[int, typer.Option("--port", help="Prometheus's port, on loopback.", min=1, max=65535)]
GrafanaPortOption = Annotated[
    int, typer.Option("--grafana-port", help="Grafana's port, on loopback.", min=1, max=65535)
]
FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        help="Where files and data are kept; by default among what this program keeps for you.",
        show_default=False,
        file_okay=False,
    ),
]
RetentionOption = Annotated[str, typer.Option("--retention", help="How long data are kept: 15d, 1y, ….")]
RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray-targets",
        help="Ray's own discovery file, where its temporary folder is not /tmp/ray.",
        show_default=False,
    ),
]
FilesOption = Annotated[
    bool, typer.Option("--files", help="Write the files, and start nothing: for a Prometheus that runs already.")
]


def dash(
    store: StoreOption,
    port: PortOption = 9090,
    grafana_port: GrafanaPortOption = 3000,
    folder: FolderOption = None,
    retention: RetentionOption = "15d",
    ray_targets: RayOption = None,
    files: FilesOption = False,
) -> None:
    """Start Prometheus, and Grafana where it is installed, on a farm. Ctrl-C ends both; data are kept.

    Controllers may come and go meanwhile: each is found by what the store says. Both listen on loopback only and ask
    nobody for a password, so everybody on this machine can look.
    """
    from ancestra_farm.api.afar import farm_at
    from ancestra_farm.api.scraped import scrape_token
    from ancestra_farm.api.tokens import state_folder

    opened = farm_at(store)
    place = (folder or state_folder() / opened.id / "dash").absolute()
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    post = _Post(opened, place, scrape_token(opened, place / "prometheus"), port, ray_targets)
    found = post.look()
    if files:
        typer.echo(f"Prometheus  {place}/prometheus/prometheus.yml")
        typer.echo(f"Grafana     {place}/grafana/provisioning, dashboards in {place}/grafana/dashboards")
        typer.echo(_at_work(found))
        return
    prometheus = _program("prometheus")
    if prometheus is None:
        raise CommandFailed(
            "there is no program prometheus here: `apt-get install prometheus`, or put it on the PATH; with --files "
            "the files are written for one that runs elsewhere"
        )
    _free(port, "--port")
    grafana = _program("grafana", "grafana-server")
    if grafana is not None:
        _free(grafana_port, "--grafana-port")
    with ExitStack() as running, _ended_by_signal():
        server = running.enter_context(_running(_prometheus_command(prometheus, place, port, retention), place))
        _until_ready(server, f"http://127.0.0.1:{port}/-/ready")
        typer.echo(f"Prometheus  http://127.0.0.1:{port}/alerts, data in {place}/data")
        children = [server]
        if grafana is not None:
            shown = running.enter_context(
                _running(_grafana_command(grafana), place, **_grafana_settings(place, grafana_port))
            )
            _until_ready(shown, f"http://127.0.0.1:{grafana_port}/api/health")
            typer.echo(f"Grafana     http://127.0.0.1:{grafana_port}/d/ancestra-farm")
            children.append(shown)
        else:
            typer.echo(f"Grafana     is not installed here; its dashboards are in {place}/grafana/dashboards")
        _keep_looking(post, found, children)


# ---- files and targets -----------------------------------------------------------------------------------------------


class _Post:
    """What Prometheus reads about one farm, kept up to date. ``token``: what it shows at the farm's door."""

    def __init__(self, store: "Place", folder: Path, token: "OwnToken", port: int, ray_targets: str | None) -> None:
        self._store = store
        self._folder = folder
        self._token = token
        self._url = f"http://127.0.0.1:{port}"
        self._ray_targets = ray_targets

    def look(self) -> "Found":
        """Find the farm, and write everything as it is to be."""
        import json

        from ancestra_farm.api.scraped import find
        from ancestra_farm.telemetry.boards.files import (
            DASHBOARDS,
            dashboard_files,
            grafana_files,
            prometheus_files,
            write_files,
        )
        from ancestra_farm.telemetry.boards.scrape import FARMS, farm_name, targets_of

        found = find(self._store, self._token, self._folder / "prometheus")
        targets = targets_of(found.endpoint, farm_name(self._store.url))
        write_files(
            self._folder,
            dashboard_files()
            | prometheus_files(found.certificate, self._ray_targets)
            | grafana_files(self._url, str(self._folder / DASHBOARDS))
            | {f"prometheus/{FARMS}": json.dumps(targets, indent=1) + "\n"},
        )
        return found


def _at_work(found: "Found") -> str:
    return f"farm        at {found.endpoint}" if found.endpoint else f"farm        not found: {found.why}"


def _keep_looking(post: _Post, found: "Found", children: "Sequence[_Child]") -> None:
    """Follow the farm from controller to controller until somebody ends this, or a child ends by itself."""
    typer.echo(_at_work(found))
    while True:
        for child in children:
            if child.process.poll() is not None:
                raise CommandFailed(f"{child.name} has ended (exit code {child.process.returncode}); {child.last()}")
        time.sleep(LOOK_S)
        before, found = found, post.look()
        if found.certificate != before.certificate:
            children[0].process.send_signal(signal.SIGHUP)  # its configuration names another file, or none
        if found.endpoint != before.endpoint:
            typer.echo(_at_work(found))


# ---- programs --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Child:
    """A program that was started. ``log``: what it says."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def last(self) -> str:
        """The end of its log."""
        return f"{self.log} ends:\n" + "\n".join(self.log.read_text(errors="replace").splitlines()[-LAST_LINES:])


def _program(*names: str) -> str | None:
    return next((found for name in names if (found := shutil.which(name))), None)


def _prometheus_command(program: str, place: Path, port: int, retention: str) -> list[str]:
    return [
        program,
        f"--config.file={place}/prometheus/prometheus.yml",
        f"--storage.tsdb.path={place}/data",
        f"--storage.tsdb.retention.time={retention}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]


def _grafana_command(program: str) -> list[str]:
    server = ["server"] if Path(program).name == "grafana" else []
    home = ["--homepath", "/usr/share/grafana"] if Path("/usr/share/grafana").is_dir() else []
    return [program, *server, *home]


def _grafana_settings(place: Path, port: int) -> dict[str, str]:
    """Environment of a Grafana that keeps everything in ``place`` and is open to look at, on loopback."""
    return {
        "GF_PATHS_DATA": f"{place}/grafana/data",
        "GF_PATHS_LOGS": f"{place}/grafana/logs",
        "GF_PATHS_PLUGINS": f"{place}/grafana/plugins",
        "GF_PATHS_PROVISIONING": f"{place}/grafana/provisioning",
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(port),
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION": "true",
    }


def _free(port: int, option: str) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise CommandFailed(f"port {port} is taken ({error.strerror}); give another {option}", BAD_INPUT) from error


@contextmanager
def _running(command: Sequence[str], place: Path, **environment: str) -> Iterator[_Child]:
    """A program, which is asked to end on leaving, and made to if it does not."""
    name = Path(command[0]).name
    log = place / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - found on the PATH by name
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            start_new_session=True,
        )
    try:
        yield _Child(name, process, log)
    finally:
        process.terminate()
        try:
            process.wait(GO_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does, which is no failure: it is how a person ends it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("ended; data are kept", err=True)
    finally:
        signal.signal(signal.SIGTERM, before)


def _until_ready(child: _Child, url: str) -> None:
    until = time.monotonic() + UP_S
    while time.monotonic() < until:
        if child.process.poll() is not None:
            raise CommandFailed(f"{child.name} did not come up (exit code {child.process.returncode}); {child.last()}")
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - loopback
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise CommandFailed(f"{child.name} is not ready after {UP_S:.0f} s; {child.last()}")
