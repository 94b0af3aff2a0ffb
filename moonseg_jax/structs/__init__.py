"""What every other package speaks: frames, scene descriptions, errors. Imports nothing of ours."""

from moonseg_jax.structs.bitplanes import pack_masks, unpack_masks
from moonseg_jax.structs.errors import InputError, install
from moonseg_jax.structs.frame import Frame, FrameResult, SourceFrame
from moonseg_jax.structs.scene import Backbone, Recording, SceneInfo

__all__ = [
    "Backbone",
    "Frame",
    "FrameResult",
    "InputError",
    "Recording",
    "SceneInfo",
    "SourceFrame",
    "install",
    "pack_masks",
    "unpack_masks",
]
