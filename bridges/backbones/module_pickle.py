"""Tensors of a whole model that was pickled as objects, without its code and without running it."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from bridges.checkpoints import read_tensors
from moonseg_jax.structs import InputError

ENTRIES = ("ema", "model")  # Where both are, the average over training is the model.


class _Inert:
    """Stands for an object of any class; keeps the state that it had and can do nothing."""

    def __new__(cls, *arguments: Any) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}


def read_module_tensors(path: Path) -> dict[str, Tensor]:
    """Reads the state dict of a pickled module.

    Some projects save whole modules with `torch.save`. Every class or function that such a file
    names is replaced by an inert one, PyTorch's restricted unpickler reads it, and parameters and
    buffers are collected from what the objects held. Files that hold plain tensors, also
    ``.safetensors``, are read as `read_tensors` does.

    Args:
        path: of the file.

    Returns:
        Name to tensor as in the module's ``state_dict()``, on the CPU, in the file's dtypes.

    Raises:
        InputError: no such file, damaged, without a model, or naming what is never harmless.
    """
    named = _foreign_names(path)
    if not named:
        return read_tensors(path)
    content = _unpickle(path, named)
    modules = [content.get(entry) for entry in ENTRIES] if isinstance(content, dict) else [content]
    module = next((module for module in modules if isinstance(module, _Inert)), None)
    tensors = dict(_tensors(module, "")) if module else {}
    if not tensors:
        raise InputError(f"{path} holds no model: give the checkpoint as it was given out.")
    return tensors


def _foreign_names(path: Path) -> list[str]:
    """What a file names beyond tensors and plain data; nothing where it is no PyTorch archive."""
    if path.suffix == ".safetensors" or not path.is_file() or not zipfile.is_zipfile(path):
        return []
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception as error:  # A damaged pickle fails in whatever way it happens to.
        raise InputError(_damaged(path)) from error


def _unpickle(path: Path, named: list[str]) -> Any:
    try:
        with torch.serialization.safe_globals([(_Inert, name) for name in named]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UnpicklingError as error:
        raise InputError(
            f"{path} names {', '.join(named)}, not all of which a model's file needs, so it was"
            " not read: take the file from those who made it."
        ) from error
    except Exception as error:
        raise InputError(_damaged(path)) from error


def _damaged(path: Path) -> str:
    return f"{path} is cut short or damaged, or no weights file: download it again."


def _tensors(module: _Inert, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for kind in ("_parameters", "_buffers"):
        for name, tensor in module.state.get(kind, {}).items():
            if isinstance(tensor, Tensor):
                yield prefix + name, tensor.detach()
    for name, child in module.state.get("_modules", {}).items():
        if isinstance(child, _Inert):
            yield from _tensors(child, f"{prefix}{name}.")
