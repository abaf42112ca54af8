"""The Kubernetes objects against their published schemas, Ray's own reading of them, and what the farm is told."""

import json
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml
from ray.autoscaler._private.kuberay import autoscaling_config

from ancestra_farm import __version__
from ancestra_farm.batch.farm_settings import NODE_TYPE_LABEL
from ancestra_farm.farm.job import STORE_KEY
from tests.cluster.manifests import KUBERAY, farm, merged, objects, one, pod_specs, ray_cluster
from tests.cluster.test_launchers import labels_of

GIB = 2**30
FIELDS = {
    kind: described
    for path in (Path(__file__).parent / "fields").glob("*.json")
    for kind, described in json.loads(path.read_text())["kinds"].items()
}
#: The oldest and the newest Kubernetes that is looked at; KubeRay 1.7 wants 1.26 or newer.
VERSIONS = ("1.29", "1.37")


def core(version: str, document: dict[str, Any]) -> None:
    """Raise where Kubernetes itself would not take it, or would ignore something in it."""
    kubernetes_validate.validate(document, version, strict=True)


def pod(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec}


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_its_own_kinds_of_objects(version):
    own = [document for document in objects() if document["kind"] not in FIELDS]
    assert {document["kind"] for document in own} >= {"Namespace", "NetworkPolicy", "StatefulSet", "Service"}
    for document in own:
        core(version, document)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", pod_specs())
def test_kubernetes_takes_every_pod(version, name):
    core(version, pod(pod_specs()[name]))


