"""Frames of the bridges, whose arrays may be PyTorch's, for whoever takes NumPy's or JAX's."""

import dataclasses
from typing import Any

import jax

from moonseg_jax.structs.frame import Frame


def on_host(frame: Frame) -> Frame:
    """The frame with NumPy's arrays where it has tensors."""
    return dataclasses.replace(
        frame, **{name: x.numpy(force=True) for name, x in _tensors(frame).items()}
    )


def for_jax(frame: Frame) -> Frame:
    """The frame with what JAX takes in: tensors on a GPU stay there where JAX has one, too.

    Handed over by DLPack, without a copy: the tensors must not change afterwards.
    """
    if jax.default_backend() != "gpu":
        return on_host(frame)
    return dataclasses.replace(
        frame,
        **{
            name: jax.dlpack.from_dlpack(x.contiguous()) if x.is_cuda else x.numpy()
            for name, x in _tensors(frame).items()
        },
    )


def _tensors(frame: Frame) -> dict[str, Any]:
    """Known by what they can do: PyTorch need not be installed."""
    values = {field.name: getattr(frame, field.name) for field in dataclasses.fields(frame)}
    return {name: value for name, value in values.items() if hasattr(value, "is_cuda")}
