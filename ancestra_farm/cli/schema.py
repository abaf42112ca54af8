"""``ancestra schema``: the JSON Schema of a batch file, for editors."""

from ancestra_farm.cli.listing import print_json


def schema() -> None:
    """Print the JSON Schema of a batch file; an editor completes and checks with it."""
    from ancestra_farm.batch.jsonschema import batch_json_schema

    print_json(batch_json_schema())
