"""What flows through the system: a source's frame, a cached frame, and what is said about it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from flax import struct

Array = Any  # A np.ndarray on the host, a jax.Array under jit.


@dataclass(frozen=True)
class SourceFrame:
    """One frame as a source yields it, on the host, at the source's own resolution.

    Attributes:
        name: the frame's stem in the source, e.g. ``000042`` or ``frame-000042``.
        timestamp: seconds.
        image: ``[H W 3]`` uint8, RGB.
        depth: ``[Hd Wd]`` float32 along z, metres, NaN where invalid; None for RGB-only sources.
        T_world_from_cam: ``[4 4]`` float64, OpenCV axes, metres; None for RGB-only sources.
        intrinsics: ``[3 3]`` float64 of the image, in pixels, pixel centres at +0.5; None where
            unknown.
    """

    name: str
    timestamp: float
    image: np.ndarray
    depth: np.ndarray | None = None
    T_world_from_cam: np.ndarray | None = None
    intrinsics: np.ndarray | None = None


@struct.dataclass
class Frame:
    """One frame as the cache and the live bridges yield it: all that the core ever sees.

    Leading axes may be added to every field at once (``[t ...]`` a clip, ``[b t ...]`` a batch).

    Attributes:
        features_3d: ``[h w c3]`` float16, geometric features F3d.
        features_2d: ``[h w c2]`` float16, semantic features F2d.
        state_attention: ``[s h w]`` float16, state-to-image attention A; None where not cached.
        points: ``[Hp Wp 3]`` float32, pointmap in the world frame; NaN where invalid.
        confidence: ``[Hp Wp]`` float32, > 0 where the point can be trusted, 0 where invalid.
        colors: ``[Hp Wp 3]`` uint8, RGB at the pointmap's resolution.
        T_world_from_cam: ``[4 4]`` float32, OpenCV axes.
        intrinsics: ``[3 3]`` float32, in pixels of the processed image (``SceneInfo.image_size``),
            pixel centres at +0.5.
        masks: ``[Hm Wm words]`` uint32, bit planes of the 2D masks.
        mask_valid: ``[words·32]`` bool.
        mask_scores: ``[words·32]`` float32, in 0..1; 0 where not valid.
        timestamp: ``[]`` float64 on the host, seconds.
    """

    features_3d: Array
    features_2d: Array
    points: Array
    confidence: Array
    colors: Array
    T_world_from_cam: Array
    intrinsics: Array
    masks: Array
    mask_valid: Array
    mask_scores: Array
    timestamp: Array
    state_attention: Array | None = None


@struct.dataclass
class FrameResult:
    """What the online step says about one frame.

    Attributes:
        instance: ``[q]`` int32, the bank row each mask went to; -1 where the mask is not valid.
        is_new: ``[q]`` bool, the mask started that row in this frame.
        similarity: ``[q]`` float32, E of Eq. 12 of the accepted match; 0 where new or not valid.
        id_map: ``[Hm Wm]`` int32, bank row + 1 per pixel, 0 = no mask. Where masks overlap the
            better score is on top; at equal scores the smaller mask.
        num_rows: ``[]`` int32, rows in use after this frame.
        num_keys: ``[]`` int32, keys in use after this frame.

    The properties are for results on the host, as `moonseg_jax.Segmenter.step` returns them.
    """

    instance: Array
    is_new: Array
    similarity: Array
    id_map: Array
    num_rows: Array
    num_keys: Array

    @property
    def ids(self) -> np.ndarray:
        """``[q]`` int32, the id of each mask as in ``id_map``; 0 where the mask is not valid."""
        return np.asarray(self.instance) + 1

    @property
    def seen(self) -> np.ndarray:
        """Ids of this frame's masks, ascending; all in ``id_map`` but those covered by others."""
        return np.unique(self.ids[self.ids > 0])

    @property
    def new(self) -> np.ndarray:
        """Those of ``seen`` that no frame before had."""
        return np.unique(self.ids[np.asarray(self.is_new)])

    @property
    def merged(self) -> np.ndarray:
        """Those of ``seen`` that several masks of this frame were merged into."""
        ids, masks = np.unique(self.ids[self.ids > 0], return_counts=True)
        return ids[masks > 1]
