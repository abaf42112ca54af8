"""The catalogue of metrics as a table for people."""

from ancestra_farm.telemetry.catalogue import CATALOGUE, MetricRow

_HEAD = """# Metrics

Made by `python -m ancestra_farm.telemetry.boards` from `ancestra_farm/telemetry/catalogue.py`; change it there.

All are exported by the controller alone, at its door (`/v1/metrics`, with a token of the role viewer or more) and on
`--metrics-port` (loopback, without a token); those of looks by `ancestra look train --metrics-port`. Counters and
gauges are rebuilt from the log at start, so that a restart shows the same totals; **live** ones are measured by the
running process. Prometheus adds `farm` (from our discovery file), `job` and `instance`.

| metric | type | unit | labels | what it says |
|---|---|---|---|---|
"""


def metric_table() -> str:
    """Markdown: a line for each metric, in the order of the catalogue."""
    return _HEAD + "".join(map(_line, CATALOGUE))


def _line(row: MetricRow) -> str:
    kind = row.type + (" (live)" if row.live else "")
    if row.buckets:
        kind += f", buckets {row.buckets[0]:g}–{row.buckets[-1]:g}"
    labels = ", ".join(f"`{label}`" for label in row.labels)
    return f"| `{row.name}` | {kind} | {row.unit} | {labels} | {row.meaning.replace('|', '/')} |\n"
