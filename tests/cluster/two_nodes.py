"""A head and a worker, started with the very commands of a launcher file on two addresses: `python -m …two_nodes NAME`.

It runs as the first process of namespaces of its own (network, processes), so that the ports are the real ones, nobody
else's Ray is touched, and everything ends with it. The worker is a node type of that file with a GPU; what Ray's
launcher puts into the environment is put there. It prints as JSON what came up: nodes, sockets, who is let in.
"""

import json
import os
import secrets
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.cluster.manifests import launcher

HEAD, WORKER = "10.77.0.1", "10.77.0.2"
PATIENCE_S = 120.0
#: Of a socket in /proc/net/tcp that waits for connections.
LISTENING = "0A"


def main() -> None:
    """Start both, look, and say what was seen. Whatever was started ends with this process."""
    config = launcher(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="an-", dir="/tmp") as folder:  # short: sockets lie in it
        place = Path(folder)
        (place / "auth_token").write_text(secrets.token_hex(32))
        (place / "auth_token").chmod(0o600)
        environment = os.environ | {
            "HOME": folder,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(place / "auth_token"),
            "RAY_HEAD_IP": HEAD,
            "RAY_enable_worker_prestart": "0",
        }
        nets = _networks()
        kinds = config["available_node_types"]
        worker = next(name for name, kind in kinds.items() if kind["resources"].get("GPU"))
        head_line, worker_line = (config[f"{kind}_start_ray_commands"][-1] for kind in ("head", "worker"))
        head = Started(nets["head"], head_line, HEAD, kinds[config["head_node_type"]], environment, place)
        head.wait(nets["head"], _NODES, "1")
        other = Started(nets["worker"], worker_line, WORKER, kinds[worker], environment, place)
        nodes = other.wait(nets["head"], _NODES, "2")
        head.wait(nets["head"], _DASHBOARD)
        strangers = {name: value for name, value in environment.items() if not name.startswith("RAY_AUTH")}
        seen = {
            "worker": worker,
            "refused_without_token": _without_token(config, environment, place),
            "nodes": nodes,
            "listening": {name: _listening(net) for name, net in nets.items()},
            "lets_in": _ask(nets["worker"], _EXPOSURE, strangers | {"RAY_AUTH_MODE": "disabled"}),
            "jobs_without_token": _ask(nets["head"], _JOBS, strangers),
        }
    print(json.dumps(seen))


def _networks() -> dict[str, int]:
    """Two networks joined by one cable: the pid of a process in each."""
    other = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    ours = Path("/proc/self/ns/net").readlink()
    while other.poll() is None and Path(f"/proc/{other.pid}/ns/net").readlink() == ours:
        time.sleep(0.05)
    for line in (
        "ip link set lo up",
        "ip link add cable type veth peer name other",
        f"ip link set other netns {other.pid}",
        f"ip address add {HEAD}/24 dev cable",
        "ip link set cable up",
        f"nsenter --target {other.pid} --net ip link set lo up",
        f"nsenter --target {other.pid} --net ip address add {WORKER}/24 dev other",
        f"nsenter --target {other.pid} --net ip link set other up",
    ):
        subprocess.run(shlex.split(line), check=True)
    return {"head": os.getpid(), "worker": other.pid}


def _words(command: str, address: str, place: Path) -> list[str]:
    """The command, for a node at this address that has no cloud and keeps to its folder."""
    expanded = command.replace("$RAY_HEAD_IP", HEAD)
    words = [word for word in shlex.split(expanded) if not word.startswith("--autoscaling-config")]
    where = [f"--temp-dir={place}"] if "--head" in words else []
    return [*words, f"--node-ip-address={address}", *where, "--block"]


