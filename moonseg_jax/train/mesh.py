"""Devices as a mesh with one axis, ``data``: batches are split over it, all else is replicated."""

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from moonseg_jax.structs import InputError


def data_mesh(
    devices: Sequence[jax.Device],  # pyright: ignore[reportInvalidTypeForm]
    batch_clips: int,
) -> Mesh:
    """A mesh with one axis, ``data``, over which the clips of a batch are spread.

    Raises:
        InputError: where the clips cannot be shared out evenly.
    """
    if batch_clips % len(devices):
        raise InputError(
            f"data.batch_clips={batch_clips} does not divide by {len(devices)} devices; "
            "use a multiple"
        )
    return Mesh(np.asarray(devices), ("data",))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Clips split over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())
