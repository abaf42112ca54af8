"""The JSON Schema of a batch, so that editors complete and check it while it is written (``ancestra schema``)."""

from typing import Any

from ancestra_farm.batch.schema import SCHEMA, Batch


def batch_json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of an ``ancestra/v1`` batch file.

    It completes keys and catches misspelt ones; what needs a model card or another part of the file is `check`'s.
    """
    schema = Batch.model_json_schema(by_alias=True, mode="validation")
    stages, changes = (schema["$defs"][name]["properties"] for name in ("Stage", "StageChange"))
    for key, change in changes.items():
        # what a shot changes means what it means in the stage
        change.setdefault("description", stages[key]["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": f"{SCHEMA} batch"}
