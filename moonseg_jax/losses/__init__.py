"""L_seg, L_dist and L_xseg (Eq. 5, 6, 10), and L_merge, on a frame and on a clip."""

from moonseg_jax.losses.clip import clip_loss, index_maps, refine_clip
from moonseg_jax.losses.distillation import dist_loss
from moonseg_jax.losses.merging import merge_loss
from moonseg_jax.losses.segmentation import seg_loss, xseg_loss

__all__ = [
    "clip_loss",
    "dist_loss",
    "index_maps",
    "merge_loss",
    "refine_clip",
    "seg_loss",
    "xseg_loss",
]
