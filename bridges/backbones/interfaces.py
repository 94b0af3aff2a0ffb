"""What the bridge asks of geometry, semantics and 2D masks."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from moonseg_jax.structs import SourceFrame

POINT_STRIDE = 4
MASK_STRIDE = 2


@dataclass(frozen=True)
class Geometry:
    """What a reconstruction says about a frame; fields as in `Frame`.

    Arrays of NumPy, or tensors on the device of the backbone that made them.
    """

    points: Any
    confidence: Any
    features_3d: Any
    T_world_from_cam: Any
    intrinsics: Any
    state_attention: Any = None


@dataclass(frozen=True)
class Masks:
    """Masks of one frame.

    Attributes:
        masks: ``[q Hm Wm]`` bool at ``MASK_STRIDE``; q may be 0, no mask is empty.
        scores: ``[q]`` float32 in 0..1.
    """

    masks: np.ndarray
    scores: np.ndarray


class Made(Protocol):
    """Whatever makes arrays of a cache, as the cache records it.

    Attributes:
        name: as on the command line.
        threaded: may be called from several threads at once, on frames in any order; else it has
            ``batch``, which the bridge calls from one thread with the next frames of one scene or
            of several: ``batch(images)`` of semantics and masks, ``batch(scenes, images, room)`` of
            geometry (see `Cut3rGeometry.batch`).
    """

    name: str
    threaded: bool

    @property
    def config(self) -> dict[str, Any]:
        """What defines the numbers; JSON-serialisable."""
        ...

    @property
    def weights_sha256(self) -> str:
        """Of the weights file; empty where there are none."""
        ...


class GeometrySource(Made, Protocol):
    """Geometry of one scene, frame by frame.

    Attributes:
        channels: c3.
        state_tokens: s; 0 where no state attention is given.
        units: ``metre`` or ``scene``.
        poses: ``sensor`` or ``predicted``.
    """

    channels: int
    state_tokens: int
    units: str
    poses: str

    def begin(self, first: SourceFrame) -> None:
        """Forgets what was; ``first`` is the first frame of what comes."""
        ...

    def __call__(self, frame: SourceFrame, image: np.ndarray) -> Geometry:
        """Lifts the next frame; ``image`` is the processed one, ``[H W 3]`` uint8."""
        ...


class Semantics(Made, Protocol):
    """Semantic features of an image; ``channels`` is c2."""

    channels: int

    def __call__(self, image: np.ndarray) -> Any:
        """Describes the processed image ``[H W 3]`` uint8 as ``[h w c2]`` float16."""
        ...


class MaskSource(Made, Protocol):
    """2D masks of an image."""

    def __call__(self, frame: SourceFrame, image: np.ndarray) -> Masks:
        """Finds the masks of a frame; ``image`` is the processed one, ``[H W 3]`` uint8."""
        ...