class Started:
    """A node that is started, and started again where it ends: Ray gives up on a machine that is too busy for it."""

    def __init__(
        self, net: int, command: str, address: str, kind: dict, environment: dict[str, str], place: Path
    ) -> None:
        self._words = ["nsenter", "--target", str(net), "--net", "--", *_words(command, address, place)]
        self._environment = environment | {
            "RAY_OVERRIDE_RESOURCES": json.dumps(kind["resources"]),
            "RAY_OVERRIDE_LABELS": json.dumps(dict(kind["labels"])),
        }
        self._log = place / f"{address}.log"
        self._process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        with self._log.open("a") as log:
            return subprocess.Popen(self._words, env=self._environment, stdout=log, stderr=subprocess.STDOUT)

    def wait(self, net: int, program: str, *arguments: str) -> Any:
        """What a program says that waits for something inside a network; this one ends where it says nothing."""
        until = time.monotonic() + PATIENCE_S
        words = ["nsenter", "--target", str(net), "--net", "--", sys.executable, "-c", program, HEAD, *arguments]
        asking = subprocess.Popen(words, env=self._environment, stdout=subprocess.PIPE, text=True)
        while asking.poll() is None and time.monotonic() < until:
            if self._process.poll() is not None:
                self._process = self._start()
            time.sleep(0.2)
        asking.kill()
        said, _ = asking.communicate()
        if asking.returncode != 0:
            raise SystemExit(f"waited {PATIENCE_S:.0f} s for a node:\n{self._log.read_text()[-3000:]}")
        return json.loads(said.splitlines()[-1])


def _without_token(config: dict, environment: dict[str, str], place: Path) -> bool:
    """Whether a head does not even start where the token cannot be read."""
    command = _words(config["head_start_ray_commands"][-1], "127.0.0.1", place)
    nowhere = environment | {"RAY_AUTH_TOKEN_PATH": str(place / "nothing")}
    done = subprocess.run(command, env=nowhere, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    return done.returncode != 0 and "token" in (done.stdout + done.stderr).lower()


def _ask(net: int, program: str, environment: dict[str, str]) -> Any:
    """What a small program says from inside a network, as JSON; None where it fails."""
    words = ["nsenter", "--target", str(net), "--net", "--", sys.executable, "-c", program, HEAD, WORKER]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def _listening(net: int) -> list[tuple[str, int]]:
    """(address, port) of every TCP socket that waits for connections there; ``any``: on every address."""
    found = set()
    for table, everywhere in (("tcp", "00000000"), ("tcp6", "0" * 32)):
        for line in Path(f"/proc/{net}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, port = local.partition(":")
            if state == LISTENING:
                found.add((_readable(address, everywhere), int(port, 16)))
    return sorted(found)


def _readable(address: str, everywhere: str) -> str:
    if address == everywhere:
        return "any"
    last = address[-8:]
    if len(address) == 32 and address == f"{'0' * 24}01000000":
        return "127.0.0.1"
    return ".".join(str(int(last[at : at + 2], 16)) for at in (6, 4, 2, 0))


_NODES = """
import json, sys, time
from ray._raylet import GcsClient
found = []
while len(found) < int(sys.argv[2]):
    time.sleep(0.5)
    try:
        nodes = GcsClient(address=sys.argv[1] + ":6379").get_all_node_info(timeout=10)
        found = [node for node in nodes.values() if node.state == 0]
    except Exception:
        pass
print(json.dumps([
    {"address": node.node_manager_address, "labels": dict(node.labels), "resources": dict(node.resources_total)}
    for node in found
]))
"""
_DASHBOARD = """
import json, socket, time
while True:
    try:
        socket.create_connection(("127.0.0.1", 8265), 2).close()
        break
    except OSError:
        time.sleep(0.5)
print(json.dumps(True))
"""
_EXPOSURE = """
import json, socket, sys
from ancestra_farm.farm.exposure import lets_in
answers = {address: lets_in(address) for address in (sys.argv[1] + ":6379", "ray://" + sys.argv[1] + ":10001")}
for port in (8265, 8470):
    try:
        socket.create_connection((sys.argv[1], port), 2).close()
        answers[str(port)] = "connects"
    except OSError:
        answers[str(port)] = "closed"
print(json.dumps(answers))
"""
_JOBS = """
import json, urllib.error, urllib.request
try:
    print(json.dumps(urllib.request.urlopen("http://127.0.0.1:8265/api/jobs/", timeout=10).status))
except urllib.error.HTTPError as error:
    print(json.dumps(error.code))
"""

if __name__ == "__main__":
    main()
