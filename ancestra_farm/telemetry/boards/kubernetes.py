"""Rules and dashboards as a Kubernetes cluster takes them: `kubectl apply --kustomize dashboards`.

The Prometheus operator reads rules from objects of its own, and the Grafana that comes with kube-prometheus-stack reads
dashboards from every ConfigMap with a certain label. Who is scraped there stands in cluster/kuberay/prometheus.
"""

from collections.abc import Sequence
from typing import Any

#: Where kube-prometheus-stack is installed, and as what; who calls them otherwise changes both in one place, here.
NAMESPACE = "monitoring"
RELEASE = "prometheus"
#: What Grafana's sidecar looks for, unless told otherwise.
DASHBOARD_LABEL = "grafana_dashboard"


def prometheus_rule(groups: dict[str, Any]) -> dict[str, Any]:
    """The object that holds recording rules and alerts. ``groups``: as in a rule file of Prometheus."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "ancestra-farm", "labels": {"release": RELEASE}},
        "spec": groups,
    }


def kustomization(rule: str, dashboards: Sequence[str]) -> dict[str, Any]:
    """What kustomize makes of it all. ``rule`` and ``dashboards``: paths from the folder of the kustomization.

    One ConfigMap for each dashboard: what `kubectl apply` notes of an object has an end at 256 KiB.
    """
    named = [(path.rpartition("/")[2].removesuffix(".json"), path) for path in dashboards]
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": [rule],
        "generatorOptions": {"disableNameSuffixHash": True, "labels": {DASHBOARD_LABEL: "1"}},
        "configMapGenerator": [{"name": name, "files": [path]} for name, path in named],
    }
