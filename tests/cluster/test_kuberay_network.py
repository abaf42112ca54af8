"""Who reaches the pods of the farm, and whom they reach: the NetworkPolicies, read as Kubernetes reads them."""

from typing import Any

import pytest

from tests.cluster.manifests import objects, pod_specs, ray_cluster

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
    open_at = {
        port["port"]: said["ipBlock"]
        for rule in outwards["egress"]
        for said in rule["to"]
        for port in rule["ports"]
        if "ipBlock" in said
    }
    web = {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}
    # Where a cache on the node answers for names, it does so at an address of the link, and as no pod.
    assert open_at == {53: {"cidr": "0.0.0.0/0"}, 443: web, 6443: web}
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
