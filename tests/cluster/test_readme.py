"""README.md in cluster/: every command, port, placeholder and price in it is as it says."""

import json
import re
import shlex
from typing import Any

import pytest
import typer
from ray.scripts.scripts import cli as ray_cli

from ancestra_farm.cli.main import app
from ancestra_farm.farm.job import LISTEN
from tests.cluster.manifests import CLUSTER, FARMS, LAUNCHERS, launcher, objects
from tests.cluster.tables import costs
from tests.cluster.test_launchers import commands, flags

README = (CLUSTER / "README.md").read_text()
BLOCKS = re.findall(r"```\n(.*?)```", README, re.DOTALL)
LINES = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]


def table(name: str) -> list[list[str]]:
    """The rows of the table that is announced by this name."""
    (text,) = re.findall(rf"<!-- {name}[^\n]*-->\n((?:\|.*\n)+)", README)
    rows = [[cell.strip() for cell in row.strip("|\n").split("|")] for row in text.splitlines()]
    return rows[2:]


def numbers(said: str) -> set[int]:
    """The ports in ``8080, 10100–10102``."""
    found: set[int] = set()
    for part in re.split(r",\s*", said):
        first, _, last = part.replace("–", "-").partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


PORTS = {port for row in table("ports") for port in numbers(row[0])}
LOOPBACK = {port for row in table("ports") for port in numbers(row[0]) if row[3].startswith("loopback")}


def known(root: Any, words: list[str]) -> None:
    """Raise where this is no command (of click, or of typer's own copy of it), or one without such an option."""
    command, rest = root, list(words)
    while hasattr(command, "get_command") and rest:
        named = command.get_command(command.context_class(command), rest[0])
        assert named is not None, f"{shlex.join(words)}: there is no command {rest[0]}"
        command, rest = named, rest[1:]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in rest:
        if word.startswith("-"):
            assert word.partition("=")[0] in options, f"{shlex.join(words)}: there is no option {word}"


def said_by(program: str) -> list[list[str]]:
    """The commands of a program in the README: lines of their own, and those within a sentence."""
    inline = re.findall(rf"`({program} [^`]+)`", README)
    lines = [line.strip() for line in LINES if line.strip().startswith(f"{program} ")]
    return [shlex.split(line, comments=True)[1:] for line in lines + inline]


@pytest.mark.parametrize("words", said_by("ancestra"), ids=" ".join)
def test_every_command_of_ours_is_there(words):
    known(typer.main.get_command(app), words)


@pytest.mark.parametrize("words", said_by("ray"), ids=" ".join)
def test_every_command_of_ray_is_there(words):
    known(ray_cli, words)


def test_it_goes_from_nothing_to_a_submitted_batch_on_each():
    for name in LAUNCHERS:
        assert ["up", f"cluster/{name}.yaml"] in said_by("ray")
    tunnels = [words for words in said_by("ray") if words[0] == "exec"]
    assert {words[1] for words in tunnels} == {f"cluster/{name}.yaml" for name in LAUNCHERS}
    door = LISTEN.rpartition(":")[2]
    assert all(["--port-forward", door] == words[words.index(door) - 1 : words.index(door) + 1] for words in tunnels)
    assert ["submit", "jobs/ancestra.yaml", "--wait"] in said_by("ancestra")
    assert " ".join(README.split()).count("[the first batch](#the-first-batch)") == len(LAUNCHERS) + 1  # and Kubernetes


def test_every_file_that_it_names_is_there():
    named = set(re.findall(r"(?<![\w/.])((?:cluster|jobs)/[\w./-]*\w)", README)) - {"cluster/clouds/CLOUD.txt"}
    assert {path for path in named if not (CLUSTER.parent / path).exists()} == set()
    for path in re.findall(r"\]\((?!#|https?:)([^)]+)\)", README):
        assert (CLUSTER / path).exists(), path


def test_what_it_can_cost_is_what_the_settings_say():
    (text,) = re.findall(r"<!-- costs: [^\n]*-->\n(.*?)\n<!-- end of costs -->", README, re.DOTALL)
    assert text == costs(), "run python -m tests.cluster.tables"


PLACEHOLDER = re.compile(r"[\w.-]*example\.com|\bmy-?[a-z]+\b|\w+-0123456789abcdef0|0{8}-[0-9-]+|192\.168\.40\.")


