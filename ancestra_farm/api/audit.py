"""The row of the log for a token that somebody issued or took away in the store itself."""

from ancestra_farm.api.offline import StoreBusy, take
from ancestra_farm.api.people import everybody, gone, holders
from ancestra_farm.ledger.errors import Superseded
from ancestra_farm.ledger.store import Store
from ancestra_farm.scheduler.holders import PeopleSeen


def note_tokens(store: Store, who: str, purpose: str) -> int | None:
    """Note in the log what has changed of tokens; the commit. None where a controller is at work: it notes it itself.

    Raises LogDamaged, StoreError.
    """

    def seen() -> list[PeopleSeen]:
        return [PeopleSeen(holders(person for person, _ in everybody(store).values()), gone(store))]

    try:
        return take(store, seen, who, purpose).commit
    except (StoreBusy, Superseded):
        return None
