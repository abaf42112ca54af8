"""A person's own token on their own machine: one file per store, which nobody else can read.

It lies under ``$XDG_STATE_HOME/ancestra/<store id>/token`` (``~/.local/state`` where that is not set), mode 0600 in a
folder of mode 0700. ``ANCESTRA_TOKEN`` in the environment goes before it. Somebody who can write the store and has no
token yet gets one, and is an operator: they could write the log itself.
"""

import getpass
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ancestra_farm.api.people import PREFIX, NotAllowed, checked_name, issue
from ancestra_farm.ledger.errors import StoreError
from ancestra_farm.ledger.store import Store

if TYPE_CHECKING:
    from ancestra_farm.api.afar import Place

VARIABLE = "ANCESTRA_TOKEN"


@dataclass(frozen=True, slots=True)
class OwnToken:
    """A token, and whose it is as far as is known here (empty: not at all). ``place``: where it came from."""

    token: str
    name: str
    place: str

    def __repr__(self) -> str:
        return f"OwnToken(name={self.name!r}, place={self.place!r})"


def state_folder() -> Path:
    """Where this program keeps what belongs to one person on one machine; made if need be, for that person alone."""
    base = os.environ.get("XDG_STATE_HOME") or ""
    folder = (Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "state") / "ancestra"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def token_path(store_id: str) -> Path:
    """Where the token for this store lies, or would."""
    return state_folder() / store_id / "token"


def kept_token(store_id: str) -> OwnToken | None:
    """The token from the environment, or else the one that is kept for this store; None without either.

    Raises NotAllowed where the file can be read or written by others, or is no token.
    """
    if token := os.environ.get(VARIABLE, "").strip():
        return OwnToken(token, "", VARIABLE)
    path = token_path(store_id)
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(4096)
    except FileNotFoundError:
        return None
    if mode & 0o077:
        raise NotAllowed(
            f"{path} has mode {mode:04o}: others can read this token, so it is not used. "
            f"`chmod 600 {path}` if nobody has seen it, else revoke it"
        )
    try:
        found: Any = json.loads(data)
        return OwnToken(str(found["token"]), str(found["name"]), str(path))
    except (ValueError, KeyError, TypeError) as error:
        raise NotAllowed(f"{path} is no token; delete it, or keep another one with `ancestra token use`") from error


def keep_token(store_id: str, token: str, name: str) -> Path:
    """Keep a token for this store, in place of any before. The file is never readable for others, not for a moment."""
    path = token_path(store_id)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.parent.chmod(0o700)
    fresh = path.with_name(f".token.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"name": name, "token": token}, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return path


def own_token(store: "Place") -> OwnToken:
    """The token for this store; one is made, under the user's name, on first use by somebody who can write the store.

    Raises NotAllowed where there is none and none can be made.
    """
    found = kept_token(store.id)
    if found is not None:
        return found
    if not isinstance(store, Store):
        raise NotAllowed(
            f"there is no token for {store.url} here; an operator makes one with `ancestra token issue NAME --role "
            "ROLE`, and `ancestra token use` keeps it"
        )
    try:
        name = checked_name(user_name())
        token = issue(store, name, "operator", by=name)
    except (StoreError, OSError, ValueError) as error:
        raise NotAllowed(
            f"there is no token for {store.url} here and none can be made ({error}); an operator makes one with "
            "`ancestra token issue NAME --role ROLE`, and `ancestra token use` keeps it"
        ) from error
    return OwnToken(token, name, str(keep_token(store.id, token, name)))


def looks_like_token(text: str) -> bool:
    """Whether this could be a token at all."""
    return text.startswith(PREFIX) and len(text) <= 200 and text.isascii() and text.isprintable()


def user_name() -> str:
    """What the machine calls the user; ``somebody`` where it has no name for them."""
    try:
        return os.environ.get("USER") or getpass.getuser()
    except (KeyError, OSError):
        return "somebody"
