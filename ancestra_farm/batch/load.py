"""A batch or a model card from its file: read, located, and validated against its schema.

What needs knowledge beyond the one file (model cards, filters, scores) is checked by `check`. A document with faults is
mended for that purpose: what is wrong is taken out or replaced by a stand-in, so that one run finds the faults of both
kinds. A mended batch is never handed out as if it were what somebody wrote.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ancestra_farm.batch.base import Model
from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.document import Document, Value, read_file, read_text
from ancestra_farm.batch.faults import FaultProfile
from ancestra_farm.batch.kinds import of_another_kind
from ancestra_farm.batch.motion import CameraPath, MotionPath
from ancestra_farm.batch.problems import BatchRefused, DocumentPath, Problem, by_line, holders
from ancestra_farm.batch.schema import SCHEMA, Batch
from ancestra_farm.batch.sentences import document_path, model_at, problems_of

AnyModel = TypeVar("AnyModel", bound=Model)

#: Mending may uncover further faults; documents that need more rounds than this are beyond it.
_ROUNDS = 4

_STAND_INS: dict[str, Any] = {
    "schema": SCHEMA,
    "batch": "unnamed",
    "show": "unnamed",
    "role": "text_to_image",
    "model": "unknown",
    "candidates": 1,
    "frames": 1,
    "prompt": {"text": "unknown"},
    "text": "unknown",
    "promote": 1.0,
    "source": "unknown",
    "digest": "sha256:" + "0" * 64,
    "kind": "reference",
    "owner": "unknown",
    "licence": "unknown",
    "consent": {"who": "unknown", "when": "2000-01-01", "scope": ["reference", "publication"]},
    "who": "unknown",
    "when": "2000-01-01",
    "scope": ["reference", "publication"],
}


@dataclass(frozen=True)
class LocatedBatch:
    """A batch with the document it came from.

    ``problems``: faults of syntax and schema. ``broken``: where they are; what stands there (or under it) is not what
    the person wrote. ``batch`` is None where too little could be read to go on.
    """

    document: Document
    batch: Batch | None
    problems: tuple[Problem, ...]
    broken: frozenset[DocumentPath]

    def is_sound(self, path: DocumentPath) -> bool:
        """Whether no fault lies at ``path``, in it, or around it."""
        around = (path[:length] for length in range(len(path) + 1))
        return path not in self._holders and self.broken.isdisjoint(around)

    @cached_property
    def _holders(self) -> frozenset[DocumentPath]:
        """The broken places and everything that holds one."""
        return frozenset(holders(self.broken))


def load_batch(path: Path | str) -> Batch:
    """The batch in a file. Raises BatchRefused with every fault of syntax and schema, by line."""
    return accepted(read_file(Path(path)), Batch)


def read_batch(text: str, name: str) -> Batch:
    """The batch in ``text``; ``name`` stands for the file in problems. Raises BatchRefused."""
    return accepted(read_text(text, name), Batch)


def load_card(path: Path | str) -> ModelCard:
    """The model card in a file. Raises BatchRefused with every fault, by line."""
    return accepted(read_file(Path(path)), ModelCard)


def load_faults(path: Path | str) -> FaultProfile:
    """The fault profile in a file (YAML or JSON). Raises BatchRefused with every fault, by line."""
    return accepted(read_file(Path(path)), FaultProfile)


def load_motion_path(path: Path | str) -> MotionPath:
    """The motion path in a file. Raises BatchRefused with every fault, by line."""
    return accepted(read_file(Path(path)), MotionPath)


def load_camera_path(path: Path | str) -> CameraPath:
    """The camera's path in a file. Raises BatchRefused with every fault, by line."""
    return accepted(read_file(Path(path)), CameraPath)


def canonical(model: Model) -> str:
    """The one way to write a model down: compact JSON by alias, keys sorted, ASCII only, what is None left out.

    Equal models give equal text, and reading it back gives an equal model.
    """
    fields = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def locate_batch(document: Document) -> LocatedBatch:
    """The batch in a document, mended where it has faults."""
    value = document.value
    if (other := of_another_kind(document, Batch)) is not None:
        return LocatedBatch(document, None, (other,), frozenset())
    try:
        batch = _validated(Batch, value)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        problems = [*document.problems, *problems_of(errors, document, Batch)]
        broken: set[DocumentPath] = set()
        return LocatedBatch(document, _mended(value, broken), tuple(by_line(problems)), frozenset(broken))
    return LocatedBatch(document, batch, document.problems, frozenset())


def accepted(document: Document, model: type[AnyModel]) -> AnyModel:
    """The document as ``model``, if nothing is wrong with it. Raises BatchRefused with every fault, by line."""
    if (other := of_another_kind(document, model)) is not None:
        raise BatchRefused([other])
    try:
        accepted = _validated(model, document.value)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        raise BatchRefused(by_line([*document.problems, *problems_of(errors, document, model)])) from None
    if document.problems:
        raise BatchRefused(document.problems)
    return accepted


def _validated(model: type[AnyModel], value: Value) -> AnyModel:
    """``value`` as written in a file: by the names that files use, never by those of Python."""
    return model.model_validate(value, by_alias=True, by_name=False)


def _mended(value: Value, broken: set[DocumentPath]) -> Batch | None:
    """The batch without what is wrong in it; the places go into ``broken``. None where nothing useful is left."""
    if not isinstance(value, dict):
        return None
    mended = _unshared(value)
    for _ in range(_ROUNDS):
        try:
            return _validated(Batch, mended)
        except ValidationError as error:
            details = error.errors(include_url=False)
        paths = [document_path(one["loc"], mended, missing=one["type"] == "missing") for one in details]
        for one in details:
            if one["type"] == "named_twice":
                paths += [("shots", index, "shot") for index in one["ctx"]["positions"]]
        # the deepest first: what mends a place may make mending what holds it needless
        mended_inside = holders(broken)
        for path in sorted(set(paths), key=len, reverse=True):
            if path not in mended_inside:
                broken.add(path)
                mended_inside |= holders([path])
                if not _mend(mended, path):
                    return None
    return None


def _mend(value: Value, path: DocumentPath) -> bool:
    """Take out or replace what is wrong at ``path``; False where that cannot be done."""
    while path:
        *above, last = path
        holder: Any = value
        for part in above:
            holder = holder[part] if isinstance(part, int) and isinstance(holder, list) else holder.get(part)
            if not isinstance(holder, dict | list):
                return True  # mending a fault beside this one took out what held them both
        owner = model_at(Batch, tuple(above))
        if isinstance(holder, dict):
            field = _field(owner, str(last))
            if field is not None and field.is_required():
                holder[last] = _stand_in(str(last), above)
                return holder[last] is not None
            holder.pop(last, None)
            return True
        if isinstance(last, int) and (tuple(above) == ("shots",)):
            holder[last] = {"shot": f"unnamed-{last}", "frames": 1, "prompt": {"text": "unknown"}}
            return True
        path = tuple(above)  # no part of a list can be missing; mend the whole of it
    return False


def _stand_in(name: str, above: Iterable[str | int]) -> Value:
    if name == "shot":
        return "unnamed-" + "-".join(str(part) for part in above)
    return _STAND_INS.get(name)


def _field(owner: type[BaseModel] | None, key: str) -> FieldInfo | None:
    for name, field in owner.model_fields.items() if owner else ():
        if key == (field.alias or name):
            return field
    return None


def _unshared(value: Value) -> Value:
    """A copy in which no two places share a container, as aliases do."""
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_unshared(inner) for inner in value]
    return value
