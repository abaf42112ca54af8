"""What can go wrong with a store and its log: one class for each thing a caller can do about it."""


class StoreError(Exception):
    """Anything about a store that a person has to know. The message names the store or the file."""


class StoreMissing(StoreError):
    """There is no store at this address, and none was to be created."""


class StoreRefused(StoreError):
    """The address, the folder or the backend cannot be used as a store; the message says why and what would do."""


class StoreUnavailable(StoreError):
    """The backend answered with an error, or not at all. Whether a write took place is then unknown."""


class StoreFull(StoreUnavailable):
    """There is no space left where the store is. What was acknowledged is safe; freeing some lets the work go on."""


class StoreInUse(StoreError):
    """A controller is at work in the store, and what was asked for must not happen beside one. Nothing was changed."""


class NotThere(StoreError):
    """A file of the store that was asked for does not exist."""


class SourceChanged(StoreError):
    """A file that was to be kept is not the one that was looked at any more, or cannot be read. Nothing was kept."""


class MaterialDamaged(StoreError):
    """Material in a store has other bytes than its name says. Handing the batch in again puts it right."""


class LogDamaged(StoreError):
    """A commit is missing, unreadable, or not what its seal or its successor says. The message names the file."""


class Superseded(StoreError):
    """Somebody else has begun to write under a higher epoch: this writer must stop. Its last commit did not happen."""

    def __init__(self, own: int, epoch: int, who: str) -> None:
        super().__init__(f"{who} has taken over the store under epoch {epoch}; this writer held epoch {own} and stops")
        self.own = own
        self.epoch = epoch
        self.who = who
