"""Files that come piece by piece over lines that break, to folders that others fetch into, too."""

import fcntl
import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from ancestra_farm.api import uploading
from ancestra_farm.api.client import Client, EndpointGone
from ancestra_farm.cli.fetching import Fetcher, FileRow, Source, ThroughDoor, Wanted
from ancestra_farm.ledger import materials
from ancestra_farm.scheduler.progress import ShotProgress
from ancestra_farm.scheduler.world import OrderRefused

FILM = bytes(range(256)) * 40
BLOCK = 1000
STARTS = list(range(0, len(FILM), BLOCK))


@dataclass
class Shelf:
    """One version with one film. ``films``: as they are handed out, one after the other and the last for good.

    ``troubles``: raised, one for each block of a film, until there are none left; None: that block comes.
    ``asked``: offsets of the film that were asked for.
    """

    film: bytes = FILM
    troubles: list[BaseException | None] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    manifests: int = 0

    def block(self, path: str, offset: int) -> bytes:
        if path.endswith("MANIFEST.json"):
            self.manifests += not offset
            entry = {"kind": "mp4", "name": "film.mp4", "bytes": len(FILM), "sha256": hashlib.sha256(FILM).hexdigest()}
            return json.dumps({"files": [entry]}).encode()[offset:]
        self.asked.append(offset)
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble is not None:
            raise trouble
        return self.film[offset : offset + BLOCK]

    def delivered(self, _show: str, _shot: str, _version: str, file: str, offset: int) -> bytes:
        return self.block(file, offset)


@dataclass
class Published:
    show: str = "anc"
    shot: str = "anc_000"
    versions: tuple[str, ...] = ("v001",)


def fetcher(source: Source, to: Path) -> Fetcher:
    return Fetcher(source, to, Wanted(False, frozenset()))


def fetched(one: Fetcher, *, last: bool = True) -> list[str]:
    return [row.state for row in one.fetch([cast("ShotProgress", Published())], last=last)]


def here(folder: Path) -> Path:
    return folder / "anc" / "anc_000" / "v001" / "film.mp4"


def unfinished(folder: Path) -> Path:
    return here(folder).with_name("film.mp4.part")


def test_a_file_over_a_line_that_breaks_goes_on_where_it_was_and_arrives(tmp_path: Path) -> None:
    line = Shelf()
    for _ in range(len(STARTS) // 3):
        line.troubles = [None, None, None, EndpointGone("the line broke")]
        with pytest.raises(EndpointGone):
            fetched(fetcher(line, tmp_path))
    line.troubles = []
    assert fetched(fetcher(line, tmp_path)) == ["fetched", "fetched"]
    assert here(tmp_path).read_bytes() == FILM
    assert not unfinished(tmp_path).exists()
    assert sorted(set(line.asked)) == STARTS
    assert line.asked == sorted(line.asked), "what had come was asked for again"


@pytest.mark.parametrize("lay_here", [b"of another file", FILM[:-1] + b"?", FILM + b"more"])
def test_what_turns_out_to_be_the_beginning_of_something_else_is_begun_anew(tmp_path: Path, lay_here: bytes) -> None:
    here(tmp_path).parent.mkdir(parents=True)
    unfinished(tmp_path).write_bytes(lay_here)
    assert fetched(fetcher(Shelf(), tmp_path)) == ["fetched", "fetched"]
    assert here(tmp_path).read_bytes() == FILM


def test_what_is_damaged_in_the_store_is_begun_anew_once_and_no_more(tmp_path: Path) -> None:
    here(tmp_path).parent.mkdir(parents=True)
    unfinished(tmp_path).write_bytes(FILM[:BLOCK])
    line = Shelf(film=FILM[:-1] + b"?")
    assert fetched(fetcher(line, tmp_path)) == ["damaged in the store: not what its manifest says"]
    assert line.asked == STARTS[1:] + STARTS
    assert not unfinished(tmp_path).exists()


def test_of_several_who_fetch_into_one_folder_one_fetches_a_file_and_the_others_find_it(tmp_path: Path) -> None:
    line, together = Shelf(), threading.Barrier(6)

    def one(_: int) -> list[str]:
        together.wait(20)
        return fetched(fetcher(line, tmp_path))

    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(one, range(6)))
    assert sorted(film for film, _ in told) == ["fetched"] + ["here"] * 5
    assert sorted(manifest for _, manifest in told) == ["fetched"] + ["here"] * 5
    assert line.asked == STARTS
    assert not list(tmp_path.rglob("*.part"))


def test_nobody_else_touches_a_file_between_its_check_and_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, held = materials.settle, []

    def looked_at(part: Path, file: Path) -> None:
        with part.open("ab") as other:
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(file.name)
        settle(part, file)

    monkeypatch.setattr(materials, "settle", looked_at)
    assert fetched(fetcher(Shelf(), tmp_path)) == ["fetched", "fetched"]
    assert held == ["film.mp4", "MANIFEST.json"]


def test_whoever_follows_looks_again_at_what_did_not_come_and_tells_each_state_once(tmp_path: Path) -> None:
    line = Shelf(troubles=[OrderRefused("something unforeseen went wrong")] * 2)
    one = fetcher(line, tmp_path)
    told = [fetched(one, last=False) for _ in range(6)]
    refused = ["not handed out: something unforeseen went wrong"]
    assert told == [refused, [], [], [], [], ["fetched", "fetched"]]
    looks = line.manifests
    assert fetched(one, last=False) == []
    assert line.manifests == looks, "what is here is not looked at again"


def test_what_never_comes_is_tried_at_ever_fewer_looks_and_at_the_last_one(tmp_path: Path) -> None:
    line = Shelf(film=b"")
    one = fetcher(line, tmp_path)
    for _ in range(100):
        fetched(one, last=False)
    assert line.manifests == 7  # at looks 1, 3, 6, 11, 20, 37 and 70
    fetched(one)
    assert line.manifests == 8


def test_a_door_that_does_not_answer_for_a_while_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "PAUSE_S", 0.0)
    troubles: list[Any] = [None, *[EndpointGone("nobody answers")] * 3, None, EndpointGone("nobody answers")]
    line = Shelf(troubles=troubles)
    assert fetched(fetcher(ThroughDoor(cast("Client", line), 60.0), tmp_path)) == ["fetched", "fetched"]
    gone = ThroughDoor(cast("Client", Shelf(troubles=[EndpointGone("nobody answers")])), 0.0)
    with pytest.raises(EndpointGone):
        fetched(fetcher(gone, tmp_path / "other"))


def test_a_row_says_whether_it_is_sound() -> None:
    assert [FileRow("f", 1, state).sound for state in ("fetched", "here", "gone from the store")] == [True, True, False]
