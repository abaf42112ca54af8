"""Writers that wake up after the commits they never saw were packed and deleted."""

import pytest

from ancestra_farm.ledger.commit import commit_path
from ancestra_farm.ledger.errors import Superseded
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.packs import PACKED, Packer, covering
from ancestra_farm.ledger.store import Store
from tests.ledger.samples import pick
from tests.ledger.test_log import notes


def packed_beyond(store: Store, writer: Writer) -> None:
    """Go on under a writer until the first pack is closed and its commits are deleted."""
    while writer.number < PACKED + 40:
        writer.commit([pick("ben", writer.number)])
    assert Packer(store).run(writer.number) == PACKED
    assert covering(store, 3) is not None


def test_a_zombie_whose_next_number_was_packed_and_freed_is_superseded(local_store: Store):
    zombie = Writer.begin(local_store, "ann", "run")
    zombie.commit([pick("ann", 1)])
    packed_beyond(local_store, Writer.begin(local_store, "ben", "run"))
    before = notes(local_store)
    assert not local_store.exists(commit_path(3))  # the number that it takes for the next one
    for _ in range(2):
        with pytest.raises(Superseded, match="ben has taken over the store under epoch 2"):
            zombie.commit([pick("ann", "late")])
    assert notes(local_store) == before
    Writer.begin(local_store, "cy", "run").commit([pick("cy", "next")])
    assert notes(local_store) == [*before, ("cy", "next")]


def test_a_number_that_is_packed_between_looking_and_reading_is_no_damage(local_store: Store):
    zombie = Writer.begin(local_store, "ann", "run")
    winner = Writer.begin(local_store, "ben", "run")
    create = local_store.create

    def lose_and_sleep(path: str, data: bytes) -> bool:
        made = create(path, data)
        local_store.create = create
        packed_beyond(local_store, winner)
        return made

    local_store.create = lose_and_sleep
    with pytest.raises(Superseded, match="ben"):
        zombie.commit([pick("ann", "late")])
    assert ("ann", "late") not in notes(local_store)
