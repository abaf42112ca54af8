"""``ancestra doctor``: is this machine, and this store, fit for the farm? Says what to do about what is not."""

import os
import platform
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from ancestra_farm.cli.failures import FAILED
from ancestra_farm.cli.listing import column, json_keys, print_rows
from ancestra_farm.cli.options import JsonOption

#: Ray stops placing objects on a disk that is 95 % full; a batch of clips wants a few gigabytes besides.
LOW_DISK_BYTES = 5 * 2**30
#: Ray's object store lives in shared memory; below this it falls back to disk, which is slow.
LOW_SHM_BYTES = 2**30
#: What stitching encodes with: deliveries, masters, stills.
ENCODERS = ("libx264", "ffv1", "png")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. ``state``: ``bad`` must be put right, ``note`` is worth knowing."""

    what: str = column("what")
    state: Literal["good", "note", "bad"] = column("state")
    found: str = column("found")
    advice: str = column("advice")


EPILOG = json_keys(Finding)


def doctor(
    store: Annotated[
        str | None, typer.Option("--store", envvar="ANCESTRA_STORE", help="Look at this store too.", show_default=False)
    ] = None,
    metrics_port: Annotated[int, typer.Option("--metrics-port", help="Is this port free?", min=0, max=65535)] = 0,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            envvar=["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"],
            help="Look at this Ray, too: http://HOST:8265 for the whole cluster, HOST:PORT for its port alone.",
            show_default=False,
        ),
    ] = None,
    from_inside: Annotated[
        bool, typer.Option("--from-inside", help="Have a job on the cluster's head look at its packages and the store.")
    ] = False,
    python: Annotated[str, typer.Option("--python", help="The head's Python that has this package.")] = "python",
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Look at a cluster that asks for no token, too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at versions, disks, ports, GPUs, encoders, the store, a cluster. Ends with 1 if something is to be done."""
    findings = [
        *versions(),
        machine(),
        gpus(),
        disk("temporary files", Path(tempfile.gettempdir())),
        shared_memory(),
        loopback(metrics_port),
        ray_token(),
        encoders(),
        *(_looked_at(address, store, insecure=insecure, inside=python if from_inside else None) if address else ()),
        *(_of_farm(store) if store else ()),
    ]
    print_rows(Finding, findings, as_json=as_json)
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(FAILED)


def _looked_at(address: str, store: str | None, *, insecure: bool, inside: str | None) -> Iterator[Finding]:
    """A cluster by its head's HTTP side, or the one port of a head that was named."""
    if address.startswith(("http://", "https://")):
        from ancestra_farm.cli.cluster import cluster_findings

        return cluster_findings(address, store, insecure=insecure, inside=inside)
    return ray_head(address)


def _of_farm(store: str) -> Iterator[Finding]:
    """A store, or a farm that is known by its door alone."""
    from ancestra_farm.api.afar import is_door

    if not is_door(store):
        yield from store_findings(store)
    yield from at_work_findings(store)


def versions() -> Iterator[Finding]:
    """Python and every package that the farm requires, against the floors it states; nothing is imported for it."""
    from importlib import metadata

    from packaging.requirements import Requirement

    python = platform.python_version()
    good = sys.version_info >= (3, 11)
    yield Finding("python", "good" if good else "bad", python, "" if good else "install Python 3.11 or later")
    try:
        required = metadata.requires("ancestra-farm") or []
    except metadata.PackageNotFoundError:
        yield Finding("ancestra-farm", "note", "not installed as a package", "pip install -e . for version checks")
        return
    for requirement in map(Requirement, required):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield Finding(requirement.name, "bad", "missing", f"pip install '{requirement}'")
            continue
        fits = requirement.specifier.contains(version, prereleases=True)
        yield Finding(
            requirement.name, "good" if fits else "bad", version, "" if fits else f"pip install '{requirement}'"
        )


def machine() -> Finding:
    """Processors that this process may use, and memory."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = f"{cpus} processors"
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found += f", {_gib(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'))} of memory"
    return Finding("machine", "good", found, "")


def gpus() -> Finding:
    """GPUs as their driver lists them."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding(
            "GPUs", "note", "none (no nvidia-smi)", "hosts take CPU slots; models that need a GPU cannot run"
        )
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("GPUs", "bad", f"nvidia-smi failed: {error}", "reinstall the driver, or take nvidia-smi away")
    cards = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
    return Finding("GPUs", "good" if cards else "note", "; ".join(cards) or "none", "")


def disk(what: str, path: Path) -> Finding:
    """Free space where ``path`` is, or will be."""
    there = next(parent for parent in [path, *path.absolute().parents] if parent.exists())
    free = shutil.disk_usage(there).free
    low = free < LOW_DISK_BYTES
    return Finding(
        f"disk, {what}", "bad" if low else "good", f"{_gib(free)} free", f"free some of {there}" if low else ""
    )


def shared_memory() -> Finding:
    """Shared memory, where Ray keeps its objects on Linux."""
    path = Path("/dev/shm")  # noqa: S108 - the system's own mount, only measured
    if not path.exists():
        return Finding("shared memory", "good", "not used on this system", "")
    free = shutil.disk_usage(path).free
    low = free < LOW_SHM_BYTES
    advice = "start the container with a larger --shm-size" if low else ""
    return Finding("shared memory", "note" if low else "good", f"{_gib(free)} free", advice)


