"""The files that Prometheus and Grafana are given, by their path in a folder.

Who wants them writes them: `__main__` for ``dashboards/``, `ancestra dash` for what it starts.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from ancestra_farm.telemetry.boards.batch import BATCH_BOARD
from ancestra_farm.telemetry.boards.board import Board
from ancestra_farm.telemetry.boards.farm import FARM_BOARD
from ancestra_farm.telemetry.boards.grafana import dashboard_of
from ancestra_farm.telemetry.boards.kubernetes import kustomization, prometheus_rule
from ancestra_farm.telemetry.boards.look import LOOK_BOARD
from ancestra_farm.telemetry.boards.metric_table import metric_table
from ancestra_farm.telemetry.boards.rules import rule_groups
from ancestra_farm.telemetry.boards.runbook import runbook
from ancestra_farm.telemetry.boards.scrape import (
    RULES,
    Certificate,
    grafana_provider,
    grafana_source,
    prometheus_config,
)
from ancestra_farm.telemetry.boards.trouble import TROUBLE_BOARD

BOARDS: tuple[Board, ...] = (FARM_BOARD, BATCH_BOARD, TROUBLE_BOARD, LOOK_BOARD)

DASHBOARDS = "grafana/dashboards"
#: Where Grafana's packages and images look for dashboards that are provisioned.
INSTALLED_DASHBOARDS = "/var/lib/grafana/dashboards/ancestra"
PROMETHEUS_URL = "http://127.0.0.1:9090"
_RULE_OBJECT = "prometheus/prometheusrule.yaml"
_MADE = "# Made by `python -m ancestra_farm.telemetry.boards`; change it there.\n"


def dashboard_files() -> dict[str, str]:
    """Every dashboard, by path."""
    return {f"{DASHBOARDS}/{board.uid}.json": _json(dashboard_of(board, BOARDS)) for board in BOARDS}


def prometheus_files(certificate: Certificate | None = None, ray: str | None = None) -> dict[str, str]:
    """``prometheus.yml`` and its rules, by path."""
    config = prometheus_config(certificate) if ray is None else prometheus_config(certificate, ray)
    return {"prometheus/prometheus.yml": _yaml(config), f"prometheus/{RULES}": _yaml(rule_groups())}


def grafana_files(url: str = PROMETHEUS_URL, dashboards: str = INSTALLED_DASHBOARDS) -> dict[str, str]:
    """Grafana's provisioning, by path. ``url``: of Prometheus; ``dashboards``: the folder they lie in for Grafana."""
    return {
        "grafana/provisioning/datasources/ancestra.yaml": _yaml(grafana_source(url)),
        "grafana/provisioning/dashboards/ancestra.yaml": _yaml(grafana_provider(dashboards)),
    }


def kubernetes_files() -> dict[str, str]:
    """The same rules and dashboards for a Prometheus operator and its Grafana, by path."""
    return {
        "kustomization.yaml": _yaml(kustomization(_RULE_OBJECT, list(dashboard_files()))),
        _RULE_OBJECT: _yaml(prometheus_rule(rule_groups())),
    }


def all_files() -> dict[str, str]:
    """Everything that ``dashboards/`` holds as written."""
    return (
        dashboard_files()
        | prometheus_files()
        | grafana_files()
        | kubernetes_files()
        | {"METRICS.md": metric_table(), "RUNBOOK.md": runbook()}
    )


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write files that differ from what is there, each whole: who reads one never sees half of it."""
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_file() and target.read_text(encoding="utf-8") == text:
            continue
        fresh = target.with_name(f".{target.name}.new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(target)


def _json(data: object) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _yaml(data: object) -> str:
    return _MADE + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=116)
