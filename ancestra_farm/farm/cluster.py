"""A Ray to work on: one started here for the length of a run, or one that is joined.

A local Ray keeps to itself: its own short temporary folder (sockets in it have at most 107 characters of path), a small
object store since no pixels pass through it, no dashboard, no usage reports, nothing that listens beyond loopback, and
Ray's own token on every connection.
Closing it ends what it started and nothing else.
"""

import contextlib
import logging
import os
import secrets
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import ray
import ray._private.ray_constants
import ray._private.worker
from ray._raylet import Config  # type: ignore[attr-defined] # compiled, without types

from ancestra_farm.batch.urls import on_loopback
from ancestra_farm.farm.exposure import NoAnswer, refuse_open
from ancestra_farm.farm.head import token_file
from ancestra_farm.farm.scratch import scratch, sweep

#: Ray's own least size is 75 MiB. Rows and tickets are a few KB each.
OBJECT_STORE_BYTES = 80 * 2**20
#: Read by Ray when it starts. No reports to anybody, no metrics that each worker exports on a port of its own, no
#: warning about the way accelerators will be hidden in some later version (a host hides them itself), and no minute of
#: waiting for a head that was killed: nobody starts that of a local Ray again. And no cluster: one of a single machine
#: keeps to loopback, which Ray does by itself on every system but Linux, going by this variable.
ENVIRONMENT = {
    "RAY_gcs_rpc_server_reconnect_timeout_s": "15",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}

#: Ray asks for its token in clusters it starts, but sends none to one it joins unless told; one without does not mind.
TOKENS = {"RAY_AUTH_MODE": "token"}
#: A machine that is there answers in milliseconds, also from another continent in under a second.
KNOCK_S = 5.0


class ClusterUnreachable(Exception):
    """There is no Ray at the address, or it could not be started; the message says which and what Ray said."""


@contextmanager
def ray_cluster(
    address: str | None = None, *, cpus: int | None = None, verbose: bool = False, insecure: bool = False
) -> Iterator[None]:
    """Work on the Ray at ``address``, or on one of our own (None) with ``cpus`` CPUs, None: as many as there are.

    ``verbose``: let Ray and its workers log to the terminal. ``insecure``: join a cluster that asks for no token, too.
    Raises ClusterUnreachable, and ClusterOpen for a cluster that lets anybody in.
    """
    if ray.is_initialized():
        # Somebody above us has a Ray already, and it is theirs to end.
        yield
        return
    level = logging.INFO if verbose else logging.ERROR
    if address is not None:
        named = _knock(address)
        if named and not insecure:
            _refuse_open(address)  # before it is sent a token that it did not ask for
        with (
            _environment(TOKENS),
            _keeping_to_loopback() if _only_on_loopback(address) else nullcontext(),
            _connected(address=address, log_to_driver=verbose, logging_level=level),
        ):
            _keep_token_private()
            if not named and not insecure:
                _refuse_open(ray.get_runtime_context().gcs_address)
            yield
        return
    for place in {_short_folder(), tempfile.gettempdir()}:
        sweep(place)
    _make_token()
    with (
        scratch(under=_short_folder()) as folder,
        _environment(TOKENS | ENVIRONMENT),
        _keeping_to_loopback(),
        _warnings_of_deaths(shown=verbose),
        _connected(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=verbose,
            logging_level=level,
            _temp_dir=str(folder),
        ),
    ):
        _keep_token_private()
        yield


def _knock(address: str) -> bool:
    """Raise ClusterUnreachable if nobody listens there; Ray itself would try for minutes.

    False for an address that names no place, such as ``auto``: finding it is left to Ray.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return False
    try:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()
    except OSError as error:
        raise ClusterUnreachable(f"there is no Ray at {address}: {error}") from error
    return True


def _only_on_loopback(address: str) -> bool:
    """Whether the Ray at a loopback address is at no other one of this machine, as those that we start."""
    host, _, port = address.rpartition(":")
    if not port.isdigit() or not on_loopback(f"http://{address}"):
        return False
    try:
        socket.create_connection((ray.util.get_node_ip_address(), int(port)), KNOCK_S).close()
    except OSError:
        return bool(host)
    return False


@contextmanager
def _keeping_to_loopback() -> Iterator[None]:
    """Meanwhile this machine's address is 127.0.0.1, to Ray, which otherwise takes loopback for what others reach.

    Ray has read the variable when it was imported. Where the name is gone a test says so.
    """
    constants: Any = ray._private.ray_constants
    before = constants.ENABLE_RAY_CLUSTER
    constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


def _refuse_open(address: str) -> None:
    try:
        refuse_open(address)
    except NoAnswer as error:
        raise ClusterUnreachable(f"{error}; is this the port of a Ray head?") from error


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Variables for Ray while it runs; those that are set already are somebody's wish and stay."""
    ours = [name for name in wanted if name not in os.environ]
    os.environ.update({name: wanted[name] for name in ours})
    # Ray has read its configuration when it was imported; this reads it anew, and there is no public way.
    Config.initialize("")
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


@contextmanager
def _connected(**options: Any) -> Iterator[None]:  # noqa: ANN401 - what ray.init takes
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = options["address"]
        what = "a local Ray could not be started" if where == "local" else f"there is no Ray that lets us in at {where}"
        raise ClusterUnreachable(
            f"{what} ({' '.join(str(error).split()) or type(error).__name__}); a wrong token looks like this too"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _short_folder() -> str:
    """Where a folder with sockets in it can be: the usual place unless its path is long."""
    usual = tempfile.gettempdir()
    return usual if len(usual) <= 20 or not Path("/tmp").is_dir() else "/tmp"  # noqa: S108 - mkdtemp makes it private


@contextmanager
def _warnings_of_deaths(*, shown: bool) -> Iterator[None]:
    """A worker that dies is news for the scheduler; Ray prints a page about it on stdout whatever it was told of logs.

    There is no public switch for that; where the private one is gone, the pages are shown.
    """
    module: Any = ray._private.worker
    printing = getattr(module, "print_to_stdstream", None)
    if shown or printing is None:
        yield
        return
    module.print_to_stdstream = lambda *_given, **_named: None
    try:
        yield
    finally:
        module.print_to_stdstream = printing


def _make_token() -> None:
    """Ray would make a token that everybody on the machine can read until we notice; so it finds one that is made."""
    if os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        return
    token = token_file()
    try:
        token.parent.mkdir(parents=True, exist_ok=True)
        descriptor, fresh = tempfile.mkstemp(prefix=".auth_token.", dir=token.parent)  # of mode 0600
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        with contextlib.suppress(FileExistsError):
            os.link(fresh, token)  # a whole one, and never in place of another's
        Path(fresh).unlink()
    except OSError as error:
        raise ClusterUnreachable(f"Ray keeps its token in {token}, which cannot be written: {error}") from error


def _keep_token_private() -> None:
    """A token that `ray` made is one that everybody on the machine can read; it is full control of the cluster."""
    with contextlib.suppress(OSError):  # there is none, or it lies on what is mounted for reading only
        found = token_file().stat()
        if found.st_uid == os.getuid() and found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            token_file().chmod(stat.S_IRUSR | stat.S_IWUSR)
