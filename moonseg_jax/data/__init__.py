"""Training clips from caches: shuffled, batched, resumable, sharded over processes."""

from moonseg_jax.data.loader import ClipLoader, make_loader
from moonseg_jax.data.masks import fit_masks
from moonseg_jax.data.scenes import open_scenes

__all__ = ["ClipLoader", "fit_masks", "make_loader", "open_scenes"]
