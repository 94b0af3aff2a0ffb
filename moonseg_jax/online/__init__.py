"""Online fusion: merge, match and update, one pure step a frame."""

from moonseg_jax.online.pipeline import step
from moonseg_jax.online.results import SceneResult, SegmentedScene
from moonseg_jax.online.segmenter import Segmenter
from moonseg_jax.online.state import Bank, OnlineState, grow, init

__all__ = [
    "Bank",
    "OnlineState",
    "SceneResult",
    "SegmentedScene",
    "Segmenter",
    "grow",
    "init",
    "step",
]
