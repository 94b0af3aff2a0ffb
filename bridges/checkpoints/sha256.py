"""What weights are told by: the SHA-256 of a file, or of the tensors in it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex; the file is streamed."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors_sha256(tensors: "Mapping[str, Tensor]") -> str:
    """SHA-256 of tensors by name, in hex: the same in whatever kind of file they came.

    Over each tensor in the order of the names: ``name dtype shape``, a line feed, its bytes.

    Args:
        tensors: on the CPU.
    """
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
