"""The launcher files against Ray's own checks, and against what the farm is told beside each."""

import re
import shlex
import subprocess

import pytest
import yaml
from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager
from ray._private.label_utils import validate_node_label_syntax
from ray.autoscaler._private.command_runner import SSHOptions
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start

from ancestra_farm import __version__
from ancestra_farm.batch.farm_settings import MARKET_LABEL, NODE_TYPE_LABEL, load_farm_settings
from ancestra_farm.farm.notify import FOLDER_VARIABLE
from tests.cluster.manifests import CLOUDS, CLUSTER, FARMS, LAUNCHERS, farm, launcher

GIB = 2**30
ACCELERATOR_LABEL = "ray.io/accelerator-type"
#: What NVIDIA's driver calls the GPUs of the machines here, and how much memory it says they have, in MiB.
DEVICES = {
    "NVIDIA L4": 23034,
    "NVIDIA L40S": 46068,
    "NVIDIA A100-SXM4-80GB": 81920,
    "NVIDIA A100 80GB PCIe": 81920,
    "NVIDIA H100 80GB HBM3": 81559,
    "NVIDIA H100 NVL": 95830,
    "NVIDIA RTX 6000 Ada Generation": 49140,
}
RUN_OPTIONS_ENV = re.compile(r"-e (\w+)=(\S+)")


def workers(config: dict) -> dict:
    """The node types that the autoscaler starts."""
    return {name: kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]}


def commands(config: dict) -> dict[str, list[str]]:
    """The words of the head's `ray start`, and of the others', without what they put into the environment."""
    found = {}
    for kind in ("head", "worker"):
        (line,) = [line for line in config[f"{kind}_start_ray_commands"] if "ray start" in line]
        found[kind] = shlex.split(line[line.index("ray start") :])
    return found


def flags(words: list[str]) -> dict[str, str]:
    """The flags of a command by name; the value of one without is empty."""
    return {name: value for name, _, value in (word.partition("=") for word in words if word.startswith("--"))}


@pytest.mark.parametrize("name", LAUNCHERS)
def test_ray_accepts_the_file(name):
    config = prepare_config(launcher(name))
    validate_config(config)
    assert config["docker"]["image"]


@pytest.mark.parametrize("name", LAUNCHERS)
def test_the_farm_accepts_the_settings_beside_it(name):
    assert farm(name).node_types


@pytest.mark.parametrize("name", CLOUDS)
def test_the_cloud_starts_exactly_the_node_types_that_the_farm_believes_in(name):
    config, settings = launcher(name), farm(name)
    assert list(workers(config)) == list(settings.node_types)
    for type_name, believed in settings.node_types.items():
        started = config["available_node_types"][type_name]
        resources = {"CPU": believed.cpus, "memory": believed.memory_gib * GIB}
        if believed.gpus:
            resources |= {"GPU": believed.gpus, f"accelerator_type:{believed.accelerator}": 1}
        assert started["resources"] == resources, type_name
        assert started["min_workers"] == believed.min_nodes, type_name
        assert started["max_workers"] == believed.max_nodes, type_name
        assert dict(started["labels"]) == labels_of(type_name, believed), type_name


def labels_of(name: str, believed) -> dict[str, str]:
    """What a node of this type is labelled with: what the farm asks for, and what Ray's own label says of its GPUs."""
    own = {ACCELERATOR_LABEL: believed.accelerator} if believed.accelerator else {}
    return believed.labels_as(name) | own


@pytest.mark.parametrize("name", CLOUDS)
def test_no_more_nodes_than_all_types_together_are_ever_started(name):
    config = launcher(name)
    assert config["max_workers"] == sum(kind["max_workers"] for kind in workers(config).values())


