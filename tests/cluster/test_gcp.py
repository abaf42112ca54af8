"""gcp.yaml against Google's own description of a machine, which its library brings along."""

import json
from importlib import resources
from typing import Any

import pytest

from tests.cluster.manifests import farm, launcher

SCALARS = {"string": str, "boolean": bool, "integer": int, "number": (int, float)}
#: CPUs and memory (GB) of the machine types, from Google's lists.
MACHINES = {
    "g2-standard-8": (8, 32),
    "a2-ultragpu-1g": (12, 170),
    "a3-highgpu-1g": (26, 234),
    "n2-standard-16": (16, 64),
}


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    """What the Compute API v1 takes."""
    text = resources.files("googleapiclient.discovery_cache.documents").joinpath("compute.v1.json").read_text()
    return json.loads(text)["schemas"]


def faults(value: Any, schema: dict[str, Any], schemas: dict[str, Any], where: str) -> list[str]:
    """What of ``value`` is not as the schema says."""
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    kind = schema["type"]
    if kind == "object" and isinstance(value, dict):
        fields, others = schema.get("properties", {}), schema.get("additionalProperties")
        unknown = [f"{where}.{name}" for name in value if name not in fields and others is None]
        inner = [(name, fields.get(name, others), inside) for name, inside in value.items() if name in fields or others]
        return unknown + [fault for name, rule, it in inner for fault in faults(it, rule, schemas, f"{where}.{name}")]
    if kind == "array" and isinstance(value, list):
        return [fault for item in value for fault in faults(item, schema["items"], schemas, f"{where}[]")]
    # Numbers of 64 bits are texts in JSON; a whole number is taken too.
    wanted = (str, int) if schema.get("format") in ("int64", "uint64") else SCALARS.get(kind)
    if wanted is None or not isinstance(value, wanted) or (isinstance(value, bool) and kind != "boolean"):
        return [f"{where}: {value!r} is no {kind}"]
    return [f"{where}: {value!r}"] if value not in schema.get("enum", [value]) else []


@pytest.mark.parametrize("name", launcher("gcp")["available_node_types"])
def test_every_field_is_one_that_google_takes(schemas, name):
    node = launcher("gcp")["available_node_types"][name]["node_config"]
    assert faults(node, {"$ref": "Instance"}, schemas, name) == []


def test_a_field_that_google_does_not_take_is_found(schemas):
    node = launcher("gcp")["available_node_types"]["l4-spot"]["node_config"]
    node["scheduling"] = node["scheduling"] | {"preemtible": True, "provisioningModel": "CHEAP"}
    node["disks"][0]["boot"] = "yes"
    assert len(faults(node, {"$ref": "Instance"}, schemas, "")) == 3


@pytest.mark.parametrize("name", launcher("gcp")["available_node_types"])
def test_no_machine_has_an_address_that_the_internet_knows(name):
    config = launcher("gcp")
    node = config["available_node_types"][name]["node_config"]
    assert all("accessConfigs" not in interface for interface in node["networkInterfaces"])
    assert config["provider"]["use_internal_ips"] is True
    assert node["tags"]["items"] == ["ancestra-farm"]
    account = "ancestra-farm-head" if name == "head" else "ancestra-farm-node"
    assert [one["email"].split("@")[0] for one in node["serviceAccounts"]] == [account]


def test_spot_machines_are_deleted_when_they_are_taken_away():
    nodes = launcher("gcp")["available_node_types"]
    for name, believed in farm("gcp").node_types.items():
        scheduling = nodes[name]["node_config"]["scheduling"]
        assert scheduling["provisioningModel"] == ("SPOT" if believed.market == "spot" else "STANDARD")
        assert scheduling["onHostMaintenance"] == "TERMINATE"  # Google moves no machine that has a GPU
        assert scheduling["automaticRestart"] is False  # it would come back without its container
        assert scheduling.get("instanceTerminationAction") == ("DELETE" if believed.market == "spot" else None)


def test_the_farm_believes_in_no_more_than_the_machines_have():
    nodes = launcher("gcp")["available_node_types"]
    for name, believed in farm("gcp").node_types.items():
        cpus, memory_gb = MACHINES[nodes[name]["node_config"]["machineType"]]
        assert believed.cpus == cpus, name
        assert believed.memory_gib <= 0.9 * memory_gb * 1e9 / 2**30, name


def test_everything_lies_in_one_project_region_and_zone():
    config = launcher("gcp")
    zone, region, project = (config["provider"][key] for key in ("availability_zone", "region", "project_id"))
    assert zone.startswith(f"{region}-")
    for kind in config["available_node_types"].values():
        node = kind["node_config"]
        assert all(interface["subnetwork"].startswith(f"regions/{region}/") for interface in node["networkInterfaces"])
        types = [disk["initializeParams"]["diskType"] for disk in node["disks"]]
        assert all(type_.startswith(f"zones/{zone}/") for type_ in types)
        assert all(
            account["email"].endswith(f"@{project}.iam.gserviceaccount.com") for account in node["serviceAccounts"]
        )
    proxy = config["auth"]["ssh_proxy_command"]
    assert config["auth"]["ssh_proxy_use_node_id"] is True
    assert proxy.startswith("gcloud compute start-iap-tunnel %h %p ")
    assert f"--project={project}" in proxy
    assert f"--zone={zone}" in proxy
