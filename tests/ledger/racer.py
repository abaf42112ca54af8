"""A process that writes to a log in competition with others: ``python -m tests.ledger.racer URL NAME COMMITS``.

It begins again whenever it is superseded, until it has made its commits; it prints what it was told is durable.
"""

import sys

from ancestra_farm.ledger.errors import Superseded
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.store import Store
from tests.ledger.samples import pick


def main(url: str, name: str, commits: int) -> None:
    store = Store.open(url)
    made = 0
    while made < commits:
        writer = Writer.begin(store, name, "race")
        try:
            while made < commits:
                number = writer.commit([pick(name, made)])
                sys.stdout.write(f"{name} {made} {number}\n")
                made += 1
        except Superseded:
            continue


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