def test_everything_that_has_to_be_filled_in_is_said():
    said = [(where.strip("`"), what.strip("`")) for where, what, _ in table("placeholders")]
    found: dict[str, set[str]] = {}
    for path in [*CLUSTER.rglob("*.yaml"), *CLUSTER.rglob("*.json")]:
        text = re.sub(r"#.*", "", path.read_text())
        found[str(path.relative_to(CLUSTER))] = set(PLACEHOLDER.findall(text))
    for where, what in said:
        if where != "all":
            assert what in found[where], (where, what)
    everywhere = {what for where, what in said if where == "all"}
    for where, placeholders in found.items():
        assert placeholders <= everywhere | {what for there, what in said if there == where}, where
    assert all("registry.example.com" in found[f"{name}.yaml"] for name in LAUNCHERS)


def test_nobody_takes_the_prices_for_what_anybody_pays():
    for path in FARMS.values():
        comment = " ".join(line.removeprefix("# ") for line in path.read_text().splitlines() if line.startswith("#"))
        assert "The prices are an example" in comment, path
        assert "to be edited before money is counted with them" in comment, path
        assert re.search(r"as of \d{4}, noted|made up|where it stands how they were come by", comment), path


def test_an_account_that_never_had_a_spot_machine_is_made_ready_for_them():
    """Amazon makes this role where somebody asks for one by hand, and refuses a program that asks for the first."""
    (role,) = [line for line in LINES if "create-service-linked-role" in line]
    assert "--aws-service-name spot.amazonaws.com" in role


def test_every_port_that_is_opened_is_said_and_none_else():
    opened = {22, int(LISTEN.rpartition(":")[2]), 44217, 44227}
    for name in LAUNCHERS:
        for words in commands(launcher(name)).values():
            given = flags(words)
            low, high = int(given["--min-worker-port"]), int(given["--max-worker-port"])
            opened |= set(range(low, high + 1))
            opened |= {int(value) for flag, value in given.items() if re.search(r"-?port$", flag)}
    assert opened == PORTS


def test_only_dashboard_and_door_need_loopback_alone():
    assert {8265, int(LISTEN.rpartition(":")[2])} == LOOPBACK
    assert LISTEN.startswith("127.0.0.1:")


def test_the_firewall_of_ones_own_machines_closes_every_port_beyond_loopback():
    closed = dict(re.findall(r"input (ip6?) saddr != .* tcp dport \{ ([^}]+) \} drop", README))
    # Ray listens on all addresses, those of IPv6 too, and a rule about addresses is about those of its own kind alone.
    assert {kind: numbers(ports) for kind, ports in closed.items()} == dict.fromkeys(
        ("ip", "ip6"), PORTS - LOOPBACK - {22}
    )
    (machines,) = re.findall(r"ip saddr != \{ ([^}]+) \}", README)
    provider = launcher("onprem")["provider"]
    named = set(re.findall(r"192\.168\.40\.\d+", machines))
    assert named <= {provider["head_ip"], *provider["worker_ips"]}
    assert {provider["head_ip"], provider["worker_ips"][0], provider["worker_ips"][-1]} <= named


def test_the_policies_of_kubernetes_are_about_ports_that_are_said():
    policies = [document["spec"] for document in objects("networkpolicy.yaml") if document["kind"] == "NetworkPolicy"]
    inwards = {port["port"] for spec in policies for rule in spec.get("ingress", []) for port in rule.get("ports", [])}
    assert inwards <= PORTS


def test_what_is_said_of_versions_is_what_the_record_of_fields_is_of():
    for name, said in (("KubeRay", "kuberay"), ("Kueue", "kueue"), ("operator", "prometheus-operator")):
        text = (CLUSTER.parent / "tests" / "cluster" / "fields" / f"{said}.json").read_text()
        (major, minor) = re.findall(r'"version": "v(\d+)\.(\d+)', text)[0]
        assert re.search(rf"{name}\s+{major}\.{minor}", README), name


def test_no_older_kuberay_is_said_to_do_than_the_one_whose_fields_are_recorded():
    """1.6 has no priority of groups, which `kubectl apply` refuses, and labels no submitter, which policies keep in."""
    recorded = json.loads((CLUSTER.parent / "tests" / "cluster" / "fields" / "kuberay.json").read_text())["version"]
    for text in (README, (CLUSTER / "kuberay" / "raycluster.yaml").read_text()):
        (said,) = re.findall(r"KubeRay (\d+\.\d+) or newer", text)
        assert recorded.startswith(f"v{said}."), (said, recorded)
