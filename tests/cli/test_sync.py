"""Finished work, brought here: whole, checked, once, and never over something else."""

import json
from pathlib import Path

import pytest

from ancestra_farm.api import delivered
from ancestra_farm.cli import fetching
from ancestra_farm.ledger.store import Store
from tests.api.door import OpenDoor
from tests.cli.conftest import Ancestra, Said
from tests.cli.small_farm import SmallFarm, batch_file, finished_store, submission


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return finished_store(tmp_path)


def versions_below(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.rglob("MANIFEST.json"))


def all_fetched(said: Said, store: Store, here: Path) -> bool:
    """Whether a sync fetched all there is, each file as the store has it."""
    assert said.code == 0, said.err
    assert {row["state"] for row in said.json} == {"fetched"}
    for version in versions_below(here):
        below = version.relative_to(here).as_posix()
        for file in version.iterdir():
            assert file.read_bytes() == store.read(f"deliveries/{below}/{file.name}")
    return bool(versions_below(here))


def test_finished_work_is_fetched_once_and_whole(ancestra: Ancestra, store: Store, tmp_path: Path) -> None:
    here = tmp_path / "here"
    said = ancestra("sync", here, "--store", store.url, "--json")
    assert all_fetched(said, store, here)
    assert not list(here.rglob("*.part"))
    again = ancestra("sync", here, "--store", store.url, "--json").json
    assert {row["state"] for row in again} == {"here"}
    assert len(again) == len(said.json)


def test_one_that_was_cut_off_goes_on(ancestra: Ancestra, store: Store, tmp_path: Path) -> None:
    here = tmp_path / "here"
    assert ancestra("sync", here, "--store", store.url).code == 0
    version = versions_below(here)[0]
    (version / "MANIFEST.json").unlink()
    film = next(version.glob("*.mp4"))
    film.rename(film.with_name(film.name + ".part"))
    said = ancestra("sync", here, "--store", store.url, "--json").json
    assert {row["file"] for row in said if row["state"] == "fetched"} == {str(film), str(version / "MANIFEST.json")}
    assert not list(here.rglob("*.part"))


def test_what_is_here_and_differs_stays(ancestra: Ancestra, store: Store, tmp_path: Path) -> None:
    here = tmp_path / "here"
    assert ancestra("sync", here, "--store", store.url).code == 0
    film = next(here.rglob("*.mp4"))
    film.write_bytes(b"somebody's grade")
    said = ancestra("sync", here, "--store", store.url)
    assert said.code == 1
    assert f"another file is here; it stays: {film}" in said.out
    assert f"0 files fetched to {here}" in said.out
    assert "1 not (see above)" in said.out
    assert film.read_bytes() == b"somebody's grade"


def test_what_is_damaged_in_the_store_is_not_brought_here(ancestra: Ancestra, store: Store, tmp_path: Path) -> None:
    here = tmp_path / "here"
    films = [path for path in store.list("deliveries") if path.endswith(".mp4")]
    damaged, gone = films[0], films[1] if len(films) > 1 else None
    file = store.local_path(damaged)
    assert file is not None
    file.write_bytes(b"flim")
    if gone:
        there = store.local_path(gone)
        assert there is not None
        there.unlink()
    said = ancestra("sync", here, "--store", store.url)
    assert said.code == 1
    assert "damaged in the store" in said.out
    assert not (here / damaged.removeprefix("deliveries/")).exists()
    assert not (here / damaged.removeprefix("deliveries/")).with_name("MANIFEST.json").exists()
    assert not list(here.rglob("*.part"))


@pytest.mark.parametrize("name", ["../../../up.mp4", "/etc/up.mp4", "a/../../../../up.mp4"])
def test_a_manifest_cannot_lead_out_of_the_folder(ancestra: Ancestra, store: Store, tmp_path: Path, name: str) -> None:
    here = tmp_path / "deep" / "er" / "here"
    path = next(path for path in store.list("deliveries") if path.endswith("MANIFEST.json"))
    manifest = json.loads(store.read(path))
    manifest["files"][0]["name"] = name
    store.replace(path, json.dumps(manifest).encode())
    said = ancestra("sync", here, "--store", store.url)
    assert said.code == 2
    assert "would leave" in said.err
    assert not list(tmp_path.rglob("up.mp4"))


