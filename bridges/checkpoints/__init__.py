"""Weights of others: where they are, what they are called, and reading them without running them.

Importing this package needs no PyTorch; reading does.
"""

from bridges.checkpoints.finding import find_weights, found_weights, weights_folder
from bridges.checkpoints.reading import read_tensors
from bridges.checkpoints.registry import CROPFORMER, KNOWN, KnownWeights
from bridges.checkpoints.sha256 import file_sha256, tensors_sha256

__all__ = [
    "CROPFORMER",
    "KNOWN",
    "KnownWeights",
    "file_sha256",
    "find_weights",
    "found_weights",
    "read_tensors",
    "tensors_sha256",
    "weights_folder",
]
