"""Running out of memory: how it is told from other errors, and how many candidates fit in a call from then on."""

import gc
import sys
from collections import defaultdict

from ancestra_farm.plan.recipe import Recipe

#: What torch's allocator of the CPU says where the system gives it nothing more, and cuBLAS and cuDNN where the device
#: has no room for what they need themselves.
_SAYS = ("can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")

Shape = tuple[tuple[int, int], int]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or this machine, had no memory left."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _SAYS)


def free_memory() -> None:
    """Give back what nothing refers to any more, on the device too."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


class CallSizes:
    """How many candidates of a size and frame count one call may make: ``most``, halved where memory ended."""

    def __init__(self, most: int) -> None:
        self._sizes: defaultdict[Shape, int] = defaultdict(lambda: most)

    def of(self, recipe: Recipe) -> int:
        """The candidates like this one that fit in a call, as far as is known."""
        return self._sizes[(recipe.size, recipe.frames)]

    def ran_out(self, recipe: Recipe, candidates: int) -> None:
        """A call of so many did not fit; half of them is the most from now on."""
        self._sizes[(recipe.size, recipe.frames)] = max(1, candidates // 2)