@pytest.mark.parametrize("name", CLOUDS)
def test_spot_and_on_demand_of_a_machine_differ_in_nothing_that_ray_weighs_but_priority(name):
    """Ray looks at priority only between types that do equally well: with other resources it would never get to it."""
    config, settings = launcher(name), farm(name)
    for type_name, kind in workers(config).items():
        spot = settings.node_types[type_name].market == "spot"
        assert kind["priority"] == (10 if spot else 0), type_name
        assert spot == type_name.endswith("-spot")
        if not spot:
            twin = config["available_node_types"][f"{type_name}-spot"]
            assert twin["resources"] == kind["resources"]
            cheap, dear = settings.node_types[f"{type_name}-spot"], settings.node_types[type_name]
            assert cheap.price_per_hour < dear.price_per_hour
            assert cheap.max_nodes >= dear.max_nodes


@pytest.mark.parametrize("name", CLOUDS)
def test_the_head_has_no_gpu_and_gives_nothing_away(name):
    config = launcher(name)
    head = config["available_node_types"][config["head_node_type"]]
    assert head["resources"] == {"CPU": 0}
    assert head["max_workers"] == head["min_workers"] == 0
    assert head["labels"] == {NODE_TYPE_LABEL: "head", MARKET_LABEL: "on_demand"}


@pytest.mark.parametrize("name", LAUNCHERS)
def test_labels_are_written_as_ray_wants_them(name):
    for type_name, believed in farm(name).node_types.items():
        validate_node_label_syntax(labels_of(type_name, believed))


@pytest.mark.parametrize("path", FARMS.values(), ids=FARMS)
def test_accelerators_are_called_what_ray_calls_them_and_have_no_more_memory_than_there_is(path):
    largest: dict[str, float] = {}
    for device, mib in DEVICES.items():
        called = NvidiaGPUAcceleratorManager._gpu_name_to_accelerator_type(device)
        largest[called] = max(largest.get(called, 0.0), mib / 1024)
    for type_name, believed in load_farm_settings(path).node_types.items():
        if believed.gpus:
            assert believed.accelerator in largest, type_name
            assert believed.vram_gib <= largest[believed.accelerator], type_name


@pytest.mark.parametrize("name", LAUNCHERS)
def test_ray_asks_for_its_token_from_the_first_moment(name):
    config = launcher(name)
    environment = dict(RUN_OPTIONS_ENV.findall("\n".join(config["docker"]["run_options"])))
    assert environment["RAY_AUTH_MODE"] == "token"
    folder, _, file = environment["RAY_AUTH_TOKEN_PATH"].rpartition("/")
    assert file == "auth_token"
    assert config["file_mounts"] == {folder: "~/.ancestra/ray"}
    # Beside it, in what is carried along, lies what shows are told by.
    assert environment[FOLDER_VARIABLE] == f"{folder}/notify"


@pytest.mark.parametrize("name", LAUNCHERS)
def test_weights_lie_on_the_local_disk_of_each_node(name):
    config = launcher(name)
    options = "\n".join(config["docker"]["run_options"])
    (host_folder,) = re.findall(r"-v (\S+):/cache$", options, re.MULTILINE)
    assert dict(RUN_OPTIONS_ENV.findall(options))["ANCESTRA_CACHE"] == "/cache"
    assert any(host_folder in line for line in config["initialization_commands"])


@pytest.mark.parametrize("name", LAUNCHERS)
def test_the_image_is_one_version_of_this_farm(name):
    docker = launcher(name)["docker"]
    suffix = f"-{name}" if name in CLOUDS else ""
    assert docker["image"] == f"registry.example.com/ancestra-farm:{__version__}{suffix}"
    assert "--security-opt no-new-privileges" in docker["run_options"]
    assert not any("--privileged" in option for option in docker["run_options"])


@pytest.mark.parametrize("name", LAUNCHERS)
def test_every_flag_is_one_that_ray_start_knows(name):
    known = {option for parameter in start.params for option in parameter.opts}
    for words in commands(launcher(name)).values():
        assert words[:2] == ["ray", "start"]
        assert set(flags(words)) <= known


@pytest.mark.parametrize("name", LAUNCHERS)
def test_the_dashboard_and_the_jobs_api_listen_on_loopback_only(name):
    head = flags(commands(launcher(name))["head"])
    assert head["--dashboard-host"] == "127.0.0.1"
    assert head["--autoscaling-config"] == "~/ray_bootstrap_config.yaml"