def loopback(port: int) -> Finding:
    """Whether the metrics can be served on ``port`` (0: any)."""
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            return Finding("metrics port", "bad", f"127.0.0.1:{port}: {error.strerror}", "give another --metrics-port")
        return Finding("metrics port", "good", f"127.0.0.1:{listener.getsockname()[1]} is free", "")


def ray_token() -> Finding:
    """Whether others on this machine can read the token that gives full control of Ray. Only its mode is looked at."""
    from ancestra_farm.farm.head import token_file

    path = token_file()
    if os.environ.get("RAY_AUTH_TOKEN"):
        return Finding("Ray token", "good", "in the environment", "")
    if not path.exists():
        return Finding("Ray token", "note", "none yet", "the first local run makes one")
    mode = stat.S_IMODE(path.stat().st_mode)
    exposed = bool(mode & 0o077)
    return Finding(
        "Ray token", "bad" if exposed else "good", f"mode {mode:04o}", f"chmod 600 {path}" if exposed else ""
    )


def encoders() -> Finding:
    """What stitching writes with."""
    try:
        import av
    except ImportError as error:
        return Finding("encoders", "bad", f"PyAV cannot be loaded: {error}", "pip install av")
    missing = [name for name in ENCODERS if name not in av.codec.codecs_available]
    if missing:
        return Finding("encoders", "bad", f"PyAV lacks {', '.join(missing)}", "install PyAV from its own wheel")
    return Finding("encoders", "good", ", ".join(ENCODERS), "")


def ray_head(address: str) -> Iterator[Finding]:
    """Whether something listens at a Ray head's address. A wrong token cannot be told from here."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        yield Finding("Ray head", "note", f"{address} has no HOST:PORT to look at", "")
        return
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            pass
    except OSError as error:
        yield Finding("Ray head", "bad", f"{address}: {error}", "is the cluster up, and may this machine reach it?")
        return
    hint = "if `run` says ConnectionError all the same, this machine's token is not the cluster's"
    yield Finding("Ray head", "note", f"{address} answers", hint)


def store_findings(url: str) -> Iterator[Finding]:
    """Whether the store opens, takes names atomically, has room, and who is at work in it."""
    from ancestra_farm.ledger.errors import StoreError, StoreMissing
    from ancestra_farm.ledger.liveness import who_is_alive
    from ancestra_farm.ledger.store import Store

    try:
        store = Store.open(url)
    except StoreMissing:
        yield Finding("store", "note", f"{url}: none yet", "`ancestra run FILE --store URL` makes one")
        if "://" not in url:
            yield disk("store", Path(url))
        return
    except (StoreError, OSError, ImportError) as error:
        yield Finding("store", "bad", f"{url}: {error}", "check the address, the network and the credentials")
        return
    try:
        store.probe()
    except StoreError as error:
        yield Finding("store", "bad", str(error), "use a backend that creates files atomically")
        return
    yield Finding("store", "good", f"{store.url}: takes names atomically", "")
    local = store.local_path("STORE")
    if local is not None:
        yield disk("store", local.parent)
    presence = who_is_alive(store)
    if presence is not None:
        at_work = f"host {presence.host}, process {presence.pid}, epoch {presence.epoch}"
        takes = f"takes orders at {presence.endpoint}" if presence.endpoint else "orders wait until it has ended"
        yield Finding("store, at work", "note", at_work, takes)


def at_work_findings(url: str) -> Iterator[Finding]:
    """What the farm at work in a store, or behind a door, says keeps it from its work: as `ancestra status` says it."""
    from ancestra_farm.api.afar import DoorClosed, is_door
    from ancestra_farm.api.client import EndpointGone
    from ancestra_farm.api.people import NotAllowed
    from ancestra_farm.cli.live import live
    from ancestra_farm.ledger.errors import StoreError

    try:
        seen = live(url)
        if seen is None:
            return
        with seen.client:
            hosts = seen.client.hosts()
    except NotAllowed as error:
        yield Finding("farm", "note", str(error), "whoever may see machines is told what keeps them from their work")
        return
    except (DoorClosed, EndpointGone, StoreError, OSError, ImportError) as error:
        if is_door(url):  # of a store it is told already
            yield Finding("farm", "bad", str(error), "is it at work, is the tunnel up, is the address the right one?")
        return
    for what, sentences, advice in (
        ("nodes", hosts.dry, "the cloud's quota and the cluster's autoscaler say why; `ancestra hosts --nodes`"),
        ("store, hosts", hosts.unstored, "room, network and credentials of the store on the nodes"),
        ("work", hosts.blocked, "`ancestra explain SHOT`; `ancestra hosts forgive MODEL` tries failed starts again"),
    ):
        yield from (Finding(what, "bad", sentence, advice) for sentence in sentences)
    for node in hosts.nodes:
        if node.state == "blocked":
            yield Finding(f"node {node.node[:12]}", "note", node.why, f"`ancestra hosts forgive {node.node[:12]}`")
    if not (hosts.dry or hosts.unstored or hosts.blocked):
        yield Finding("farm", "good", f"{len(hosts.hosts)} hosts, nothing keeps them from their work", "")


def _gib(amount: int) -> str:
    return f"{amount / 2**30:,.1f} GiB"
