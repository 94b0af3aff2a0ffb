"""Online fusion: merge, match and update, one pure step a frame."""

from moonseg_jax.online.loop import OnlineLoop
from moonseg_jax.online.pipeline import step
from moonseg_jax.online.results import Instance, SceneResult, SegmentedScene
from moonseg_jax.online.state import Bank, OnlineState, grow, init

__all__ = [
    "Bank",
    "Instance",
    "OnlineLoop",
    "OnlineState",
    "SceneResult",
    "SegmentedScene",
    "grow",
    "init",
    "step",
]
