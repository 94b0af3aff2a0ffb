"""From JAX to PyTorch on one device."""

import jax
import torch
from torch import Tensor


def own_tensors(arrays: tuple[jax.Array, ...], device: torch.device) -> tuple[Tensor, ...]:
    """Finished copies of arrays, of the calling thread's stream.

    Copied and waited for: memory that is released goes back to JAX, which may overwrite what
    PyTorch has yet to read.
    """
    jax.block_until_ready(arrays)
    copies = tuple(torch.from_dlpack(x).to(device, copy=True) for x in arrays)
    if device.type == "cuda":
        torch.cuda.current_stream().synchronize()
    return copies
