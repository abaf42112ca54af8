"""aws.yaml against Amazon's own description of its interface, and by starting its nodes on a stand-in of EC2 (moto)."""

import json
from typing import Any, NamedTuple

import boto3
import botocore.session
import pytest
from botocore.validate import ParamValidator
from moto import mock_aws
from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager
from ray.autoscaler._private.aws.config import bootstrap_aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config

from tests.cluster.manifests import CLUSTER, farm, launcher

REGION = launcher("aws")["provider"]["region"]


class Cloud(NamedTuple):
    """An account as the README leaves it. ``config``: aws.yaml with what it made filled in, as Ray works with it."""

    ec2: Any
    group: str
    config: dict


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """The account, with the security group, the roles and an image."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        ec2, iam = boto3.client("ec2", region_name=REGION), boto3.client("iam")
        vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        group = ec2.create_security_group(GroupName="ancestra-farm", Description="farm", VpcId=vpc)["GroupId"]
        members = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[members])
        for name in ("ancestra-farm-head", "ancestra-farm-node"):
            trust = (CLUSTER / "aws" / "trust.json").read_text()
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
            policy = (CLUSTER / "aws" / f"{name.rpartition('-')[2]}-policy.json").read_text()
            iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=policy)
            iam.create_instance_profile(InstanceProfileName=name)
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        image = ec2.register_image(Name="with the driver", RootDeviceName="/dev/sda1")["ImageId"]
        config = launcher("aws")
        for kind in config["available_node_types"].values():
            kind["node_config"] |= {"ImageId": image, "SecurityGroupIds": [group]}
        yield Cloud(ec2, group, bootstrap_aws(prepare_config(config)))


def test_the_nodes_that_ray_starts_are_what_the_farm_believes(cloud):
    provider = AWSNodeProvider(cloud.config["provider"], cloud.config["cluster_name"])
    for name in cloud.config["available_node_types"]:
        provider.create_node(cloud.config["available_node_types"][name]["node_config"], {"ray-user-node-type": name}, 1)
    reservations = cloud.ec2.describe_instances()["Reservations"]
    started = {
        _tag(machine, "ray-user-node-type"): machine for reserved in reservations for machine in reserved["Instances"]
    }
    assert set(started) == set(cloud.config["available_node_types"])
    for name, machine in started.items():
        believed = farm("aws").node_types.get(name)
        spot = believed is not None and believed.market == "spot"
        assert (machine.get("InstanceLifecycle") == "spot") is spot, name
        assert [group["GroupId"] for group in machine["SecurityGroups"]] == [cloud.group]
        profile = "ancestra-farm-node" if believed else "ancestra-farm-head"
        assert machine["IamInstanceProfile"]["Arn"].endswith(f"/{profile}")
        assert machine["MetadataOptions"]["HttpTokens"] == "required"
    provider.terminate_nodes([machine["InstanceId"] for machine in started.values()])
    states = cloud.ec2.describe_instances()["Reservations"]
    # Not stopped: a stopped machine still pays for its disk.
    assert {machine["State"]["Name"] for one in states for machine in one["Instances"]} == {"terminated"}


def test_no_port_is_opened_to_anybody_outside(cloud):
    groups = cloud.ec2.describe_security_groups()["SecurityGroups"]
    assert {group["GroupName"] for group in groups} == {"default", "ancestra-farm"}  # Ray made none of its own
    (ours,) = [group for group in groups if group["GroupId"] == cloud.group]
    for rule in ours["IpPermissions"]:
        assert not rule["IpRanges"]
        assert not rule.get("Ipv6Ranges")
        assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [cloud.group]


def test_nodes_are_no_larger_than_what_amazon_says_of_their_machines(cloud):
    nodes = cloud.config["available_node_types"]
    types = {name: nodes[name]["node_config"]["InstanceType"] for name in farm("aws").node_types}
    described = cloud.ec2.describe_instance_types(InstanceTypes=sorted(set(types.values())))["InstanceTypes"]
    machines = {machine["InstanceType"]: machine for machine in described}
    nvidia = NvidiaGPUAcceleratorManager
    for name, believed in farm("aws").node_types.items():
        machine = machines[types[name]]
        assert believed.cpus == machine["VCpuInfo"]["DefaultVCpus"], name
        assert believed.gpus == (nvidia.get_ec2_instance_num_accelerators(types[name], machines) or 0), name
        assert believed.accelerator == nvidia.get_ec2_instance_accelerator_type(types[name], machines), name
        # The system and Ray's object store need a tenth.
        assert believed.memory_gib <= 0.9 * machine["MemoryInfo"]["SizeInMiB"] / 1024, name
        assert believed.market.replace("_", "-") in machine["SupportedUsageClasses"], name
        if believed.gpus:
            (gpu,) = machine["GpuInfo"]["Gpus"]
            assert believed.vram_gib <= gpu["MemoryInfo"]["SizeInMiB"] / 1024, name


def _tag(machine: dict, key: str) -> str:
    return next(tag["Value"] for tag in machine["Tags"] if tag["Key"] == key)


@pytest.fixture(scope="module")
def ec2():
    """Amazon's description of EC2, as it comes with its library."""
    return botocore.session.get_session().get_service_model("ec2")


