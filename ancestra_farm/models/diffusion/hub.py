"""Weights from a hub: one pinned revision, brought to this node once.

What is fetched is decided here from the listing of the commit: the parts that ``model_index.json`` names, safetensors
in the wanted variant, configurations and tokenizers; never code, never a pickle. Each file is checked against the
digest that the commit states for it. A folder appears under its name only when it is whole: it grows under
``fetching/`` and is renamed, so that a fetch that was killed is taken up where it ended. Whether anything may be
fetched is decided elsewhere.
"""

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ancestra_farm.batch.sources import HubSource
from ancestra_farm.batch.urls import safe_join
from ancestra_farm.models.diffusion.checked import digest_of, locked, write_whole
from ancestra_farm.models.diffusion.layout import (
    INDEX,
    WeightsMissing,
    WeightsRefused,
    check_pickles,
    chosen_weights,
    is_shard_index,
    parts_of,
)
from ancestra_farm.models.diffusion.room import forget_plan, make_room

#: Configurations, vocabularies, sentencepiece models and chat templates (which transformers runs in a sandbox).
_PLAIN = (".json", ".txt", ".model", ".jinja")
#: Files at once. More does not help one disk, and each is a connection.
_WORKERS = 4
_GIGABYTE = 1e9


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a commit: ``size_bytes``, and the digests that the commit states, ``sha256`` for large files only."""

    path: str
    size_bytes: int
    git_sha1: str
    sha256: str | None

    def matches(self, path: Path) -> bool:
        """Whether the file at ``path`` is this one, byte by byte."""
        if path.is_symlink() or not path.is_file() or path.stat().st_size != self.size_bytes:
            return False
        if self.sha256 is not None:
            return digest_of(path) == self.sha256
        # git's own: SHA-1 over a header with the length, and the bytes
        content = path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == self.git_sha1


def folder_in(cache: Path, source: HubSource, variant: str | None) -> Path:
    """Where the folder of a revision lies in the cache, once it is whole. No repository's name has ``--`` in it."""
    name = f"{source.repository.replace('/', '--')}--{source.revision}"
    return cache / "models" / (f"{name}--{variant}" if variant else name)


