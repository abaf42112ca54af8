"""The fields of custom resources, from the definitions that their projects publish: `python -m tests.cluster.condense`.

Descriptions go, and what Kubernetes itself describes (pods, services) is left to its own schemas. What is kept is
enough to refuse a field that is not there, a type or a word that is not allowed, and a required field that is missing.
Give it the source and its version, and the files: KubeRay's `helm-chart/kuberay-operator/crds/*.yaml`, Kueue's
`config/components/crd/bases/*.yaml`, the Prometheus operator's `example/prometheus-operator-crd/*.yaml`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

KEPT = ("type", "enum", "required", "pattern", "minimum", "maximum", "minItems", "maxItems", "maxLength", "minLength")
#: Fields that hold objects of Kubernetes itself: any mapping here, and looked at by `kubernetes_validate` elsewhere.
#: And the cluster inside a job, which has a kind of its own.
CORE = {
    "rayClusterSpec": {"type": "object"},
    "template": {"type": "object"},
    "submitterPodTemplate": {"type": "object"},
    "headService": {"type": "object"},
    "serveService": {"type": "object"},
    "env": {"type": "array"},
    "envFrom": {"type": "array"},
    "securityContext": {"type": "object"},
    "volumeMounts": {"type": "array"},
}


def condensed(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without its words, which allows no field that it does not name."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    kept = {key: schema[key] for key in KEPT if key in schema}
    if "pattern" in kept:  # Go takes flags after the start, Python before it only
        kept["pattern"] = kept["pattern"].replace("^(?i)", "(?i)^")
    if "properties" in schema:
        kept["properties"] = {
            name: CORE[name] if name in CORE else condensed(inner) for name, inner in schema["properties"].items()
        }
        kept["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        kept["additionalProperties"] = condensed(schema["additionalProperties"])
    if "items" in schema:
        kept["items"] = condensed(schema["items"])
    return kept


def main() -> None:
    """Print the record of the files that are named after the source and its version."""
    source, version, *files = sys.argv[1:]
    kinds: dict[str, Any] = {}
    for file in files:
        definition = yaml.safe_load(Path(file).read_text())
        spec = definition["spec"]
        stored = next(version for version in spec["versions"] if version["storage"])
        kinds[spec["names"]["kind"]] = {
            "apiVersion": f"{spec['group']}/{stored['name']}",
            "namespaced": spec["scope"] == "Namespaced",
            "spec": condensed(stored["schema"]["openAPIV3Schema"]["properties"]["spec"]),
        }
    print(json.dumps({"source": source, "version": version, "kinds": kinds}, indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
