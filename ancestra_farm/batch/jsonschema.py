"""JSON Schemas of batches and settings, so that editors complete and check them as they are written.

``ancestra schema`` prints them.
"""

from typing import Any

from ancestra_farm.batch.base import Model
from ancestra_farm.batch.farm_settings import FARM_SCHEMA, FarmSettings
from ancestra_farm.batch.schema import SCHEMA, Batch
from ancestra_farm.batch.show_settings import SHOW_SCHEMA, ShowSettings

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def batch_json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of an ``ancestra/v1`` batch file.

    It completes keys and catches misspelt ones; what needs a model card or another part of the file is `check`'s.
    """
    schema = Batch.model_json_schema(by_alias=True, mode="validation")
    stages, changes = (schema["$defs"][name]["properties"] for name in ("Stage", "StageChange"))
    for key, change in changes.items():
        # what a shot changes means what it means in the stage
        change.setdefault("description", stages[key]["description"])
    return {"$schema": DIALECT, **schema, "title": f"{SCHEMA} batch"}


def farm_json_schema() -> dict[str, Any]:
    """JSON Schema of the settings of a farm, ``ancestra/farm/v1``."""
    return _titled(FarmSettings, FARM_SCHEMA)


def show_json_schema() -> dict[str, Any]:
    """JSON Schema of the settings of a show, ``ancestra/show/v1``."""
    return _titled(ShowSettings, SHOW_SCHEMA)


def _titled(model: type[Model], title: str) -> dict[str, Any]:
    return {"$schema": DIALECT, **model.model_json_schema(by_alias=True, mode="validation"), "title": title}
