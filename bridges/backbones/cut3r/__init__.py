"""CUT3R, the reconstructive foundation model: our own implementation, frozen weights.

The published weights are CC BY-NC-SA 4.0: not for commercial use.
"""

from bridges.backbones.cut3r.config import MINI, TINY_DPT, TINY_LINEAR, VARIANTS, Cut3rConfig
from bridges.backbones.cut3r.convert import needed_tensors
from bridges.backbones.cut3r.graphed import GraphedCut3r, compile_blocks
from bridges.backbones.cut3r.image import (
    normalise_images,
    plan_image,
    prepare_image,
    shrink_images,
)
from bridges.backbones.cut3r.model import Cut3r
from bridges.backbones.cut3r.output import Cut3rOutput
from bridges.backbones.cut3r.state import UPDATE_RULES, Cut3rState, UpdateRule
from bridges.backbones.cut3r.stream import Cut3rStream

__all__ = [
    "MINI",
    "TINY_DPT",
    "TINY_LINEAR",
    "UPDATE_RULES",
    "VARIANTS",
    "Cut3r",
    "Cut3rConfig",
    "Cut3rOutput",
    "Cut3rState",
    "Cut3rStream",
    "GraphedCut3r",
    "UpdateRule",
    "compile_blocks",
    "needed_tensors",
    "normalise_images",
    "plan_image",
    "prepare_image",
    "shrink_images",
]
