"""Boards as the JSON that Grafana reads (schema version 39: Grafana 10.4 and later; 9.5 and 10.1 read it too).

Only keys that Grafana's own schema has are written; a test holds every dashboard against it.
"""

from collections.abc import Iterable, Sequence
from string import ascii_uppercase
from typing import Any

from ancestra_farm.telemetry.boards.board import COLOURS, Board, Colour, Column, Panel, Query, Row, Threshold, Variable

SCHEMA_VERSION = 39
WIDTH = 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
#: Panels that say how things stand: asked for now only, since the last value of a range outlives whoever told it.
_NOW = frozenset({"stat", "bars", "table"})
_TYPES = {"lines": "timeseries", "stack": "timeseries", "share": "timeseries", "bars": "bargauge"}
#: How Grafana's own time-series panel stacks.
_STACKING = {"lines": "none", "stack": "normal", "share": "percent"}

Json = dict[str, Any]


def dashboard_of(board: Board, others: Sequence[Board] = ()) -> Json:
    """A board as Grafana's JSON. ``others``: boards that it links to."""
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.about,
        "tags": ["ancestra"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": board.refresh,
        "time": {"from": board.since, "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [_alerts_on_graphs()]},
        "templating": {"list": [_datasource(), *map(_variable, board.variables)]},
        "links": [_link(other) for other in others if other.uid != board.uid],
        "panels": list(_laid_out(board.rows)),
    }


def _datasource() -> Json:
    """The same name as in Ray's dashboards, so that a link between them keeps it."""
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus", "hide": 0}


def _variable(variable: Variable) -> Json:
    every = {"text": ["All"], "value": ["$__all"]} if variable.many else {"text": "All", "value": "$__all"}
    return {
        "name": variable.name,
        "type": "query",
        "label": variable.caption,
        "description": variable.about,
        "datasource": _SOURCE,
        "query": f"label_values({variable.series}, {variable.label})",
        "refresh": 2,
        "sort": 1,
        "multi": variable.many,
        "includeAll": True,
        "allValue": variable.every,
        "current": {"selected": True, **every},
        "hide": 0,
    }


def _alerts_on_graphs() -> Json:
    """Where an alert fired, a mark on every graph."""
    return {
        "name": "Alerts",
        "enable": True,
        "hide": False,
        "iconColor": "red",
        "datasource": _SOURCE,
        "expr": 'ALERTS{alertname=~"Ancestra.*", alertstate="firing"}',
        "titleFormat": "{{alertname}}",
    }


def _link(board: Board) -> Json:
    return {
        "title": board.title,
        "type": "link",
        "url": f"/d/{board.uid}",
        "icon": "dashboard",
        "tooltip": board.about,
        "tags": [],
        "asDropdown": False,
        "targetBlank": False,
        "includeVars": True,
        "keepTime": True,
    }


# ---- layout ----------------------------------------------------------------------------------------------------------


def _laid_out(rows: Iterable[Row]) -> Iterable[Json]:
    """Rows and panels with their places; panels of a folded row stand inside it."""
    y, number = 0, 0
    for row in rows:
        number += 1
        heading: Json = {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": row.folded,
            "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
            "panels": [],
        }
        y += 1
        panels: list[Json] = []
        x = tallest = 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            number += 1
            panels.append(_panel(panel, number, {"x": x, "y": y, "w": panel.width, "h": panel.height}))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
        if row.folded:
            heading["panels"] = panels
            yield heading
        else:
            yield heading
            yield from panels


def _panel(panel: Panel, number: int, place: Json) -> Json:
    made: Json = {
        "id": number,
        "type": _TYPES.get(panel.kind, panel.kind),
        "title": panel.title,
        "description": panel.about,
        "gridPos": place,
        "options": _OPTIONS[panel.kind](panel),
    }
    if panel.kind == "text":
        return made
    made |= {
        "datasource": _SOURCE,
        "targets": [_target(panel, number, query) for number, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": list(_overrides(panel))},
    }
    if panel.kind == "table":
        made["transformations"] = _joined(panel)
    return made


def _target(panel: Panel, number: int, query: Query) -> Json:
    now = panel.kind in _NOW
    formats = {"table": "table", "heatmap": "heatmap"}
    return {
        "refId": ascii_uppercase[number],
        "datasource": _SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "format": formats.get(panel.kind, "time_series"),
        "instant": now,
        "range": not now,
        "editorMode": "code",
    }


# ---- how values look -------------------------------------------------------------------------------------------------


def _thresholds(base: Colour, thresholds: Iterable[Threshold]) -> Json:
    steps: list[Json] = [{"value": None, "color": base}]
    steps += [{"value": threshold.at, "color": threshold.colour} for threshold in thresholds]
    return {"mode": "absolute", "steps": steps}


def _defaults(panel: Panel) -> Json:
    coloured = panel.kind in {"stat", "bars", "table"}
    made: Json = {
        "unit": panel.unit,
        "color": {"mode": "thresholds" if coloured else "palette-classic"},
        "thresholds": _thresholds(panel.base, panel.thresholds),
        "mappings": [],
    }
    if panel.kind != "table":
        made |= {name: value for name, value in (("min", panel.low), ("max", panel.high)) if value is not None}
    if panel.decimals is not None:
        made["decimals"] = panel.decimals
    if panel.empty:
        made["noValue"] = panel.empty
    if panel.kind in _STACKING:
        made["custom"] = {
            "drawStyle": "line",
            "lineInterpolation": "linear",
            "lineWidth": 2 if panel.kind == "lines" else 1,
            "fillOpacity": 8 if panel.kind == "lines" else 60,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": _STACKING[panel.kind], "group": "A"},
            "thresholdsStyle": {"mode": "line" if panel.thresholds else "off"},
        }
    return made


def _overrides(panel: Panel) -> Iterable[Json]:
    for name in panel.paint:
        yield _override(name, [{"id": "color", "value": {"mode": "fixed", "fixedColor": COLOURS[name]}}])
    for column in panel.columns:
        yield _override(column.name, _column_properties(column))


def _override(name: str, properties: list[Json]) -> Json:
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}


def _column_properties(column: Column) -> list[Json]:
    properties: list[Json] = [{"id": "unit", "value": column.unit}]
    if column.decimals is not None:
        properties.append({"id": "decimals", "value": column.decimals})
    if column.thresholds:
        properties += [
            {"id": "thresholds", "value": _thresholds("text", column.thresholds)},
            {"id": "custom.cellOptions", "value": {"type": "color-text"}},
        ]
    return properties


def _joined(panel: Panel) -> list[Json]:
    """All answers in one table, a line for each set of keys, with columns in order and the rest left out."""
    answers = {f"Value #{ascii_uppercase[column.query]}": column.name for column in panel.columns}
    order = [*panel.keys, *answers]
    return [
        {"id": "merge", "options": {}},
        {"id": "filterFieldsByName", "options": {"include": {"names": order}}},
        {
            "id": "organize",
            "options": {
                "indexByName": {name: place for place, name in enumerate(order)},
                "renameByName": answers,
                "excludeByName": {},
            },
        },
    ]


# ---- options of each kind of panel -----------------------------------------------------------------------------------


def _last(_panel: Panel) -> Json:
    return {"calcs": ["lastNotNull"], "fields": "", "values": False}


def _stat(panel: Panel) -> Json:
    return {
        "reduceOptions": _last(panel),
        "colorMode": "background" if panel.thresholds else "value",
        "graphMode": "none",
        "textMode": "value_and_name" if panel.by_name else "value",
        "justifyMode": "center",
        "orientation": "auto",
    }


def _bars(panel: Panel) -> Json:
    return {
        "reduceOptions": _last(panel),
        "displayMode": "basic",
        "orientation": "horizontal",
        "showUnfilled": True,
        "valueMode": "color",
    }


def _graph(panel: Panel) -> Json:
    side = len(panel.queries) > 1 or bool(panel.queries[0].legend)
    return {
        "legend": {
            "showLegend": side,
            "displayMode": "table" if side else "list",
            "placement": "right" if panel.width >= 12 else "bottom",
            "calcs": ["lastNotNull"],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _table(panel: Panel) -> Json:
    return {"showHeader": True, "cellHeight": "sm", "sortBy": [{"displayName": panel.keys[0], "desc": False}]}


def _text(panel: Panel) -> Json:
    return {"mode": "markdown", "content": panel.text}


def _heatmap(panel: Panel) -> Json:
    return {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 32, "exponent": 0.5, "fill": "dark-orange"},
        "yAxis": {"axisPlacement": "left", "unit": panel.unit, "reverse": False},
        "tooltip": {"show": True, "yHistogram": True},
        "legend": {"show": False},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
    }


_OPTIONS = {
    "stat": _stat,
    "bars": _bars,
    "lines": _graph,
    "stack": _graph,
    "share": _graph,
    "table": _table,
    "text": _text,
    "heatmap": _heatmap,
}
