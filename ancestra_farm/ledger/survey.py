"""Looking over a whole log, damaged or not: which commits can be believed, and which are lost and why.

A commit is lost where its file is missing, unreadable, or not the one that its neighbours say. Two that do not follow
on each other are both sound by themselves; then the one that the rest of the log goes on from is believed. A sound
commit that lies under another's name, or among what a repair set aside, is found again. Nothing is changed here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ancestra_farm.ledger.commit import Commit, commit_path, decode_commit, first_link
from ancestra_farm.ledger.errors import LogDamaged, NotThere, StoreUnavailable
from ancestra_farm.ledger.packs import LogFiles, Pack, decode_pack
from ancestra_farm.ledger.sealed import check_seal, unsealed
from ancestra_farm.ledger.store import DAMAGED, Store


@dataclass(frozen=True, slots=True)
class Lost:
    """A commit that cannot be believed. ``path``: where it should stand; ``what``: what is wrong, as a sentence."""

    number: int
    path: str
    what: str


@dataclass(slots=True)
class Survey:
    """What there is of a log.

    ``last``: the highest number of any file; ``heads``: commits that are believed, without their events, by number;
    ``sources``: where each is read; ``lost``: the others, by number. ``bad_packs``: packs that cannot be read.
    """

    last: int = 0
    heads: dict[int, Commit] = field(default_factory=dict)
    sources: dict[int, str] = field(default_factory=dict)
    lost: dict[int, Lost] = field(default_factory=dict)
    bad_packs: dict[str, tuple[Pack, str]] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """Nothing is wrong with the log."""
        return not self.lost and not self.bad_packs

    @property
    def epoch(self) -> int:
        """The highest epoch that any believed commit was written under, 0 for none."""
        return max((head.epoch for head in self.heads.values()), default=0)


def survey(store: Store) -> Survey:
    """Look over the log of a store. Raises StoreUnavailable only where the store as a whole cannot be listed."""
    found, files = Survey(), LogFiles(store.list("log"))
    found.last = files.last
    strays: dict[int, tuple[Commit, str]] = {}
    for pack in files.packs:
        try:
            for head in decode_pack(pack.path, store.read(pack.path), events=False):
                found.heads[head.number], found.sources[head.number] = head, pack.path
        except (LogDamaged, NotThere, StoreUnavailable) as damage:
            found.bad_packs[pack.path] = (pack, str(damage))
    singles = set(files.commits) | set(files.leftovers)
    for number in range(1, found.last + 1):
        if number not in found.heads:
            _single(store, number, number in singles, found, strays)
    for path in store.list(f"{DAMAGED}/log") if found.lost else ():
        if (stray := _stray(path, store.read(path))) is not None:
            strays.setdefault(stray.number, (stray, path))
    for number, (head, path) in strays.items():
        if number in found.lost:
            found.heads[number], found.sources[number] = head, path
            lost = found.lost[number]
            found.lost[number] = Lost(number, lost.path, f"{lost.what}; {path} holds it")
    _check_chain(store, found)
    return found


def _single(store: Store, number: int, there: bool, found: Survey, strays: dict[int, tuple[Commit, str]]) -> None:  # noqa: FBT001
    path = commit_path(number)
    if not there:
        pack = next((pack for pack, _ in found.bad_packs.values() if pack.first <= number <= pack.last), None)
        what = f"{path} is missing though later commits are there"
        if pack is not None:
            what = found.bad_packs[pack.path][1]
        elif number == found.last:
            what = f"{path} is missing"
        found.lost[number] = Lost(number, path if pack is None else pack.path, what)
        return
    try:
        data = store.read(path)
        found.heads[number] = replace(decode_commit(path, data), events=())
        found.sources[number] = path
    except (NotThere, StoreUnavailable) as error:
        found.lost[number] = Lost(number, path, str(error))
    except LogDamaged as damage:
        found.lost[number] = Lost(number, path, str(damage))
        if (stray := _stray(path, data)) is not None:
            strays[stray.number] = (stray, path)


def _stray(path: str, data: bytes) -> Commit | None:
    """The sound commit, of whatever number, that a file holds."""
    try:
        check_seal(path, data)
        with unsealed(data) as (_, facts):
            number = int(facts["ancestra.number"])
        return replace(decode_commit(commit_path(number), data), events=())
    except (LogDamaged, KeyError, ValueError, OSError):
        return None


def _check_chain(store: Store, found: Survey) -> None:
    """Of two neighbours that do not follow on each other, one is lost: the one that the rest does not go on from."""
    link: str | None = first_link(store.id)
    for number in range(1, found.last + 1):
        head = found.heads.get(number)
        if head is None:
            link = None
            continue
        if link is not None and head.previous != link:
            after = found.heads.get(number + 1)
            wrong = number - 1 if number > 1 and after is not None and after.previous == head.link else number
            before = commit_path(number - 1) if number > 1 else "the store's id"
            what = (
                f"{commit_path(number)} follows on a commit with digest {head.previous}, but {before} has {link}: "
                f"{commit_path(wrong)} was replaced"
            )
            found.lost[wrong] = Lost(wrong, found.sources[wrong], what)
            del found.heads[wrong]
            if wrong == number:
                link = None
                continue
        link = head.link


def commits_of(store: Store, found: Survey, first: int, last: int) -> Iterator[Commit]:
    """The believed commits from ``first`` to ``last`` with their events, in order, whatever is missing between."""
    pack_path, in_pack = "", dict[int, Commit]()
    for number in range(first, last + 1):
        if number not in found.heads:
            continue
        path = found.sources[number]
        if path != pack_path and path != commit_path(number) and "pack-" in path:
            pack_path = path
            in_pack = {commit.number: commit for commit in decode_pack(path, store.read(path))}
        yield in_pack.pop(number) if path == pack_path else decode_commit(commit_path(number), store.read(path))
