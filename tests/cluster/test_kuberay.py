"""The Kubernetes objects against their published schemas, Ray's own reading of them, and what the farm is told."""

import json
import re
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
from ancestra_farm.farm import notify
from ancestra_farm.farm.job import STORE_KEY
from tests.cluster.manifests import CLUSTER, KUBERAY, farm, merged, objects, one, pod_specs, ray_cluster
from tests.cluster.test_kuberay_network import DOOR, HEAD, lets
from tests.cluster.test_launchers import labels_of

GIB = 2**30
#: What may be taken in beside the cluster, each with what it needs.
COMPONENTS = ("prometheus", "redis", "kueue")
DASHBOARDS = CLUSTER.parent / "dashboards"
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
    for folder in (KUBERAY, *(KUBERAY / name for name in COMPONENTS)):
        said = yaml.safe_load((folder / "kustomization.yaml").read_text())
        named = {*said["resources"], *(patch["path"] for patch in said.get("patches", []))}
        there = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml", "farm.yaml", "rayjob.yaml"}
        assert named == there, folder
    (optional,) = re.findall(r"^# components: \[([^]]+)\]", (KUBERAY / "kustomization.yaml").read_text(), re.MULTILINE)
    assert tuple(optional.split(", ")) == COMPONENTS


def test_what_is_applied_as_it_stands_wants_no_operator_but_kuberay():
    """One kind that a cluster does not know, and `kubectl apply` of the whole folder fails."""
    taken = yaml.safe_load((KUBERAY / "kustomization.yaml").read_text())["resources"]
    assert {document["kind"] for document in objects(*taken)} - core_kinds() == {"RayCluster"}


def core_kinds() -> set[str]:
    return {document["kind"] for document in objects()} - FIELDS.keys()


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
        # The second is AKS's own, on every spot pool.
        wanted |= {"ancestra/market", "kubernetes.azure.com/scalesetpriority"} if believed.market == "spot" else set()
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


def test_what_shows_are_told_by_lies_on_the_head_as_whoever_tells_them_wants_it(tmp_path, monkeypatch):
    head = pod_specs()["head"]
    (volume,) = [volume for volume in head["volumes"] if volume["name"] == "notify"]
    (mount,) = [mount for mount in head["containers"][0]["volumeMounts"] if mount["name"] == "notify"]
    assert volume["secret"]["optional"] is True
    assert {"name": notify.FOLDER_VARIABLE, "value": mount["mountPath"]} in head["containers"][0]["env"]
    assert all(mount["name"] != "notify" for mount in pod_specs()["l4"]["containers"][0]["volumeMounts"])
    for name in ("page", "studio.secret"):
        (tmp_path / name).write_text("s" * notify.SHORTEST_SECRET)
        (tmp_path / name).chmod(volume["secret"]["defaultMode"])
    monkeypatch.setenv(notify.FOLDER_VARIABLE, str(tmp_path))
    assert notify.secret("studio")
    assert notify.program("page")


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
    (head,) = [one_ for one_ in objects("prometheus/podmonitor.yaml") if one_["metadata"]["name"] == "farm-head"]
    door = next(point for point in head["spec"]["podMetricsEndpoints"] if point["port"] == "door")
    assert (door["scheme"], door["path"]) == ("https", "/v1/metrics")
    assert door["authorization"]["credentials"] == {"name": "farm-prometheus", "key": "token"}


def test_rules_and_dashboards_come_as_the_prometheus_operator_and_its_grafana_want_them():
    made = yaml.safe_load((DASHBOARDS / "kustomization.yaml").read_text())
    rule = yaml.safe_load((DASHBOARDS / "prometheus" / "prometheusrule.yaml").read_text())
    assert made["resources"] == ["prometheus/prometheusrule.yaml"]
    custom(merged(rule, {"metadata": {"namespace": made["namespace"]}}))
    assert rule["spec"] == yaml.safe_load((DASHBOARDS / "prometheus" / "rules" / "ancestra.rules.yml").read_text())
    monitors = [document for document in objects() if document["kind"] == "PodMonitor"]
    assert all(document["metadata"]["labels"] == rule["metadata"]["labels"] for document in monitors)
    assert lets("Ingress", HEAD, (made["namespace"], {}), DOOR)
    assert made["generatorOptions"]["labels"] == {"grafana_dashboard": "1"}
    shown = [file for it in made["configMapGenerator"] for file in it["files"]]
    assert {f"{file}" for file in shown} == {
        str(path.relative_to(DASHBOARDS)) for path in (DASHBOARDS / "grafana" / "dashboards").glob("*.json")
    }
    # `kubectl apply` notes the whole object in an annotation, and annotations end at 256 KiB.
    assert all(len(it["files"]) == 1 for it in made["configMapGenerator"])
    assert all(2 * (DASHBOARDS / file).stat().st_size < 2**18 for file in shown)


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
