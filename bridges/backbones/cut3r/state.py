"""What goes from frame to frame, and how a frame changes it."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

UpdateRule = Literal["cut3r", "ttt3r"]
UPDATE_RULES: tuple[str, ...] = get_args(UpdateRule)


@dataclass(frozen=True, eq=False)
class Cut3rState:
    """The whole memory of several scenes; its size never changes.

    Attributes:
        tokens: ``[b s width]``.
        pose_memory: ``[b m 2*width]``.
        frames: ``[b]`` int64, frames seen.
    """

    tokens: Tensor
    pose_memory: Tensor
    frames: Tensor

    def where(self, scenes: Tensor, other: "Cut3rState") -> "Cut3rState":
        """Takes the scenes where ``scenes [b]`` is true from here, the rest from ``other``."""
        return Cut3rState(
            torch.where(scenes[:, None, None], self.tokens, other.tokens),
            torch.where(scenes[:, None, None], self.pose_memory, other.pose_memory),
            torch.where(scenes, self.frames, other.frames),
        )


def update_tokens(old: Tensor, new: Tensor, first: Tensor, mean_logits: Tensor | None) -> Tensor:
    """The state tokens after a frame: ``new``, or by TTT3R's rule β·new + (1 - β)·old.

    β = sigmoid(mean logit of the token's cross-attention); one at the first frame.

    Args:
        old: ``[b s width]``, before the frame.
        new: ``[b s width]``, as the decoder gives them.
        first: ``[b]`` bool.
        mean_logits: ``[b s]`` over layers, heads and keys; None for CUT3R's own rule.

    Source: Chen et al., "TTT3R: 3D reconstruction as test-time training", 2025.
    """
    if mean_logits is None:
        return new
    rate = torch.where(first[:, None], 1.0, mean_logits.sigmoid())[..., None]
    return rate * new + (1 - rate) * old
