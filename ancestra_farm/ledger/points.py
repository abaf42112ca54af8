"""Named points at which a test or a soak run may have a process killed, to show that nothing rests on it living.

Between two steps that belong together (a medium and its row, a commit and its acknowledgement) the code says
`reached("host.after_media_before_row")`. Nothing happens there unless the environment names that point: then the
process ends with SIGKILL, which no handler sees and no buffer survives. A name is said in one place only and never
changes its meaning; `POINTS` lists them with what has happened and what has not.
"""

import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

#: ``point``, or ``point:n`` to die the n-th time that a process gets there (1: the first); several with commas between.
KILL_AT = "ANCESTRA_KILL_AT"
#: A folder. Each of them works only once, for the process that creates its file there: so one process of many dies, and
#: what is started again with the same environment lives.
KILL_ONCE = "ANCESTRA_KILL_ONCE"

POINTS = {
    "commit.before_create": "a commit is decided and encoded; nothing of it is in the store",
    "commit.after_create": "a commit is in the store; who wrote it does not know yet",
    "pack.after_write": "commits are packed; the files that the pack covers are all still there",
    "pack.between_deletes": "commits are packed; some of the files that the pack covers are gone",
    "snapshot.after_write": "a snapshot is in the store; nothing has used it yet",
    "repair.between_files": "one file of a repair is in its place; others are not, and the log is still damaged",
    "gc.after_commit_before_deletes": "old rejects are named as collected; their media are all still there",
    "media.before_link": "a medium lies in a temporary file; it is not visible yet",
    "materials.after_put": "material is in the store; the batch that names it is not in the log",
    "uploads.after_part": "a part of a large file is in the store; whoever sent it was not told",
    "uploads.after_answer": "a part has come through the door, and whoever brought it was told; the next was not sent",
    "uploads.before_join": "all parts of a file are in the store; its material is not",
    "uploads.after_join": "material is in the store; its parts are still there",
    "materials.before_rename": "material has come to a node; it has no name there yet",
    "host.before_ticket": "a host has taken a ticket; nothing of it has been generated",
    "host.after_media_before_row": "a medium is in the store; its row is nowhere",
    "host.before_reply": "a ticket is done, media and sheet are in the store; its rows are nowhere",
    "control.before_commit": "a turn is decided; nothing of it is in the log",
    "control.after_commit_before_acknowledgement": "a turn is in the log; nothing of it is carried out or answered",
    "control.after_order": "an order or a submission is in the log; nobody was told and nothing followed from it",
    "stitch.after_version_before_publish": "a version is allocated and stitched; nothing of it is published",
    "look.after_step": "a step of a look is trained; it is in the store only if a checkpoint was due",
    "publish.half_way": "one file of a version is published; the others and the manifest are not",
}

_counts: dict[str, Iterator[int]] = {}


def reached(point: str) -> None:
    """Say that ``point`` is reached. Ends this process if the environment says so; otherwise costs a look-up."""
    wanted = os.environ.get(KILL_AT)
    if wanted is None or point not in wanted:
        return
    # `next` of a counter is atomic, so that two threads cannot both be the n-th.
    count = next(_counts.setdefault(point, itertools.count(1)))
    for one in wanted.split(","):
        name, _, nth = one.partition(":")
        if name == point and count == int(nth or 1) and _is_first(one):
            os.kill(os.getpid(), signal.SIGKILL)


def _is_first(one: str) -> bool:
    folder = os.environ.get(KILL_ONCE)
    if folder is None:
        return True
    try:
        (Path(folder) / one).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
