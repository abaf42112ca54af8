"""Pydantic's errors as problems: one sentence for each fault, however many branches of a union it broke.

Pydantic says where in its *schema* a value failed, one error for each member of a union. A person wants to know where
in the *file*, once. So errors are gathered by their place in the document; of a union the branch that the value was
meant for is kept, or, where it fits none, all are said in one sentence.
"""

import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from ancestra_farm.batch.document import MERGE_KEY, Document, Value
from ancestra_farm.batch.numbers import counted
from ancestra_farm.batch.problems import DocumentPath, Problem, did_you_mean, holders, listed, path_text, shown

#: What a pydantic error type asks for, in words that need no Python.
_WANTED: Mapping[str, str] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of settings",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
#: Types of a value in the document and the error type that says a branch wanted another.
_WRONG_TYPE = frozenset(_WANTED) | {"literal_error"}


def problems_of(errors: Sequence[ErrorDetails], document: Document, model: type[BaseModel]) -> list[Problem]:
    """One problem for each fault that pydantic found in ``document.value`` when read as ``model``."""
    groups: dict[DocumentPath, list[ErrorDetails]] = {}
    for error in errors:
        groups.setdefault(document_path(error["loc"], document.value, missing=error["type"] == "missing"), []).append(
            error
        )
    problems: list[Problem] = []
    holding = holders(path[:-1] for path in groups if path)
    refused = {problem.path for problem in document.problems}
    for path, group in groups.items():
        if path in holding and all(_is_a_branch(error, path) for error in group):
            continue  # the branch that was meant says more, further in
        if group[0]["type"] == "missing" and path_text((*path[:-1], MERGE_KEY)) in refused:
            continue  # it may well be in what the refused merge key stood for
        problems.extend(_said(path, group, document, model))
    return problems


def document_path(loc: tuple[str | int, ...], value: Value, *, missing: bool = False) -> DocumentPath:
    """The place in the document that an error location means: its parts that are there, and a missing key at its end.

    The other parts name branches of unions, or say ``[key]``: the error is about the key itself.
    """
    path: list[str | int] = []
    at: Any = value
    for position, part in enumerate(loc):
        in_mapping = isinstance(at, dict) and isinstance(part, str) and part in at
        if in_mapping or (isinstance(at, list) and isinstance(part, int) and part < len(at)):
            path.append(part)
            at = at[part]
        elif missing and position == len(loc) - 1:
            path.append(part)
    return tuple(path)


def known_keys(model: type[BaseModel], path: DocumentPath) -> tuple[str, ...]:
    """The keys that the mapping at ``path`` may have; empty where it may have any, or is no mapping."""
    found = model_at(model, path)
    return tuple(field.alias or name for name, field in found.model_fields.items()) if found else ()


def model_at(model: type[BaseModel], path: DocumentPath) -> type[BaseModel] | None:
    """The model that describes the mapping at ``path`` of a document described by ``model``, if one does."""
    at: object = model
    for part in path:
        at = _inside(at, part)
    return next(_models_in(at), None)


def _inside(annotation: object, part: str | int) -> object:
    """The annotation of what lies at ``part`` in a value of this annotation; None where nothing is known."""
    for branch in _branches(annotation):
        if isinstance(branch, type) and issubclass(branch, BaseModel):
            for name, field in branch.model_fields.items():
                if part == (field.alias or name):
                    return field.annotation
        origin, arguments = typing.get_origin(branch), typing.get_args(branch)
        if (origin is dict and isinstance(part, str)) or (origin is tuple and isinstance(part, int)):
            return arguments[-1] if origin is dict else arguments[0]
    return None


