"""Stand-ins until `batch.urls` and `plan.codec` are in the tree."""

import dataclasses
import json
import types
import typing
from typing import Any

from ancestra_farm.plan import events
from ancestra_farm.plan.events import Event


def check_store_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator:
        if "::" in url or not url:
            raise ValueError(f"{url!r} is not a store address")
        return url
    if scheme not in {"file", "s3", "gs", "az", "memory"} or "::" in url or "@" in rest:
        raise ValueError(f"{url!r} is not a store address")
    return url


def encode_event(event: Event) -> str:
    return json.dumps(
        {"kind": type(event).__name__, **{f.name: getattr(event, f.name) for f in dataclasses.fields(event)}}
    )


def _fix(value: Any, hint: Any) -> Any:
    origin = typing.get_origin(hint)
    args = typing.get_args(hint)
    if value is None:
        return None
    if origin is types.UnionType or origin is typing.Union:
        return _fix(value, next(a for a in args if a is not type(None)))
    if origin is tuple:
        inner = args[0]
        return tuple(_fix(v, inner) for v in value)
    if origin is dict:
        return {(int(k) if args[0] is int else k): v for k, v in value.items()}
    return value


_CLASSES = {c.__name__: c for c in typing.get_args(Event)}
_HINTS: dict[str, dict[str, Any]] = {n: typing.get_type_hints(c, vars(events)) for n, c in _CLASSES.items()}


def decode_event(body: str) -> Event:
    fields = json.loads(body)
    kind = fields.pop("kind")
    event: Event = _CLASSES[kind](**{k: _fix(v, _HINTS[kind][k]) for k, v in fields.items()})
    return event
