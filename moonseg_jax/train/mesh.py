"""Devices as a mesh: clips are split over ``data``, the members of a sweep over ``member``."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from moonseg_jax.structs import InputError

Devices = Sequence[jax.Device]  # pyright: ignore[reportInvalidTypeForm]


def data_mesh(devices: Devices, batch_clips: int) -> Mesh:
    """A mesh with one axis, ``data``, over which the clips of a batch are spread.

    Raises:
        InputError: where the clips cannot be shared out evenly.
    """
    _check_shares(devices, batch_clips)
    return Mesh(np.asarray(devices), ("data",))


def sweep_mesh(devices: Devices, batch_clips: int, members: int) -> Mesh:
    """A mesh with the axes ``member`` and ``data``.

    As many devices as possible lie along ``member``: members have nothing to tell each other.

    Raises:
        InputError: where the clips cannot be shared out evenly.
    """
    _check_shares(devices, batch_clips)
    groups = math.gcd(members, len(devices))
    return Mesh(np.asarray(devices).reshape(groups, -1), ("member", "data"))


def all_devices() -> Devices:
    """Of all processes, those of one process side by side, as its clips are."""
    return sorted(jax.devices(), key=lambda device: device.process_index)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Clips split over all devices; the members of a sweep get the others' by the interconnect."""
    return NamedSharding(mesh, PartitionSpec(mesh.axis_names))


def member_sharding(mesh: Mesh) -> NamedSharding:
    """Members split along their axis."""
    return NamedSharding(mesh, PartitionSpec("member"))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def put_batch(batch: Any, mesh: Mesh) -> Any:
    """The clips of all processes as one batch on the devices.

    Args:
        batch: ``[b t ...]`` NumPy arrays, this process's clips.
        mesh: over the devices of all processes.
    """
    split = batch_sharding(mesh)
    if split.is_fully_addressable:
        return jax.device_put(batch, split)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(split, x), batch)


def put_state(state: Any, sharding: Any) -> Any:
    """Arrays that every process holds whole, laid out over the devices.

    Args:
        state: arrays, the same in all processes.
        sharding: of all of them, or a tree that is a prefix of the state.
    """

    def put(place: NamedSharding, part: Any) -> Any:
        if place.is_fully_addressable:
            return jax.device_put(part, place)
        return jax.tree.map(lambda x: _from_host(np.asarray(x), place), part)

    return jax.tree.map(put, sharding, state)


def _from_host(x: np.ndarray, place: NamedSharding) -> jax.Array:
    return jax.make_array_from_callback(x.shape, place, lambda index: x[index])


def _check_shares(devices: Devices, batch_clips: int) -> None:
    if batch_clips % len(devices):
        raise InputError(
            f"data.batch_clips={batch_clips} does not divide by {len(devices)} devices; "
            "use a multiple"
        )
