"""Procedural rooms: ray caster, camera paths, imitated 2D masks, posed RGB-D folders."""

from moonseg_jax.rooms.camera import default_intrinsics, render
from moonseg_jax.rooms.folder import write_room
from moonseg_jax.rooms.masks import NO_CORRUPTION, CorruptionRates, corrupt_masks
from moonseg_jax.rooms.path import camera_path
from moonseg_jax.rooms.sample import sample_room
from moonseg_jax.rooms.scene import RenderedFrame, Room, RoomConfig

__all__ = [
    "NO_CORRUPTION",
    "CorruptionRates",
    "RenderedFrame",
    "Room",
    "RoomConfig",
    "camera_path",
    "corrupt_masks",
    "default_intrinsics",
    "render",
    "sample_room",
    "write_room",
]
