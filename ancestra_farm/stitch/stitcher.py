"""A chain of survivors becomes the files of its shot.

Two passes over the segments. The first (`look`) decides every join and scores every seam. If a seam fails nothing is
encoded: the pair is named and the clips themselves stay good. The second makes: frames are decoded, mapped, dissolved,
retimed and encoded one by one. In memory at a time are one segment's encoded bytes (two while a join passes), the
proxies of two segments, and a few whole frames (those of one dissolve, and two for retiming), so the length of a shot
costs no memory; an encoder holds what it looks ahead (x264: about 40 frames).

Same job, same bytes: no clock, no randomness, one thread per encoder. Publishing in the store is `farm`'s part.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ancestra_farm.stitch.codec import decode_still, iter_clip, kind_of
from ancestra_farm.stitch.conform import Read, StitchError, StitchInput
from ancestra_farm.stitch.encode import DEFAULT_CRF, MasterWriter, MovieWriter, StillsWriter, Writer
from ancestra_farm.stitch.joins import joined
from ancestra_farm.stitch.look import Look, look_at
from ancestra_farm.stitch.report import stitch_report
from ancestra_farm.stitch.retime import Retimed, retimed
from ancestra_farm.stitch.timeline import shot_timeline

FileKind = Literal["mp4", "master", "otio", "report"]
#: The folder, beside the other files, of a master that is a sequence of PNG files.
STILLS_FOLDER = "png"


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file in the folder: its ``name`` relative to it, with ``/``. A PNG master is one such file per frame."""

    kind: FileKind
    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Stitched:
    """What came of a job. ``ok`` False: a seam failed; only the report was written.

    ``bad_pair``: index k of the first failed seam, the one between segments k and k+1. ``seams``: flat scores for each
    seam, see `seams.Seam.scores`. ``message``: a sentence about the failed seam, or empty.
    """

    ok: bool
    frames: int
    size: tuple[int, int]
    files: tuple[MadeFile, ...]
    seams: tuple[dict[str, float], ...]
    bad_pair: int | None
    message: str

    def by_kind(self) -> dict[FileKind, str]:
        """One name per kind; for a PNG master its first frame's."""
        names: dict[FileKind, str] = {}
        for made in self.files:
            names.setdefault(made.kind, made.name)
        return names

    def digests(self) -> dict[FileKind, str]:
        """One SHA-256 per kind; for a PNG master over the lines ``<sha256>  <name>`` of its files, in order."""
        grouped: dict[FileKind, list[MadeFile]] = {}
        for made in self.files:
            grouped.setdefault(made.kind, []).append(made)
        return {kind: group[0].sha256 if len(group) == 1 else _listing(group) for kind, group in grouped.items()}


def make(job: StitchInput, read: Read, folder: Path, *, crf: int = DEFAULT_CRF) -> Stitched:
    """Stitch a job into files in ``folder``, which exists; see `Stitched`.

    ``read`` gives the bytes at a store path of ``job.media``. Raises `StitchError` for a chain that does not fit,
    ``codec.MediumError`` for a damaged medium, ``encode.FileError`` for a file that does not read back as it was
    written; what was written by then is removed.
    """
    if job.master not in ("ffv1", "png", "none"):
        raise StitchError(f"{job.shot}: a master is ffv1, png or none, not {job.master!r}")
    look = look_at(job, read)
    bad = next((k for k, seam in enumerate(look.seams) if not seam.ok), None)
    message = (
        "" if bad is None else f"the seam between segments {bad} and {bad + 1} shows: {look.seams[bad].sentence()}"
    )
    written: list[Path] = []
    files: list[MadeFile] = []
    done: Retimed | None = None
    try:
        if bad is None:
            done = Retimed()
            files += _pictures(job, look, stitched_frames(job, look, read, done), folder, written, crf)
            files.append(_text("otio", folder, job, _timeline(job, look, files), written))
        report = stitch_report(job, look, done, [asdict(made) for made in files], message)
        files.append(_text("report", folder, job, report, written))
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    scores = tuple(seam.scores() for seam in look.seams)
    return Stitched(bad is None, look.layout.frames, look.size, tuple(files), scores, bad, message)


def stitched_frames(job: StitchInput, look: Look, read: Read, done: Retimed) -> Iterator[NDArray[np.uint8]]:
    """The second pass: exactly the shot's frames, uint8 [H, W, 3], one by one, whatever the seams are worth."""
    if look.layout.held:
        picture = decode_still(read(job.media[0]))
        done.exact = look.layout.frames
        return iter([picture] * look.layout.frames)
    segments = [_frames(read, path) for path in job.media]
    return retimed(joined(segments, look.maps, look.joins), look.layout, done)


def _frames(read: Read, path: str) -> Iterator[NDArray[np.uint8]]:
    """The frames of one medium, which is read only when the first of them is asked for."""
    data = read(path)
    if kind_of(data) == "still":
        yield decode_still(data)
    else:
        yield from iter_clip(data)


def _pictures(
    job: StitchInput, look: Look, frames: Iterator[NDArray[np.uint8]], folder: Path, written: list[Path], crf: int
) -> list[MadeFile]:
    """Encode movie and master in one pass over the frames, then read both back. ``written``: every path begun."""
    writers: list[tuple[FileKind, Writer]] = []
    try:
        if job.mp4:
            path = folder / f"{_stem(job)}.mp4"
            writers.append(("mp4", MovieWriter(path, size=look.size, rate=look.layout.rate, crf=crf)))
        if job.master == "ffv1":
            path = folder / f"{_stem(job)}.mkv"
            writers.append(
                ("master", MasterWriter(path, size=look.size, rate=look.layout.rate, frames=look.layout.frames))
            )
        elif job.master == "png":
            writers.append(("master", StillsWriter(folder / STILLS_FOLDER, shot=job.shot)))
        for picture in frames:
            for _, writer in writers:
                writer.write(picture)
        for _, writer in writers:
            writer.close()
    except BaseException:
        for _, writer in writers:
            writer.abandon()
        raise
    finally:
        for _, writer in writers:
            written.extend(writer.paths)
    for _, writer in writers:
        writer.check(look.layout.frames)
    return [_made(kind, path, folder) for kind, writer in writers for path in writer.paths]


def _timeline(job: StitchInput, look: Look, files: list[MadeFile]) -> str:
    names = {made.kind: made.name for made in files}
    return shot_timeline(
        show=job.show,
        shot=job.shot,
        version=job.version,
        stitch_id=job.stitch_id,
        chain=job.chain,
        frames=look.layout.frames,
        handles=job.handles,
        rate=look.layout.rate,
        movie=names.get("mp4"),
        master=names.get("master") if job.master == "ffv1" else None,
        stills=STILLS_FOLDER if job.master == "png" else None,
    )


def _text(kind: FileKind, folder: Path, job: StitchInput, text: str, written: list[Path]) -> MadeFile:
    path = folder / f"{_stem(job)}.{'otio' if kind == 'otio' else 'json'}"
    written.append(path)
    path.write_text(text, encoding="utf-8")
    return _made(kind, path, folder)


def _stem(job: StitchInput) -> str:
    return f"{job.shot}_{job.version}"


def _made(kind: FileKind, path: Path, folder: Path) -> MadeFile:
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return MadeFile(kind, path.relative_to(folder).as_posix(), digest, path.stat().st_size)


def _listing(group: list[MadeFile]) -> str:
    return hashlib.sha256("".join(f"{made.sha256}  {made.name}\n" for made in group).encode()).hexdigest()
