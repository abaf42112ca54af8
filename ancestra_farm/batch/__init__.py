"""What a person asks for: the versioned schemas, loading, and checks that name the line.

``from ancestra_farm.batch import checked_batch`` is all that most callers need. Imports nothing heavier than pydantic
and PyYAML, so that a batch is checked at once.
"""

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.check import check_batch, checked_batch, checked_text
from ancestra_farm.batch.jsonschema import batch_json_schema
from ancestra_farm.batch.load import canonical, load_batch, load_card, read_batch
from ancestra_farm.batch.problems import BatchRefused, Problem
from ancestra_farm.batch.schema import SCHEMA, Batch, Shot, Stage
from ancestra_farm.batch.urls import check_store_url, safe_join

__all__ = [
    "SCHEMA",
    "Batch",
    "BatchRefused",
    "ModelCard",
    "Problem",
    "Shot",
    "Stage",
    "batch_json_schema",
    "canonical",
    "check_batch",
    "check_store_url",
    "checked_batch",
    "checked_text",
    "load_batch",
    "load_card",
    "read_batch",
    "safe_join",
]