@pytest.mark.parametrize("name", launcher("aws")["available_node_types"])
def test_every_field_is_one_that_amazon_takes(ec2, name):
    fields = launcher("aws")["available_node_types"][name]["node_config"] | {"MinCount": 1, "MaxCount": 1}
    shape = ec2.operation_model("RunInstances").input_shape
    assert set(fields) <= set(shape.members)
    report = ParamValidator().validate(fields, shape)
    assert not report.has_errors(), report.generate_report()


@pytest.mark.parametrize("name", launcher("aws")["available_node_types"])
def test_credentials_of_a_node_are_given_to_its_own_processes_only(name):
    config = launcher("aws")["available_node_types"][name]["node_config"]
    # One hop: an answer does not leave the machine. With a session token: no page that is fetched can ask for it.
    assert config["MetadataOptions"] == {
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
        "HttpEndpoint": "enabled",
    }
    assert config["IamInstanceProfile"] == {"Name": "ancestra-farm-head" if name == "head" else "ancestra-farm-node"}
    assert all(device["Ebs"]["Encrypted"] for device in config["BlockDeviceMappings"])


def test_a_spot_node_costs_at_most_what_the_farm_books_for_it():
    nodes = launcher("aws")["available_node_types"]
    for name, believed in farm("aws").node_types.items():
        market = nodes[name]["node_config"].get("InstanceMarketOptions")
        if believed.market == "on_demand":
            assert market is None
            continue
        assert market["MarketType"] == "spot"
        assert float(market["SpotOptions"]["MaxPrice"]) == believed.price_per_hour
        # One request, one machine: Amazon starts nothing anew behind the autoscaler's back.
        assert market["SpotOptions"]["SpotInstanceType"] == "one-time"


def test_ssh_goes_through_session_manager():
    auth = launcher("aws")["auth"]
    assert auth["ssh_proxy_use_node_id"] is True
    assert auth["ssh_proxy_command"].startswith("aws ssm start-session --target %h ")
    assert f"--region {REGION}" in auth["ssh_proxy_command"]


def test_only_the_head_may_start_machines_and_only_farms_of_this_name():
    head, node = (json.loads((CLUSTER / "aws" / f"{name}-policy.json").read_text()) for name in ("head", "node"))
    assert all(action.startswith("s3:") for rule in node["Statement"] for action in _actions(rule))
    for rule in head["Statement"] + node["Statement"]:
        assert rule["Effect"] == "Allow"
        assert not any("*" in action.removesuffix("*") or action.endswith(":*") for action in _actions(rule))
    (passes,) = [rule for rule in head["Statement"] if "iam:PassRole" in _actions(rule)]
    assert passes["Resource"] == "arn:aws:iam::*:role/ancestra-farm-node"
    (ends,) = [rule for rule in head["Statement"] if "ec2:TerminateInstances" in _actions(rule)]
    tag = "aws:ResourceTag/ray-cluster-name"
    ours = {"StringEquals": {tag: launcher("aws")["cluster_name"]}}
    assert ends["Condition"] == ours
    # Who could name any machine as the farm's could end it: names are given to what is being started, and to our own.
    naming = [rule["Condition"] for rule in head["Statement"] if "ec2:CreateTags" in _actions(rule)]
    assert naming == [{"StringEquals": {"ec2:CreateAction": "RunInstances"}}, ours]


def _actions(rule: dict) -> list[str]:
    actions = rule["Action"]
    return [actions] if isinstance(actions, str) else actions
