"""Trying again: how often, and how long to wait in between. What is worth another try is the caller's to say."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

#: Tries in all. Below these lie the client library's own (botocore: six, for what a service or a network answers).
TRIES = 3
#: Seconds before the second try, at most; it doubles from there.
FIRST_S = 0.5

_T = TypeVar("_T")


def patiently(
    attempt: Callable[[int], _T],
    again: Callable[[Exception], bool],
    *,
    tries: int = TRIES,
    first_s: float = FIRST_S,
    sleep: Callable[[float], None] = time.sleep,
) -> _T:
    """``attempt(n)`` for n = 0, 1, … until it answers, raises what ``again`` does not want, or ``tries`` are used up.

    Waits are drawn evenly from nothing to a limit that doubles, so that many who failed together do not come back
    together ("full jitter": M. Brooker, AWS Architecture Blog, 2015).
    """
    for number in range(tries):
        try:
            return attempt(number)
        except Exception as error:
            if number == tries - 1 or not again(error):
                raise
        sleep(random.uniform(0, first_s * 2**number))  # noqa: S311 - spreading load is no secret
    raise AssertionError("the last try either returns or raises")
