"""``python -m ancestra_farm.telemetry.boards FOLDER``: write dashboards, rules, configuration and the metric table."""

import sys
from pathlib import Path

from ancestra_farm.telemetry.boards.files import all_files, write_files

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m ancestra_farm.telemetry.boards FOLDER")
    write_files(Path(sys.argv[1]), all_files())
