"""A run in a process of its own, for tests that end it: ``python -m tests.farm.attended '{"batch": …, "store": …}'``.

Prints sentences as they come and the summary as JSON on its last line.
"""

import dataclasses
import json
import sys
from typing import Any

from ancestra_farm.farm.run import run_batch
from ancestra_farm.scheduler.tunables import Tunables


def main(wanted: dict[str, Any]) -> None:
    tunables = Tunables(**wanted.pop("tunables", {}))
    summary = run_batch(
        wanted.pop("batch"),
        wanted.pop("store"),
        on_message=lambda text: print(text, flush=True),
        tunables=tunables,
        **wanted,
    )
    print(json.dumps(dataclasses.asdict(summary)), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
