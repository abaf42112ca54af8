"""What counts as having no memory left: a smaller call is tried, and no candidate is charged."""

import pytest
import torch

from ancestra_farm.models.diffusion.memory import is_out_of_memory


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8000000000000 bytes."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
    ids=lambda error: str(error)[:40],
)
def test_a_device_or_a_machine_without_room_is_out_of_memory(error):
    assert is_out_of_memory(error)


def test_other_errors_are_not():
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert not is_out_of_memory(ValueError("not enough memory"))


def test_what_this_machine_cannot_give_is_known_by_what_torch_really_says():
    with pytest.raises(RuntimeError) as told:
        torch.empty(2**50, dtype=torch.float64)
    assert is_out_of_memory(told.value)
