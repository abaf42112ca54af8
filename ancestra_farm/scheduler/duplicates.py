"""Near-duplicates among survivors, by perceptual hash. Decides who resembles whom, not what follows from it."""

from itertools import pairwise

HASH_BITS = 64


class HashIndex:
    """Hashes seen so far, with the nearest earlier one within ``bits``.

    By the pigeonhole principle two hashes that differ in at most ``bits`` bits agree in at least one of ``bits + 1``
    slices, so only hashes that share a slice are compared (Manku, Jain, Das Sarma: "Detecting near-duplicates for web
    crawling", WWW 2007). ``bits`` -1: nothing is a duplicate.
    """

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self._seen: list[tuple[int, str]] = []
        self._slices: list[dict[int, list[int]]] = [{} for _ in range(bits + 1)]

    @classmethod
    def of(cls, dump: tuple[int, list[tuple[int, str]]]) -> "HashIndex":
        """The index of which this is the `dump`."""
        bits, seen = dump
        made = cls(bits)
        for phash, candidate_id in seen:
            made.add(phash, candidate_id)
        return made

    def dump(self) -> tuple[int, list[tuple[int, str]]]:
        """``bits``, and (hash, candidate id) of everything added, in order."""
        return self.bits, list(self._seen)

    def add(self, phash: int | None, candidate_id: str) -> None:
        """Remember a survivor; one without a hash resembles nothing."""
        if phash is None or self.bits < 0:
            return
        self._seen.append((phash, candidate_id))
        for slice_index, value in enumerate(self._values(phash)):
            self._slices[slice_index].setdefault(value, []).append(len(self._seen) - 1)

    def nearest(self, phash: int | None) -> str | None:
        """The earliest survivor within ``bits`` bits, or None."""
        if phash is None or self.bits < 0:
            return None
        alike = {
            entry for index, value in enumerate(self._values(phash)) for entry in self._slices[index].get(value, ())
        }
        for entry in sorted(alike):
            seen, candidate_id = self._seen[entry]
            if (seen ^ phash).bit_count() <= self.bits:
                return candidate_id
        return None

    def _values(self, phash: int) -> list[int]:
        """The hash cut into bits + 1 slices of nearly equal width."""
        count = self.bits + 1
        edges = [HASH_BITS * i // count for i in range(count + 1)]
        return [(phash >> low) & ((1 << (high - low)) - 1) for low, high in pairwise(edges)]
