"""How Prometheus finds and asks farms, and Grafana finds Prometheus: their configuration as data.

A farm is scraped at its door (``/v1/metrics``) with a token of the role viewer. Its address changes with each
controller, so it stands in a discovery file of ours, ``targets/farms.json``, which `ancestra dash` keeps up to date.
Paths are relative to the folder of ``prometheus.yml``.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

#: Slower than the farm's own picture (0.5 s) and faster than anything that alerts; commits come about once a second.
EVERY = "10s"
#: Where Ray writes which of its nodes have metrics, unless its temporary folder is elsewhere.
RAY_DISCOVERY = "/tmp/ray/prom_metrics_service_discovery.json"  # noqa: S108 - Ray's name for it
FARMS = "targets/farms.json"
#: Kept by people, or by whatever starts these: `ancestra look train --metrics-port`, NVIDIA's dcgm-exporter.
LOOKS = "targets/looks.json"
DCGM = "targets/dcgm.json"
RULES = "rules/ancestra.rules.yml"
TOKEN_FILE = "token"  # noqa: S105 - the file, not what is in it
CERTIFICATE_FILE = "door.pem"

SOURCE_UID = "ancestra-prometheus"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a door beyond loopback shows. ``name``: one that the certificate is for, empty: the door's own address."""

    file: str
    name: str = ""


def prometheus_config(certificate: Certificate | None = None, ray: str = RAY_DISCOVERY) -> dict[str, Any]:
    """``prometheus.yml``. ``certificate``: of doors that answer over TLS; ``ray``: Ray's discovery file."""
    farms: dict[str, Any] = {
        "job_name": "ancestra",
        "metrics_path": "/v1/metrics",
        "authorization": {"type": "Bearer", "credentials_file": TOKEN_FILE},
        "file_sd_configs": [{"files": [FARMS], "refresh_interval": EVERY}],
    }
    if certificate is not None:
        farms["tls_config"] = {"ca_file": certificate.file}
        if certificate.name:
            farms["tls_config"]["server_name"] = certificate.name
    return {
        "global": {"scrape_interval": EVERY, "evaluation_interval": "30s"},
        "rule_files": [RULES],
        "scrape_configs": [
            farms,
            {"job_name": "ancestra-look", "file_sd_configs": [{"files": [LOOKS]}]},
            {"job_name": "ray", "file_sd_configs": [{"files": [ray]}]},
            {"job_name": "dcgm", "file_sd_configs": [{"files": [DCGM]}]},
        ],
    }


def targets_of(endpoint: str, farm: str) -> list[dict[str, Any]]:
    """The discovery file of one farm at ``endpoint``, ``http[s]://HOST:PORT``; empty: nobody is at work.

    ``farm``: the name it has on dashboards and in alerts. It stands for the instance too, so that a farm keeps its
    series when its next controller answers at another port.
    """
    if not endpoint:
        return []
    where = urlsplit(endpoint)
    return [{"targets": [where.netloc], "labels": {"farm": farm, "instance": farm, "__scheme__": where.scheme}}]


def farm_name(store_url: str) -> str:
    """What a store's farm is called on dashboards: the last part of its address."""
    return urlsplit(store_url).path.rstrip("/").rpartition("/")[2] or urlsplit(store_url).netloc or "farm"


def grafana_source(url: str) -> dict[str, Any]:
    """The Prometheus at ``url`` as Grafana is told of it."""
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Prometheus (Ancestra)",
                "uid": SOURCE_UID,
                "type": "prometheus",
                "access": "proxy",
                "url": url,
                "isDefault": True,
                "jsonData": {"timeInterval": EVERY, "httpMethod": "POST"},
            }
        ],
    }


def grafana_provider(folder: str) -> dict[str, Any]:
    """Dashboards in ``folder`` as Grafana is told of them."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "ancestra",
                "folder": "Ancestra",
                "type": "file",
                "allowUiUpdates": False,
                "updateIntervalSeconds": 30,
                "options": {"path": folder},
            }
        ],
    }
