"""The alerts as a page for people: what each means, and what to do."""

import re

from ancestra_farm.telemetry.boards.rules import ALERTS, Alert

_HEAD = """# Runbook

Made by `python -m ancestra_farm.telemetry.boards` from `ancestra_farm/telemetry/boards/rules.py`; change it there.

`critical` wants somebody now, `warning` today, `info` is for those it concerns. *held*: how long it has to be so.
The expressions stand in `prometheus/rules/ancestra.rules.yml`; each alert carries its line of this page.

| alert | severity | held | what is so | what to do |
|---|---|---|---|---|
"""


def runbook() -> str:
    """Markdown: a line for each alert."""
    return _HEAD + "".join(map(_line, ALERTS))


def _line(alert: Alert) -> str:
    return f"| `{alert.name}` | {alert.severity} | {alert.held} | {_told(alert.summary)} | {alert.runbook} |\n"


def _told(summary: str) -> str:
    """A summary with the names of labels in place of their values."""
    summary = re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"*\1*", summary)
    return re.sub(r"\{\{ \$value[^}]*\}\}", "*n*", summary)
