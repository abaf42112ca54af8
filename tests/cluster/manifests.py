"""What lies in cluster/, read: launcher files, the farm.yaml beside each, and the Kubernetes objects."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ancestra_farm.batch.farm_settings import FarmSettings, load_farm_settings

CLUSTER = Path(__file__).parents[2] / "cluster"
KUBERAY = CLUSTER / "kuberay"
CLOUDS = ("aws", "gcp", "azure")
LAUNCHERS = (*CLOUDS, "onprem")
FARMS = {name: CLUSTER / f"{name}.farm.yaml" for name in LAUNCHERS} | {"kuberay": KUBERAY / "farm.yaml"}


@cache
def _read(path: Path) -> list[Any]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]


def launcher(name: str) -> dict[str, Any]:
    """A launcher file as it stands."""
    return copy.deepcopy(_read(CLUSTER / f"{name}.yaml")[0])


def farm(name: str) -> FarmSettings:
    """The settings that go with it."""
    return load_farm_settings(FARMS[name])


def objects(*files: str) -> list[dict[str, Any]]:
    """Every Kubernetes object in these files of kuberay/, or in all of them; patches and kustomizations are none."""
    names = files or tuple(str(path.relative_to(KUBERAY)) for path in sorted(KUBERAY.rglob("*.yaml")))
    found = [document for name in names for document in _read(KUBERAY / name)]
    return [
        copy.deepcopy(document)
        for document in found
        if document.get("kind") not in (None, "Kustomization", "Component") and not is_patch(document)
    ]


def is_patch(document: dict[str, Any]) -> bool:
    """Whether it changes an object rather than being one."""
    return document.get("kind") == "RayCluster" and "headGroupSpec" not in document.get("spec", {})


def one(kind: str, *files: str) -> dict[str, Any]:
    """The only object of its kind."""
    (found,) = [document for document in objects(*files) if document["kind"] == kind]
    return found


def ray_cluster(*components: str) -> dict[str, Any]:
    """The cluster, with the patches of these optional parts."""
    cluster = one("RayCluster")
    for component in components:
        cluster = merged(cluster, _read(KUBERAY / component / "raycluster-patch.yaml")[0])
    return cluster


def merged(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """A JSON merge patch (RFC 7396), which is what kustomize does with custom resources."""
    result = dict(base)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merged(result[key] if isinstance(result.get(key), dict) else {}, value)
        else:
            result[key] = value
    return result


def pod_specs() -> dict[str, dict[str, Any]]:
    """Every pod that the manifests describe, by what it is."""
    cluster = ray_cluster()["spec"]
    specs = {"head": cluster["headGroupSpec"]["template"]["spec"]}
    specs |= {group["groupName"]: group["template"]["spec"] for group in cluster["workerGroupSpecs"]}
    specs["submitter"] = one("RayJob")["spec"]["submitterPodTemplate"]["spec"]
    specs["redis"] = one("StatefulSet")["spec"]["template"]["spec"]
    return specs