@pytest.mark.parametrize("name", LAUNCHERS)
def test_no_port_is_left_to_chance(name):
    """Every port that `ray start` can be told is told, so that what has to be closed is known."""
    chance = {"--redis-shard-ports", "--worker-port-list", "--port", "--dashboard-port", "--ray-client-server-port"}
    of_every_node = {
        option for parameter in start.params for option in parameter.opts if re.search(r"-ports?($|-list)", option)
    } - chance
    for kind, words in commands(launcher(name)).items():
        given = flags(words)
        assert of_every_node <= set(given), kind
        ports = [value for option, value in given.items() if option in of_every_node]
        assert len(set(ports)) == len(ports)
        assert all(1024 <= int(port) <= 65535 for port in ports)
        assert int(given["--max-worker-port"]) - int(given["--min-worker-port"]) > 4000
    assert flags(commands(launcher(name))["head"])["--port"] == "6379"


def test_nodes_of_all_launchers_listen_on_the_same_ports():
    assert (
        len(
            {
                tuple(sorted(flags(commands(launcher(name))["worker"]).items() - {("--labels-file", LABELS_FILE)}))
                for name in LAUNCHERS
            }
        )
        == 1
    )


LABELS_FILE = "/etc/ancestra/labels.yaml"


@pytest.mark.parametrize("name", CLOUDS)
def test_a_node_goes_soon_after_the_farm_has_let_go_of_it(name):
    config, settings = launcher(name), farm(name)
    assert 0 < config["idle_timeout_minutes"] * 60 <= settings.scaling.idle_s
    assert config["provider"]["cache_stopped_nodes"] is False


@pytest.mark.parametrize("name", LAUNCHERS)
def test_what_runs_before_the_container_is_sound_shell(name):
    for line in launcher(name)["initialization_commands"]:
        subprocess.run(["bash", "-n", "-c", line], check=True)


@pytest.mark.parametrize("name", CLOUDS)
@pytest.mark.parametrize(("groups", "done"), [("ubuntu docker", ""), ("ubuntu sudo", "usermod -aG docker ubuntu\n")])
def test_whoever_ray_logs_in_as_may_use_docker(name, groups, done):
    """Azure's first user may not, and `docker pull` is then refused (ray issue 13711)."""
    (line,) = [line for line in launcher(name)["initialization_commands"] if "docker" in line]
    fakes = f'id() {{ echo "{groups}"; }}; sudo() {{ echo "$@"; }}; sleep() {{ waited=$1; }}; USER=ubuntu; '
    # Groups are those of the login: Ray's connection, which it keeps for so long, has to have ended before it is used.
    kept = int(SSHOptions("key", control_path="there").arg_dict["ControlPersist"].removesuffix("s"))
    ended = f'; [ "${{waited:-{2 * kept}}}" -gt {kept} ]'
    ran = subprocess.run(["bash", "-c", fakes + line + ended], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, done)


def test_a_machine_of_ones_own_says_of_which_type_it_is():
    written = {
        path.name.removesuffix(".labels.yaml"): yaml.safe_load(path.read_text())
        for path in (CLUSTER / "onprem").glob("*.labels.yaml")
    }
    head = {NODE_TYPE_LABEL: "head", MARKET_LABEL: "on_demand"}
    believed = {name: labels_of(name, kind) for name, kind in farm("onprem").node_types.items()}
    assert written == {"head": head} | believed


def test_machines_of_ones_own_are_all_there_all_the_time():
    config, settings = launcher("onprem"), farm("onprem")
    machines = len(config["provider"]["worker_ips"])
    assert config["min_workers"] == config["max_workers"] == machines
    assert sum(kind.max_nodes for kind in settings.node_types.values()) == machines
    assert all(kind.min_nodes == kind.max_nodes for kind in settings.node_types.values())
    head = flags(commands(config)["head"])
    assert (head["--num-cpus"], head["--num-gpus"]) == ("0", "0")
    assert all(flags(words)["--labels-file"] == LABELS_FILE for words in commands(config).values())