def test_only_what_is_wanted_is_fetched(ancestra: Ancestra, store: Store, tmp_path: Path) -> None:
    shot = next(path for path in store.list("deliveries")).split("/")[2]
    said = ancestra("sync", tmp_path / "one", "--store", store.url, "--shot", shot, "--kind", "mp4", "--json").json
    assert said
    assert all(row["file"].endswith((".mp4", "MANIFEST.json")) and f"/{shot}/" in row["file"] for row in said)
    assert ancestra("sync", tmp_path / "part", "--store", store.url, "--kind", "otio", "--json").json == []
    assert not list((tmp_path / "part").rglob("MANIFEST.json")), "a part of a version is not whole"
    none = ancestra("sync", tmp_path / "two", "--store", store.url, "--picked", "--json").json
    assert none == []
    missing = ancestra("sync", tmp_path / "three", "--store", store.url, "--batch", "no")
    assert (missing.code, (tmp_path / "three").exists()) == (2, False)


def test_a_kind_that_nothing_is_of_is_told_with_those_there_are(
    ancestra: Ancestra, store: Store, tmp_path: Path
) -> None:
    said = ancestra("sync", tmp_path / "here", "--store", store.url, "--kind", "mp5")
    assert said.code == 0
    assert said.err.startswith("nothing published is of the kind mp5; there are: ")
    assert "mp4" in said.err
    assert ancestra("sync", tmp_path / "here", "--store", store.url, "--kind", "mp4").err == ""


def test_one_that_follows_ends_with_its_batch(ancestra: Ancestra, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"), create=True)
    SmallFarm(store).work(submission(batch_file(tmp_path)))
    said = ancestra("sync", tmp_path / "here", "--store", store.url, "--batch", "demo", "--follow")
    assert said.code == 0, said.err
    assert versions_below(tmp_path / "here")


def test_whoever_is_interrupted_is_told_so_and_goes_on_later(
    ancestra: Ancestra, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    monkeypatch.setattr(fetching, "BLOCK_BYTES", 3)
    with monkeypatch.context() as interrupted:
        read = Store.read_block

        def stopped(store: Store, path: str, start: int, length: int) -> bytes:
            if path.endswith(".mp4") and start:
                raise KeyboardInterrupt
            return read(store, path, start, length)

        interrupted.setattr(Store, "read_block", stopped)
        for more in ([], ["--follow", "--batch", "demo"]):
            said = ancestra("sync", here, "--store", store.url, *more)
            assert (said.code, said.err) == (1, "interrupted; the same command goes on where it was\n")
    (part,) = here.rglob("*.part")
    assert part.stat().st_size == 3
    assert all_fetched(ancestra("sync", here, "--store", store.url, "--json"), store, here)


def test_whoever_follows_stops_between_two_looks(
    ancestra: Ancestra, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ancestra_farm.cli.sync.time.sleep", stopped)
    said = ancestra("sync", tmp_path / "here", "--store", store.url, "--follow")
    assert (said.code, said.err) == (0, "")
    assert versions_below(tmp_path / "here")


def test_finished_work_comes_through_the_door_to_whoever_has_a_role_on_its_show(
    ancestra: Ancestra, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivered, "BLOCK_BYTES", 1000)
    here = tmp_path / "here"
    with OpenDoor(store) as door:
        document = {"schema": "ancestra/show/v1", "show": "ancestra", "people": {"mel": "viewer"}}
        given = {"show": "ancestra", "document": json.dumps(document)}
        assert door.ask("POST", "/v1/show_settings", given).status == 200
        monkeypatch.setenv("ANCESTRA_TOKEN", door.token("member", "mel"))
        said = ancestra("sync", here, "--store", door.endpoint, "--json")
        assert all_fetched(said, store, here)
        assert {row["state"] for row in ancestra("sync", here, "--store", door.endpoint, "--json").json} == {"here"}
        monkeypatch.setenv("ANCESTRA_TOKEN", door.token("member", "stranger"))
        assert ancestra("sync", tmp_path / "theirs", "--store", door.endpoint).code == 1
    assert not (tmp_path / "theirs").exists()
