"""azure.yaml against the templates that Ray hands to Azure."""

import json
from importlib import resources

import pytest

from tests.cluster.manifests import farm, launcher

#: What Ray fills in itself.
OF_RAY = {
    "vmName",
    "vmTags",
    "vmCount",
    "provisionPublicIp",
    "msi",
    "nsg",
    "subnet",
    "adminUsername",
    "publicKey",
    "zones",
}
KINDS = {"string": str, "int": int, "bool": bool, "object": dict, "array": list, "securestring": str}
#: CPUs and memory (GiB) of the machine sizes, from Azure's lists.
MACHINES = {
    "Standard_NC24ads_A100_v4": (24, 220),
    "Standard_NC40ads_H100_v5": (40, 320),
    "Standard_D16s_v5": (16, 64),
}


@pytest.fixture(scope="module")
def parameters() -> dict:
    """What Ray's template of a machine takes."""
    folder = resources.files("ray.autoscaler._private._azure")
    return json.loads(folder.joinpath("azure-vm-template.json").read_text())["parameters"]


@pytest.mark.parametrize("name", launcher("azure")["available_node_types"])
def test_every_field_is_one_that_the_template_takes(parameters, name):
    given = launcher("azure")["available_node_types"][name]["node_config"]["azure_arm_parameters"]
    assert set(given) <= set(parameters) - OF_RAY
    assert {field: KINDS[parameters[field]["type"]] for field in given} == {
        field: type(it) for field, it in given.items()
    }
    required = {field for field, rule in parameters.items() if "defaultValue" not in rule}
    assert required - OF_RAY <= set(given)


def test_spot_machines_are_deleted_when_they_are_taken_away():
    nodes = launcher("azure")["available_node_types"]
    for name, believed in farm("azure").node_types.items():
        given = nodes[name]["node_config"]["azure_arm_parameters"]
        if believed.market == "spot":
            assert (given["priority"], given["evictionPolicy"]) == ("Spot", "Delete")
        else:
            assert "priority" not in given
            assert "billingProfile" not in given


def test_the_farm_believes_in_no_more_than_the_machines_have():
    nodes = launcher("azure")["available_node_types"]
    for name, believed in farm("azure").node_types.items():
        cpus, memory_gib = MACHINES[nodes[name]["node_config"]["azure_arm_parameters"]["vmSize"]]
        assert believed.cpus == cpus, name
        assert believed.memory_gib <= 0.9 * memory_gib, name


def test_no_machine_has_an_address_that_the_internet_knows():
    provider = launcher("azure")["provider"]
    assert provider["use_internal_ips"] is True
    assert not provider.get("use_external_head_ip")
    assert provider["cache_stopped_nodes"] is False


def test_ray_keeps_the_rules_of_a_network_that_is_there_already():
    """Its own template lets in SSH from everywhere; it takes over the subnet of a network that has the unique id."""
    folder = resources.files("ray.autoscaler._private._azure")
    template = json.loads(folder.joinpath("azure-config-template.json").read_text())
    (rules,) = [
        one["properties"]["securityRules"] for one in template["resources"] if one["type"].endswith("SecurityGroups")
    ]
    assert [rule["properties"]["sourceAddressPrefix"] for rule in rules] == ["*"]
    assert template["variables"]["vnetName"] == "[concat('ray-', parameters('clusterId'), '-vnet')]"
    config = launcher("azure")
    assert f"{config['cluster_name']}-{config['provider']['unique_id']}" == "ancestra-farm"
    source = folder.joinpath("config.py").read_text()
    assert 'template_subnets[0]["properties"].update(subnet["properties"])' in source
