"""A worker process that ends when the raylet that started it is gone.

Ray tells such a process to leave only once its calls have ended, and ours never do: a host would hold its device, and
a controller its store, for a minute or more after the node they belong to is gone for everybody else.
"""

import os
import threading
import time

#: A process without its raylet is noticed so soon.
LOOK_S = 1.0
#: Exit code of a process whose raylet is gone (EX_UNAVAILABLE).
ORPHANED = 69


def end_with_parent() -> None:
    """From now on this process ends within `LOOK_S` of its parent, without cleaning up: nothing it does counts."""
    threading.Thread(target=_watch, args=(os.getppid(),), name="lifeline", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(ORPHANED)
