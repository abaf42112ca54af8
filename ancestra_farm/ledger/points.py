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

#: ``point``, or ``point:n`` to die the n-th time that this process gets there (1: the first).
KILL_AT = "ANCESTRA_KILL_AT"
#: A file; the point works only for the process that creates it. So one process of many dies, and only once: what is
#: started again with the same environment lives.
KILL_ONCE = "ANCESTRA_KILL_ONCE"

POINTS = {
    "commit.before_create": "a commit is decided and encoded; nothing of it is in the store",
    "commit.after_create": "a commit is in the store; who wrote it does not know yet",
    "pack.after_write": "commits are packed; the files that the pack covers are all still there",
    "pack.between_deletes": "commits are packed; some of the files that the pack covers are gone",
    "snapshot.after_write": "a snapshot is in the store; nothing has used it yet",
    "media.before_link": "a medium lies in a temporary file; it is not visible yet",
    "host.before_ticket": "a host has taken a ticket; nothing of it has been generated",
    "host.after_media_before_row": "a medium is in the store; its row is nowhere",
    "host.before_reply": "a ticket is done, media and sheet are in the store; its rows are nowhere",
    "control.before_commit": "a turn is decided; nothing of it is in the log",
    "control.after_commit_before_acknowledgement": "a turn is in the log; nothing of it is carried out or answered",
    "control.after_order": "an order is in the log; what follows from it is not",
    "stitch.after_version_before_publish": "a version is allocated and stitched; nothing of it is published",
    "publish.half_way": "one file of a version is published; the others and the manifest are not",
}

_counts: dict[str, Iterator[int]] = {}


def reached(point: str) -> None:
    """Say that ``point`` is reached. Ends this process if the environment says so; otherwise costs a look-up."""
    wanted = os.environ.get(KILL_AT)
    if wanted is not None and _meant(point, wanted):
        os.kill(os.getpid(), signal.SIGKILL)


def _meant(point: str, wanted: str) -> bool:
    name, _, nth = wanted.partition(":")
    if name != point:
        return False
    # `next` of a counter is atomic, so that two threads cannot both be the n-th.
    if next(_counts.setdefault(point, itertools.count(1))) != int(nth or 1):
        return False
    once = os.environ.get(KILL_ONCE)
    if once is None:
        return True
    try:
        Path(once).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
