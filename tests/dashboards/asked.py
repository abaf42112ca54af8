"""Everything that dashboards and rules ask Prometheus, taken apart."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import promql_parser as promql

from ancestra_farm.telemetry.boards.board import Board, Panel
from ancestra_farm.telemetry.boards.files import BOARDS
from ancestra_farm.telemetry.boards.rules import ALERTS, RECORDINGS

#: What Grafana puts in place of its own variables; ours stand for everything.
GRAFANA = {"$__rate_interval": "1m", "$__range": "1h"}


@dataclass(frozen=True)
class Asked:
    """One expression, and where it stands."""

    where: str
    expr: str


@dataclass(frozen=True)
class Selected:
    """A selector inside an expression: its metric, the labels it matches, and the functions around it, inmost last."""

    metric: str
    labels: frozenset[str]
    inside: tuple[str, ...]
    by: frozenset[str]


def filled(expr: str) -> str:
    """An expression with every choice of its board at "All"."""
    for name, value in GRAFANA.items():
        expr = expr.replace(name, value)
    return re.sub(r"\$(\w+)", ".*", expr)


def panels() -> Iterator[tuple[Board, Panel]]:
    for board in BOARDS:
        for row in board.rows:
            for panel in row.panels:
                yield board, panel


def of_panels() -> list[Asked]:
    return [Asked(f"{board.uid}: {panel.title}", query.expr) for board, panel in panels() for query in panel.queries]


def of_rules() -> list[Asked]:
    return [Asked(rule.name, rule.expr) for rule in (*RECORDINGS, *ALERTS)]


def selectors(expr: str) -> list[Selected]:
    """Every selector of an expression, outermost first."""
    return list(_walk(promql.parse(filled(expr)), (), frozenset()))


def _walk(node: promql.Expr, inside: tuple[str, ...], by: frozenset[str]) -> Iterator[Selected]:
    match node:
        case promql.VectorSelector():
            labels = {matcher.name for matcher in node.matchers.matchers}
            yield Selected(node.name, frozenset(labels), inside, by)
        case promql.MatrixSelector():
            yield from _walk(node.vector_selector, (*inside, "range"), by)
        case promql.Call():
            for argument in node.args:
                yield from _walk(argument, (*inside, node.func.name), by)
        case promql.AggregateExpr():
            grouped = frozenset(node.modifier.labels) if node.modifier is not None else frozenset()
            yield from _walk(node.expr, (*inside, str(node.op)), by | grouped)
        case promql.BinaryExpr():
            yield from _walk(node.lhs, inside, by)
            yield from _walk(node.rhs, inside, by)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            yield from _walk(node.expr, inside, by)
        case _:
            pass
