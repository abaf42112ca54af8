"""Frames of earlier stages that a ticket starts from, read from the store once and kept while there is room."""

from collections import OrderedDict
from collections.abc import Mapping

from ancestra_farm.ledger.store import Store
from ancestra_farm.models.protocol import Frames
from ancestra_farm.stitch.codec import decode_frames

#: A few dozen full-HD stills, or two clips of 81 frames at 1280×720: neighbouring tickets mostly share their inputs.
CACHE_BYTES = 512 * 2**20


class ParentFrames:
    """Decoded frames by store path, least recently used out first. For one thread at a time."""

    def __init__(self, store: Store, cache_bytes: int = CACHE_BYTES) -> None:
        self._store = store
        self._room = cache_bytes
        self._kept: OrderedDict[str, Frames] = OrderedDict()

    def frames(self, paths: Mapping[str, str]) -> dict[str, Frames]:
        """Decoded frames, uint8 [T, H, W, 3], by candidate id, for ``paths`` (store path by candidate id).

        Raises NotThere or MediumDamaged: then nothing can be made from this parent.
        """
        found = {name: self._one(path) for name, path in paths.items()}
        self._shrink()
        return found

    def _one(self, path: str) -> Frames:
        if path in self._kept:
            self._kept.move_to_end(path)
        else:
            frames = decode_frames(self._store.read(path))
            # Several candidates start from the same array: a generator that wrote into it would change its neighbours.
            frames.setflags(write=False)
            self._kept[path] = frames
        return self._kept[path]

    def _shrink(self) -> None:
        while len(self._kept) > 1 and sum(frames.nbytes for frames in self._kept.values()) > self._room:
            self._kept.popitem(last=False)