def digests_of(folder: Path) -> dict[str, str]:
    """SHA-256 by path of every file of a fetched folder, as it was when it arrived; empty where none were noted."""
    try:
        noted = json.loads(_digests_beside(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def bring(
    source: HubSource,
    variant: str | None,
    cache: Path,
    say: Callable[[str], None],
    *,
    again: bool = False,
) -> Path:
    """The folder with this revision, fetched if it is not in ``cache``. ``say``: told what is fetched.

    The repository holds a pipeline, or one part of one (then it has a ``config.json`` instead of an index).
    ``again``: what is there is damaged; what is good of it stays, the rest is fetched. Processes of one node take
    turns, and what others have not used for longest makes way where there is no room (`room`). Raises `WeightsMissing`
    where it cannot be had, `WeightsRefused` where what came is not what the commit says or holds nothing that may be
    read.
    """
    target = folder_in(cache, source, variant)
    partial = cache / "fetching" / target.name
    try:
        with locked(cache / "locks" / f"{target.name}.lock"):
            if again and target.is_dir():
                shutil.rmtree(partial, ignore_errors=True)
                partial.parent.mkdir(parents=True, exist_ok=True)
                target.rename(partial)
            if not target.is_dir():
                partial.mkdir(parents=True, exist_ok=True)
                wanted = _fetch(source, variant, cache, partial, say)
                _publish(wanted, partial, target)
                forget_plan(cache, target.name)
    except OSError as error:
        raise WeightsMissing(f"{source.repository} cannot be kept in {cache}: {error.strerror or error}") from error
    return target


def _fetch(
    source: HubSource, variant: str | None, cache: Path, partial: Path, say: Callable[[str], None]
) -> list[HubFile]:
    """Fetch into ``partial`` what is not there yet. The files that the pipeline needs, each checked."""
    files = _listing(source)
    if INDEX in files:
        _get(source, _not_good([files[INDEX]], partial), partial)
        folders = [f"{part}/" for part in sorted(parts_of(partial / INDEX))]
        wanted = [files[INDEX], *_files_of(source, files, folders, variant)]
    elif "config.json" in files:
        wanted = list(_files_of(source, {path: file for path, file in files.items() if "/" not in path}, [""], variant))
    else:
        raise WeightsRefused(f"{source.repository} is no diffusers pipeline: it has no {INDEX}")
    missing = _not_good(wanted, partial)
    total = sum(file.size_bytes for file in missing)
    make_room(cache, partial.name, source.repository, total, say)
    say(f"{source.repository}: {len(missing)} of {len(wanted)} files to fetch, {total / _GIGABYTE:.1f} GB")
    _get(source, missing, partial)
    return wanted


def _listing(source: HubSource) -> dict[str, HubFile]:
    from huggingface_hub import HfApi  # noqa: PLC0415 - heavy, and only where something is fetched
    from huggingface_hub.hf_api import RepoFile  # noqa: PLC0415

    found = {}
    with _told(source):
        api = HfApi(endpoint=_endpoint())
        for entry in api.list_repo_tree(source.repository, recursive=True, revision=source.revision):
            if isinstance(entry, RepoFile):
                digest = entry.lfs.sha256 if entry.lfs is not None else None
                found[entry.path] = HubFile(entry.path, entry.size, entry.blob_id, digest)
    for path in found:
        try:
            safe_join("", path)
        except ValueError:
            raise WeightsRefused(f"{source.repository} lists {path!r}, which lies outside its folder") from None
    return found


def _files_of(
    source: HubSource, files: Mapping[str, HubFile], folders: Iterable[str], variant: str | None
) -> Iterator[HubFile]:
    """The files in ``folders`` that are read: plain ones, and the weights in one variant (or without one)."""
    for folder in folders:
        inside = [path for path in files if path.startswith(folder)]
        chosen = chosen_weights(inside, variant)
        check_pickles(f"{source.repository}/{folder}".rstrip("/"), inside, chosen)
        plain = [path for path in inside if path.endswith(_PLAIN) and not is_shard_index(path)]
        yield from (files[path] for path in sorted({*chosen, *plain}))


def _not_good(files: list[HubFile], partial: Path) -> list[HubFile]:
    return [file for file in files if not file.matches(partial / file.path)]


def _get(source: HubSource, missing: list[HubFile], partial: Path) -> None:
    """Download files and check each. A wrong one is removed, so that the next attempt fetches it again."""
    if not missing:
        return
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - heavy, and only where something is fetched

    for file in missing:
        (partial / file.path).unlink(missing_ok=True)
    with _told(source):
        snapshot_download(
            source.repository,
            revision=source.revision,
            local_dir=partial,
            allow_patterns=[glob.escape(file.path) for file in missing],
            max_workers=_WORKERS,
            endpoint=_endpoint(),
        )
    for file in missing:
        path = partial / file.path
        if not file.matches(path):
            arrived = path.exists()
            path.unlink(missing_ok=True)
            if not arrived:
                raise WeightsMissing(f"{source.repository}: {file.path} did not arrive; try again")
            raise WeightsRefused(
                f"{source.repository}: {file.path} arrived with another digest than its commit {source.revision[:12]} "
                "states; try again, and do not use it if it stays so"
            )


def _publish(wanted: list[HubFile], partial: Path, target: Path) -> None:
    """The folder under its name: nothing but the wanted files, durable, and the digests of all beside it."""
    shutil.rmtree(partial / ".cache", ignore_errors=True)  # the client's own
    names = {file.path for file in wanted}
    for path in [path for path in partial.rglob("*") if not path.is_dir()]:
        if path.relative_to(partial).as_posix() not in names:
            path.unlink()
    digests = {file.path: file.sha256 or digest_of(partial / file.path) for file in wanted}
    for name in digests:
        with (partial / name).open("rb") as file:
            os.fsync(file.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(_digests_beside(target), json.dumps(digests, indent=1))
    partial.rename(target)


def _digests_beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.digests.json")


def _endpoint() -> str | None:
    """The hub to ask, where the environment names another one: a studio's mirror."""
    return os.environ.get("HF_ENDPOINT") or None


@contextmanager
def _told(source: HubSource) -> Iterator[None]:
    """The client's errors, which have no common base, as one sentence."""
    try:
        yield
    except Exception as error:
        said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        gated = type(error).__name__ == "GatedRepoError"
        hint = "; accept its licence on the hub and set HF_TOKEN" if gated else ""
        where = f"{source.repository} at {source.revision[:12]}"
        raise WeightsMissing(f"{where} cannot be had from the hub: {said}{hint}") from error