def test_a_field_that_kubernetes_does_not_have_is_found():
    spec = pod_specs()["l4-spot"]
    spec["containers"][0]["resource"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        core(VERSIONS[-1], pod(spec))


def custom(document: dict[str, Any]) -> None:
    """Raise where its operator's definition has no such field, type or word."""
    described = FIELDS[document["kind"]]
    assert document["apiVersion"] == described["apiVersion"]
    assert ("namespace" in document["metadata"]) is described["namespaced"]
    jsonschema.validate(document["spec"], described["spec"])


def test_custom_resources_have_the_fields_that_their_operators_publish():
    documents = [document for document in objects() if document["kind"] in FIELDS]
    kinds = {"RayCluster", "RayJob", "PodMonitor", "ClusterQueue", "LocalQueue", "ResourceFlavor"}
    assert {document["kind"] for document in documents} == kinds
    for document in documents:
        custom(document)


@pytest.mark.parametrize("components", [("redis",), ("kueue",), ("redis", "kueue")], ids="+".join)
def test_the_cluster_with_what_is_optional_has_them_too(components):
    custom(ray_cluster(*components))


def test_a_field_that_an_operator_does_not_have_is_found():
    with pytest.raises(jsonschema.ValidationError):
        custom(merged(ray_cluster(), {"spec": {"autoscalerOptions": {"version": "v3"}}}))
    with pytest.raises(jsonschema.ValidationError):
        custom(merged(ray_cluster(), {"spec": {"authOption": {"mode": "token"}}}))


def test_every_file_is_taken_in_by_a_kustomization():
    for folder in (KUBERAY, KUBERAY / "redis", KUBERAY / "kueue"):
        said = yaml.safe_load((folder / "kustomization.yaml").read_text())
        named = {*said["resources"], *(patch["path"] for patch in said.get("patches", []))}
        there = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml", "farm.yaml", "rayjob.yaml"}
        assert named == there, folder


# ---- what Ray makes of it ------------------------------------------------------------------------------------------


def groups() -> dict[str, dict[str, Any]]:
    return {group["groupName"]: group for group in ray_cluster()["spec"]["workerGroupSpecs"]}


def test_ray_reads_from_it_exactly_the_node_types_that_the_farm_believes_in():
    config = autoscaling_config._derive_autoscaling_config_from_ray_cr(ray_cluster())
    types = dict(config["available_node_types"])
    head = types.pop(config["head_node_type"])
    assert head["resources"]["CPU"] == 0
    assert "GPU" not in head["resources"]
    settings = farm("kuberay")
    assert list(types) == list(settings.node_types)
    for name, believed in settings.node_types.items():
        started = types[name]
        resources = {"CPU": believed.cpus, "memory": believed.memory_gib * GIB}
        if believed.gpus:
            resources |= {"GPU": believed.gpus, f"accelerator_type:{believed.accelerator}": 1}
        assert started["resources"] == resources, name
        assert (started["min_workers"], started["max_workers"]) == (believed.min_nodes, believed.max_nodes), name
        assert started["labels"] == labels_of(name, believed), name
        assert started["priority"] == (10 if believed.market == "spot" else 0), name
    assert config["idle_timeout_minutes"] * 60 <= settings.scaling.idle_s


def test_a_pod_gets_what_ray_gives_out_and_goes_where_it_is():
    for name, believed in farm("kuberay").node_types.items():
        spec = groups()[name]["template"]["spec"]
        (container,) = spec["containers"]
        size = {"cpu": f"{believed.cpus:g}", "memory": f"{believed.memory_gib:g}Gi"}
        if believed.gpus:
            size["nvidia.com/gpu"] = str(believed.gpus)
        assert container["resources"] == {"requests": size, "limits": size}, name
        assert spec["nodeSelector"] == {NODE_TYPE_LABEL: name}
        tolerated = {toleration["key"] for toleration in spec.get("tolerations", [])}
        wanted = {"nvidia.com/gpu"} if believed.gpus else set()
        wanted |= {"ancestra/market"} if believed.market == "spot" else set()
        assert tolerated == wanted, name


def test_every_pod_runs_this_version_of_the_farm_and_of_ray():
    cluster = ray_cluster()["spec"]
    assert cluster["rayVersion"] == ray.__version__
    images = {spec["containers"][0]["image"] for name, spec in pod_specs().items() if name != "redis"}
    assert images == {f"registry.example.com/ancestra-farm:{__version__}"}


def test_ray_asks_for_its_token_and_grows_by_the_second_autoscaler():
    cluster = ray_cluster()["spec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["version"] == "v2"
    # What KubeRay refuses: labels and sizes said twice, and pods that are restarted in place.
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        assert not {"num-cpus", "num-gpus", "memory", "resources", "labels"} & set(group["rayStartParams"])
        assert group["template"]["spec"].get("restartPolicy", "Never") == "Never"


def test_weights_lie_on_the_nodes_own_disk():
    for name, spec in pod_specs().items():
        if name in ("submitter", "redis"):
            continue
        container = spec["containers"][0]
        assert {"name": "ANCESTRA_CACHE", "value": "/cache"} in container["env"]
        assert {"name": "cache", "mountPath": "/cache"} in container["volumeMounts"]
        (cache,) = [volume for volume in spec["volumes"] if volume["name"] == "cache"]
        assert cache["emptyDir"]["sizeLimit"]


def test_the_job_of_the_manifest_is_known_to_whoever_submits_and_never_costs_the_cluster():
    spec = one("RayJob")["spec"]
    words = shlex.split(spec["entrypoint"])
    assert words[:3] == ["python", "-m", "ancestra_farm.farm.job"]
    assert spec["metadata"] == {STORE_KEY: words[words.index("--store") + 1]}
    # KubeRay retries a job by making its cluster anew, and this one belongs to everybody (kuberay issue 4516).
    assert spec["backoffLimit"] == 0
    assert spec["submitterConfig"]["backoffLimit"] > 0
    assert spec["submitterPodTemplate"]["spec"]["restartPolicy"] == "Never"


# ---- who gets in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", pod_specs())
def test_no_pod_may_be_more_than_it_needs(name):
    """What the namespace enforces (Pod Security, restricted), so that no pod is refused there."""
    spec = pod_specs()[name]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    allowed = {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim", "ephemeral"}
    assert all(set(volume) - {"name"} <= allowed for volume in spec.get("volumes", []))
    assert not spec.get("hostNetwork")
    if name != "head":  # its autoscaler asks Kubernetes for pods
        assert spec["automountServiceAccountToken"] is False


def test_the_namespace_refuses_pods_that_may_be_more():
    labels = one("Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    sidecar = ray_cluster()["spec"]["autoscalerOptions"]["securityContext"]
    assert sidecar["allowPrivilegeEscalation"] is False
    assert sidecar["capabilities"] == {"drop": ["ALL"]}


#: Who there is, as a policy sees them: namespace, and labels of the pod.
HEAD = ("ancestra", {"ray.io/cluster": "farm", "ray.io/node-type": "head"})
WORKER = ("ancestra", {"ray.io/cluster": "farm", "ray.io/node-type": "worker"})
SUBMITTER = ("ancestra", {"ray.io/originated-from-crd": "RayJob", "ray.io/originated-from-cr-name": "farm"})
OPERATOR = ("kuberay-system", {"app.kubernetes.io/name": "kuberay-operator"})
PROMETHEUS = ("monitoring", {"app.kubernetes.io/name": "prometheus"})
STRANGER = ("default", {"app": "shell"})
NEIGHBOUR = ("ancestra", {"app": "shell"})
REDIS = ("ancestra", {"app.kubernetes.io/name": "redis", "app.kubernetes.io/part-of": "ancestra-farm"})
DNS = ("kube-system", {"k8s-app": "kube-dns"})

Peer = tuple[str, dict[str, str]]


def matches(selector: dict[str, Any] | None, labels: dict[str, str]) -> bool:
    assert not set(selector or {}) - {"matchLabels"}
    return selector is None or (selector.get("matchLabels") or {}).items() <= labels.items()


def is_peer(said: dict[str, Any], other: Peer, own_namespace: str) -> bool:
    """Whether one entry of ``from`` or ``to`` means this pod. Blocks of addresses mean no pod."""
    if "ipBlock" in said:
        return False
    namespace, labels = other
    if "namespaceSelector" in said:
        of_namespace = matches(said["namespaceSelector"], {"kubernetes.io/metadata.name": namespace})
    else:
        of_namespace = namespace == own_namespace
    return of_namespace and matches(said.get("podSelector"), labels)


def lets(direction: str, here: Peer, other: Peer, port: int) -> bool:
    """Whether the policies of a pod let it be reached by another (Ingress), or reach it (Egress), at a TCP port."""
    policies = [
        document["spec"]
        for document in objects()
        if document["kind"] == "NetworkPolicy"
        and document["metadata"]["namespace"] == here[0]
        and matches(document["spec"]["podSelector"], here[1])
        and direction in document["spec"]["policyTypes"]
    ]
    if not policies:
        return True
    rules, side = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    return any(
        (not rule.get(side) or any(is_peer(said, other, here[0]) for said in rule[side]))
        and (not rule.get("ports") or any(said["port"] == port and said["protocol"] == "TCP" for said in rule["ports"]))
        for policy in policies
        for rule in policy.get(rules, [])
    )


def reaches(one_: Peer, other: Peer, port: int) -> bool:
    return lets("Egress", one_, other, port) and lets("Ingress", other, one_, port)


GCS, DASHBOARD, CLIENT, DOOR, METRICS, REDIS_PORT = 6379, 8265, 10001, 8470, 8080, 6379
RAY_PORTS = (GCS, DASHBOARD, CLIENT, DOOR, METRICS, 8076, 8077, 8078, 8079, 52365, 10100, 19999, 44217, 44227)


@pytest.mark.parametrize("port", RAY_PORTS)
def test_the_pods_of_the_cluster_reach_each_other(port):
    assert reaches(WORKER, HEAD, port)
    assert reaches(HEAD, WORKER, port)


@pytest.mark.parametrize("port", RAY_PORTS)
@pytest.mark.parametrize("outsider", [STRANGER, NEIGHBOUR, REDIS, DNS], ids=["stranger", "neighbour", "redis", "dns"])
def test_nobody_else_reaches_them(port, outsider):
    assert not lets("Ingress", HEAD, outsider, port)
    assert not lets("Ingress", WORKER, outsider, port)


def test_jobs_are_submitted_by_the_operator_and_its_submitter_only_and_reach_nothing_else():
    assert lets("Ingress", HEAD, OPERATOR, DASHBOARD)
    assert reaches(SUBMITTER, HEAD, DASHBOARD)
    for port in set(RAY_PORTS) - {DASHBOARD}:
        assert not lets("Ingress", HEAD, OPERATOR, port)
        assert not reaches(SUBMITTER, HEAD, port)
    assert not lets("Ingress", WORKER, OPERATOR, DASHBOARD)


def test_prometheus_reaches_metrics_and_nothing_else():
    open_to_it = {METRICS, 44217, 44227, DOOR}
    assert {port for port in RAY_PORTS if lets("Ingress", HEAD, PROMETHEUS, port)} == open_to_it


def test_pods_reach_no_metadata_address_and_nothing_inside_but_names():
    (outwards,) = [
        document["spec"]
        for document in objects("networkpolicy.yaml")
        if document["kind"] == "NetworkPolicy" and document["metadata"]["name"] == "outwards"
    ]
    blocks = [said["ipBlock"] for rule in outwards["egress"] for said in rule["to"] if "ipBlock" in said]
    assert blocks == [{"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}]
    assert lets("Egress", WORKER, DNS, 53)
    assert not lets("Egress", WORKER, STRANGER, 8000)
    assert not lets("Egress", NEIGHBOUR, HEAD, GCS)


def test_redis_is_the_clusters_alone():
    assert reaches(HEAD, REDIS, REDIS_PORT)
    for outsider in (STRANGER, NEIGHBOUR, PROMETHEUS, SUBMITTER):
        assert not lets("Ingress", REDIS, outsider, REDIS_PORT)
    reference = {"name": "redis", "key": "password"}
    options = ray_cluster("redis")["spec"]["gcsFaultToleranceOptions"]
    assert options["redisPassword"] == {"valueFrom": {"secretKeyRef": reference}}
    (container,) = pod_specs()["redis"]["containers"]
    assert container["env"] == [{"name": "REDIS_PASSWORD", "valueFrom": {"secretKeyRef": reference}}]
    (service,) = [document for document in objects("redis/redis.yaml") if document["kind"] == "Service"]
    assert options["redisAddress"] == f"{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    assert not [document for document in objects() if document["kind"] == "Secret"]


# ---- who is looked at, and who waits in line -----------------------------------------------------------------------


def test_prometheus_scrapes_ports_that_the_pods_have():
    by_kind = {"head": pod_specs()["head"], "worker": pod_specs()["l4"]}
    for monitor in [document for document in objects() if document["kind"] == "PodMonitor"]:
        kind = monitor["spec"]["selector"]["matchLabels"]["ray.io/node-type"]
        assert monitor["spec"]["selector"]["matchLabels"]["ray.io/cluster"] == ray_cluster()["metadata"]["name"]
        named = {port["name"] for port in by_kind[kind]["containers"][0].get("ports", [])}
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            # KubeRay gives every Ray container a port of this name where it has none.
            assert endpoint["port"] in named | {"metrics"}


def test_the_farms_own_metrics_are_scraped_over_tls_and_with_a_token():
    (head,) = [one_ for one_ in objects("podmonitor.yaml") if one_["metadata"]["name"] == "farm-head"]
    door = next(point for point in head["spec"]["podMetricsEndpoints"] if point["port"] == "door")
    assert (door["scheme"], door["path"]) == ("https", "/v1/metrics")
    assert door["authorization"]["credentials"] == {"name": "farm-prometheus", "key": "token"}


def test_the_queue_lets_in_what_the_farm_may_have_and_no_more():
    queue = one("ClusterQueue")["spec"]
    (group,) = queue["resourceGroups"]
    flavors = {
        flavor["name"]: {it["name"]: it["nominalQuota"] for it in flavor["resources"]} for flavor in group["flavors"]
    }
    labels = {
        one_["metadata"]["name"]: one_["spec"]["nodeLabels"] for one_ in objects() if one_["kind"] == "ResourceFlavor"
    }
    assert set(flavors) == set(labels)
    for name, believed in farm("kuberay").node_types.items():
        assert labels[f"farm-{name}"] == groups()[name]["template"]["spec"]["nodeSelector"]
        assert flavors[f"farm-{name}"] == {
            "cpu": f"{believed.cpus * believed.max_nodes:g}",
            "memory": f"{believed.memory_gib * believed.max_nodes:g}Gi",
            "nvidia.com/gpu": str(believed.gpus * believed.max_nodes),
        }
    assert all(set(flavor) == set(group["coveredResources"]) for flavor in flavors.values())


def test_a_cluster_in_the_queue_may_still_scale():
    metadata = ray_cluster("kueue")["metadata"]
    assert metadata["labels"]["kueue.x-k8s.io/queue-name"] == one("LocalQueue")["metadata"]["name"]
    assert metadata["annotations"]["kueue.x-k8s.io/elastic-job"] == "true"
    assert one("LocalQueue")["spec"]["clusterQueue"] == one("ClusterQueue")["metadata"]["name"]


def test_the_namespace_holds_no_more_than_the_farm_at_its_largest():
    settings = farm("kuberay").node_types.values()
    hard = one("ResourceQuota")["spec"]["hard"]
    assert int(hard["requests.nvidia.com/gpu"]) == sum(kind.gpus * kind.max_nodes for kind in settings)
    pods = sum(kind.max_nodes for kind in settings)
    assert pods + 3 <= int(hard["pods"]) <= pods + 12  # head, Redis, submitter, and pods that are just ending


def test_the_job_goes_to_the_cluster_and_shows_its_door_to_the_pods_network_only():
    job = one("RayJob")["spec"]
    assert job["clusterSelector"] == {"ray.io/cluster": ray_cluster()["metadata"]["name"]}
    words = job["entrypoint"].split()
    assert words[:3] == ["python", "-m", "ancestra_farm.farm.job"]
    assert words[words.index("--listen") + 1] == "0.0.0.0:8470"
