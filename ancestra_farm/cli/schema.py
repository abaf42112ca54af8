"""``ancestra schema``: the JSON Schema of a batch file or of settings, for editors."""

from typing import Annotated, Literal

import typer

from ancestra_farm.cli.listing import print_json


def schema(
    of: Annotated[Literal["batch", "farm", "show"], typer.Argument(help="Of a batch, or of whose settings.")] = "batch",
) -> None:
    """Print the JSON Schema of a batch file or of settings; an editor completes and checks with it."""
    from ancestra_farm.batch.jsonschema import batch_json_schema, farm_json_schema, show_json_schema

    print_json({"batch": batch_json_schema, "farm": farm_json_schema, "show": show_json_schema}[of]())
