"""Chance by name: numbers that rest on a seed and on what they are about, never on when they are asked for.

So a candidate's fate is the same on one host as on ten thousand, and a fleet that grows does not change what becomes of
the hosts it had. Decides nothing; says only how large a number is.
"""

import hashlib
from math import cos, exp, log, pi, sqrt
from struct import Struct

_EIGHT = Struct("<8Q")
#: Numbers have 53 bits, as many as a float holds exactly: 64 would round up to 1.
_STEP = 2.0**-53


class Chance:
    """Numbers in [0, 1) by name. ``seed``: another one gives another world; ``concern``: what they are for."""

    def __init__(self, seed: int, concern: str) -> None:
        self._state = hashlib.blake2b(f"{seed}/{concern}".encode())

    def of(self, *names: str | int) -> float:
        """The number of these names."""
        return self.several(*names)[0]

    def several(self, *names: str | int) -> list[float]:
        """Eight numbers of these names, independent of each other."""
        state = self._state.copy()
        state.update("\x00".join(map(str, names)).encode())
        return [(number >> 11) * _STEP for number in _EIGHT.unpack(state.digest())]


def normal(first: float, second: float) -> float:
    """A standard normal number of two uniform ones in [0, 1) (Box and Muller, 1958)."""
    return sqrt(-2.0 * log(1.0 - first)) * cos(2.0 * pi * second)


def lognormal(first: float, second: float, sigma: float) -> float:
    """A factor with mean 1 and spread ``sigma`` (the standard deviation of its logarithm) of two uniform numbers."""
    return exp(sigma * normal(first, second) - sigma * sigma / 2) if sigma else 1.0


def exponential(number: float, per_hour: float) -> float:
    """Seconds to the next of so many events an hour, of a uniform number. ``per_hour`` must be positive."""
    return -log(1.0 - number) * 3600.0 / per_hour
