"""The description of the door in OpenAPI 3.1, made from the table of routes and the models that validate requests."""

from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ancestra_farm import __version__
from ancestra_farm.api.people import RIGHTS, RIGHTS_ON_SHOW
from ancestra_farm.api.problems import KINDS
from ancestra_farm.api.routes import ROWS, Row
from ancestra_farm.api.wire import Problem

_REF = "#/components/schemas/{model}"
#: Problems that every request can meet, those that need a token, and those that have something to be wrong with.
_ALWAYS = ("wrong-host", "malformed", "old-epoch", "invalid", "internal")
_KNOWN = ("unknown-person", "token-ended", "not-allowed")
#: The largest whole number that every reader of JSON has exactly.
MOST_EPOCH = 2**53
_BODY = ("too-large", "too-slow", "not-json", "busy")
_RAW = ("too-large", "too-slow", "not-bytes", "busy")
#: Of those for which a role on a show is enough: the loop is asked for it.
_ON_SHOW = ("leaving", "unknown-outcome")


@cache
def description() -> dict[str, Any]:
    """The whole document."""
    models = list(_models())
    refs, definitions = models_json_schema(models, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for row in ROWS:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, refs, definitions["$defs"])
    kinds = "\n".join(f"- `#{kind.type}` ({kind.status}): {kind.title}." for kind in KINDS.values())
    tables = (RIGHTS.items(), RIGHTS_ON_SHOW.items())
    roles, on_show = (
        "\n".join(f"- {role}: {', '.join(sorted(rights)) or 'nothing'}" for role, rights in table) for table in tables
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ancestra Farm",
            "version": __version__,
            "description": "One controller of one store. What is acknowledged is durable.\n\n"
            f"Rights by role of a token:\n{roles}\n\nRights by role on a show:\n{on_show}\n\n"
            f"Types of problems:\n{kinds}\n",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A person's token, made by `ancestra token issue NAME --role ROLE`.",
                }
            },
            "parameters": {
                "epoch": {
                    "name": "Ancestra-Epoch",
                    "in": "header",
                    "required": False,
                    "description": "The epoch the asker knows of; refused with 409 where another one is at work.",
                    "schema": {"type": "integer", "minimum": 1, "maximum": MOST_EPOCH},
                }
            },
            "headers": {
                "epoch": {
                    "description": "The epoch the controller is at work under.",
                    "schema": {"type": "integer", "minimum": 0},
                }
            },
        },
    }


def _models() -> dict[tuple[type[BaseModel], Any], None]:
    found: dict[tuple[type[BaseModel], Any], None] = {(Problem, "serialization"): None}
    for row in ROWS:
        if row.query is not None:
            found[row.query, "validation"] = None
        if row.body is not None:
            found[row.body, "validation"] = None
        if row.answer is not None:
            found[row.answer, "serialization"] = None
    return found


def _operation(row: Row, refs: dict[Any, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": row.operation_id,
        "summary": row.summary,
        "parameters": [{"$ref": "#/components/parameters/epoch"}, *_parameters(row, refs, definitions)],
        "responses": _responses(row, refs),
    }
    if row.right is None:
        operation["security"] = []
    if row.raw:
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"required": True, "content": content}
    if row.body is not None:
        schema = refs[row.body, "validation"]
        required = bool(definitions[_name(schema)].get("required"))
        operation["requestBody"] = {"required": required, "content": {"application/json": {"schema": schema}}}
    return operation


def _name(ref: dict[str, str]) -> str:
    return ref["$ref"].rpartition("/")[2]


def _parameters(row: Row, refs: dict[Any, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    if row.query is None:
        return []
    schema = definitions[_name(refs[row.query, "validation"])]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _not_null(one)}
        for name, one in schema["properties"].items()
    ]


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is there or not; there is no null in an address."""
    choices = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(choices) != 1:
        return schema
    return {key: value for key, value in schema.items() if key not in {"anyOf", "default"}} | choices[0]


def _responses(row: Row, refs: dict[Any, Any]) -> dict[str, Any]:
    epoch = {"Ancestra-Epoch": {"$ref": "#/components/headers/epoch"}}
    schema = {"type": "string"} if row.answer is None else refs[row.answer, "serialization"]
    media = row.media.partition(";")[0]
    answers: dict[str, Any] = {"200": {"description": "Met.", "headers": epoch, "content": {media: {"schema": schema}}}}
    of_body = _RAW if row.raw else _BODY if row.body else ()
    types = [*_ALWAYS, *(_KNOWN if row.right else ()), *of_body, *row.problems]
    by_status: dict[int, list[str]] = {}
    for type_ in dict.fromkeys([*types, *(_ON_SHOW if row.on_show else ())]):
        by_status.setdefault(KINDS[type_].status, []).append(type_)
    for status, several in sorted(by_status.items()):
        answers[str(status)] = {
            "description": "; ".join(KINDS[type_].title for type_ in several) + ".",
            "headers": epoch,
            "content": {"application/problem+json": {"schema": refs[Problem, "serialization"]}},
        }
    return answers