def _branches(annotation: object) -> Iterator[object]:
    """The members of a union, or the annotation itself; without Annotated around them."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _branches(typing.get_args(annotation)[0])
    elif origin in {typing.Union, types.UnionType}:
        for member in typing.get_args(annotation):
            yield from _branches(member)
    else:
        yield annotation


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    return (branch for branch in _branches(annotation) if isinstance(branch, type) and issubclass(branch, BaseModel))


def _is_a_branch(error: ErrorDetails, path: DocumentPath) -> bool:
    """Whether the error is about one branch of a union at ``path``, or counts what the errors further in left out."""
    return len(error["loc"]) > len(path) or error["type"] == "too_short"


def _said(
    path: DocumentPath, group: Sequence[ErrorDetails], document: Document, model: type[BaseModel]
) -> Iterable[Problem]:
    fitting = [error for error in group if error["type"] not in _WRONG_TYPE]
    if not fitting:
        value = group[0]["input"]
        wanted = listed(dict.fromkeys(_wanted(error) for error in group))
        yield document.problem(path, f"{_named(value)} where {wanted} belongs", _type_hint(value, group))
        return
    for error in fitting:
        if error["type"] == "extra_forbidden":
            yield _unknown_key(path, document, model)
        elif error["type"] == "missing":
            owner = path_text(path[:-1]) or "the document"
            yield document.problem(path, "is missing", f"{owner} needs it; {_description(model, path)}".rstrip("; "))
        elif error["type"] == "named_twice":
            yield from _named_twice(error, document)
        else:
            yield document.problem(path, *_sentence(error))


def _named_twice(error: ErrorDetails, document: Document) -> Iterable[Problem]:
    for index in error["ctx"]["positions"]:
        name = document.value["shots"][index]["shot"] if isinstance(document.value, dict) else ""
        yield document.problem(
            ("shots", index, "shot"), f"a second shot is named {name!r}", "each shot has its own name"
        )


def _unknown_key(path: DocumentPath, document: Document, model: type[BaseModel]) -> Problem:
    key = str(path[-1])
    return document.problem(
        path, f"there is no key {key!r} here", did_you_mean(key, known_keys(model, path[:-1]), "keys")
    )


def _description(model: type[BaseModel], path: DocumentPath) -> str:
    owner = model_at(model, path[:-1])
    for name, field in owner.model_fields.items() if owner else ():
        if path[-1] == (field.alias or name):
            return field.description or ""
    return ""


def _wanted(error: ErrorDetails) -> str:
    if error["type"] == "literal_error":
        choices = _choices(error)
        return f"one of {listed(choices)}" if len(choices) > 1 else f"the word {choices[0]}"
    return _WANTED[error["type"]]


def _choices(error: ErrorDetails) -> list[str]:
    return str(error["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", ")


def _named(value: object) -> str:
    return f"the text {shown(value)} stands" if isinstance(value, str) else f"{shown(value)} stands"


def _type_hint(value: object, group: Sequence[ErrorDetails]) -> str:
    """What would be right, where the wrong value suggests what was meant."""
    wanted = {error["type"] for error in group}
    hint = ""
    if "string_type" in wanted:
        if isinstance(value, dict):
            hint = "text that begins with { needs quotes"
        elif isinstance(value, bool | int | float):
            hint = f'put it in quotes: "{shown(value)}"'
    elif wanted == {"literal_error"} and isinstance(value, str):
        near = did_you_mean(value, _choices(group[0]), "choices")
        hint = near if near.startswith("did you mean") else ""
    elif "bool_type" in wanted and isinstance(value, str) and value.strip().lower() in {"yes", "no", "on", "off"}:
        hint = "YAML's words are true and false"
    elif isinstance(value, float) and value.is_integer():
        hint = "write it without a decimal point"
    elif isinstance(value, str) and value.replace(".", "", 1).isdigit():
        hint = "write a number without quotes and leading zeros"
    return hint


#: (message, hint) by error type, for errors that are not about the type of a value.
_SENTENCES: Mapping[str, tuple[str, str]] = {
    "value_error": ("{error}", ""),
    "greater_than_equal": ("{value} is too small", "at least {ge:,}"),
    "greater_than": ("{value} is too small", "more than {gt:,}"),
    "less_than_equal": ("{value} is too large", "at most {le:,}"),
    "less_than": ("{value} is too large", "less than {lt:,}"),
    "string_too_short": ("the text is empty", "write at least {min_length} character"),
    "string_too_long": ("the text is longer than {max_length:,} characters", "shorten it"),
    "too_short": ("{entries} here", "at least {min_length:,}"),
    "too_long": ("{entries} here", "at most {max_length:,}"),
    "string_pattern_mismatch": ("{value} is not written as it should be", "{pattern_words}"),
    "finite_number": ("{value} is not a finite number", ""),
}


def _sentence(error: ErrorDetails) -> tuple[str, str]:
    """(message, hint) for an error that is not about a value's type; pydantic's own words for a new kind."""
    context: dict[str, Any] = dict(error.get("ctx", {}))
    context["value"] = shown(error["input"])
    context["pattern_words"] = _PATTERNS.get(context.get("pattern", ""), f"as in {context.get('pattern')}")
    context["entries"] = counted(context.get("actual_length", 0), "entry", "entries")
    message, hint = _SENTENCES.get(error["type"], (error["msg"].replace("{", "{{").replace("}", "}}"), ""))
    return message.format_map(context), hint.format_map(context)


#: What the patterns of the schema ask for.
_PATTERNS: Mapping[str, str] = {
    r"^[A-Za-z0-9._-]+$": "a name is made of A-Z a-z 0-9 . _ - only; it becomes a file name",
    r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)?$": "a model is named family/model, of A-Z a-z 0-9 . _ -",
    r"^sha256:[0-9a-f]{64}$": "sha256: and 64 hexadecimal digits in lower case",
}
