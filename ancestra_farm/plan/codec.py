"""Events as JSON and back: how the log spells what `events` says.

The kind is the class's name, the body one JSON object with every field by its name. Numbers are exact both ways; one
that is not finite is the string ``"NaN"``, ``"Infinity"`` or ``"-Infinity"``, so that the body is JSON to every reader.
"""

from dataclasses import fields, replace
from typing import Any, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from ancestra_farm.plan.events import Event

_CONFIG = ConfigDict(ser_json_inf_nan="strings", extra="forbid")
# pydantic hands its settings down to a plain dataclass only from a type around it; no event is ever None
_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    event.__name__: TypeAdapter(event | None, config=_CONFIG) for event in get_args(Event)
}


class EventUnreadable(ValueError):
    """A body that is not the event it says it is, or a kind that this version does not know."""


def encode_event(event: Event) -> tuple[str, str]:
    """(kind, body). Characters that are no Unicode text (lone surrogates, from odd file names) become ``?``."""
    kind = type(event).__name__
    adapter = _ADAPTERS[kind]
    try:
        body = adapter.dump_json(event)
    except PydanticSerializationError:
        texts: dict[str, Any] = {field.name: _as_text(getattr(event, field.name)) for field in fields(event)}
        body = adapter.dump_json(replace(event, **texts))
    return kind, body.decode()


def decode_event(kind: str, body: str) -> Event:
    """The event. Raises EventUnreadable for an unknown kind, a missing, unknown or ill-typed field, or no JSON."""
    adapter = _ADAPTERS.get(kind)
    if adapter is None:
        raise EventUnreadable(f"there is no event {kind!r}; the log may come from a newer version")
    try:
        event: Event | None = adapter.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "body"
        raise EventUnreadable(f"{kind}: {place}: {first['msg']}") from None
    if event is None:
        raise EventUnreadable(f"{kind}: the body is null")
    return event


def _as_text(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, tuple):
        return tuple(map(_as_text, value))
    if isinstance(value, dict):
        return {_as_text(key): _as_text(inner) for key, inner in value.items()}
    return value
