"""η, φ and ψ: from masks and frozen features to refined 3D queries."""

from moonseg_jax.models.core import Core, FeatureCore, split_core
from moonseg_jax.models.coverage import attended_patches, mask_coverage
from moonseg_jax.models.weights import (
    WeightsInfo,
    file_sha256,
    load_weights,
    save_weights,
    weights_metadata,
)

__all__ = [
    "Core",
    "FeatureCore",
    "WeightsInfo",
    "attended_patches",
    "file_sha256",
    "load_weights",
    "mask_coverage",
    "save_weights",
    "split_core",
    "weights_metadata",
]
