"""The kinds of documents: what the word under ``schema`` says a file is, and what takes such a file."""

from collections.abc import Mapping
from typing import get_args

from ancestra_farm.batch.base import Model
from ancestra_farm.batch.document import Document
from ancestra_farm.batch.problems import Problem

#: What a document of a schema is, and what takes it.
KINDS: Mapping[str, tuple[str, str]] = {
    "ancestra/v1": ("a batch of shots", "`ancestra submit` takes it"),
    "ancestra/farm/v1": ("settings of the farm", "`ancestra settings farm set` takes them"),
    "ancestra/show/v1": ("settings of a show", "`ancestra settings show NAME set` takes them"),
    "ancestra/rights/v1": ("a ledger of rights", "a batch names it under ledger"),
    "ancestra/look/v1": ("a look to be trained", "`ancestra look train` takes it"),
    "ancestra/photographs/v1": ("a ledger of photographs", "a look names it"),
    "ancestra/motion_path/v1": ("a motion path", "a guide in a batch names it"),
    "ancestra/camera/v1": ("the path of a camera", "a guide in a batch names it"),
}


def schema_of(model: type[Model]) -> str | None:
    """The word that documents of this kind say under ``schema``; None: they say none."""
    field = model.model_fields.get("schema_")
    return None if field is None else str(get_args(field.annotation)[0])


def of_another_kind(document: Document, model: type[Model]) -> Problem | None:
    """What to say of a whole document that is sound for what it is, for all that is known, and meant for elsewhere."""
    said = document.value.get("schema") if isinstance(document.value, dict) else None
    wanted = schema_of(model)
    if wanted is None or said == wanted or not isinstance(said, str) or said not in KINDS:
        return None
    (what, taken), (needed, _) = KINDS[said], KINDS[wanted]
    return document.problem(
        ("schema",), f"this is {what} ({said}), and what is wanted here is {needed} ({wanted})", taken
    )
