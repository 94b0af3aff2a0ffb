"""What is told of a frame: points in its own view and in the world's, confidences, pose."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from bridges.backbones.cut3r.attention import Mlp
from bridges.backbones.cut3r.blocks import ModulatedBlock
from bridges.backbones.cut3r.concurrency import concurrently
from bridges.backbones.cut3r.config import Cut3rConfig
from bridges.backbones.cut3r.decoder import Decoded
from bridges.backbones.cut3r.heads_dpt import DptHead
from bridges.backbones.cut3r.heads_linear import LinearHead
from bridges.backbones.cut3r.regression import decode_points, decode_pose

VIEWS = {"dpt": DptHead, "linear": LinearHead}
PAIR = 2  # Blocks that carry the tokens from the camera's view to the world's.


class PointView(nn.Module):
    """Points and confidences of one view."""

    def __init__(self, config: Cut3rConfig, faces_forward: bool) -> None:
        super().__init__()
        self.faces_forward = faces_forward
        self.net = VIEWS[config.head](config)

    def forward(self, levels: tuple[Tensor, ...], grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """``[b H W 3]`` and ``[b H W]``, in the precision of the last of ``levels``."""
        return decode_points(self.net(levels, grid).to(levels[-1].dtype), self.faces_forward)


class Told(NamedTuple):
    """``points [b H W 3]``, ``conf [b H W]`` in both views; ``pose [b 7]``."""

    points_self: Tensor
    conf_self: Tensor
    points_world: Tensor
    conf_world: Tensor
    pose: Tensor


class Heads(nn.Module):
    """Two views of the same kind, the world's on tokens conditioned on the pose."""

    def __init__(self, config: Cut3rConfig) -> None:
        super().__init__()
        self.pose = Mlp(config.width, out=7)
        self.pair = nn.ModuleList(
            ModulatedBlock(config.width, config.image_heads) for _ in range(PAIR)
        )
        self.self_view = PointView(config, faces_forward=config.head == "linear")
        self.world_view = PointView(config, faces_forward=False)

    def forward(
        self,
        patches: Tensor,
        decoded: Decoded,
        grid: tuple[int, int],
        rope: Tensor,
        side: torch.cuda.Stream | None = None,
    ) -> Told:
        """Runs the heads.

        Args:
            patches: ``[b p encoder_width]`` of the encoder.
            decoded: of the decoders.
            grid: ``(h, w)``.
            rope: ``[2 p d]`` of the patches, in the image branch's width per head.
            side: a stream for the camera's view.
        """
        before = (patches, *decoded.middle)
        world, own = concurrently(
            lambda: self.world_view((*before, self._to_world(decoded, rope)), grid),
            lambda: self.self_view((*before, decoded.tokens), grid),
            side,
        )
        pose = self.pose(decoded.pose[:, 0]).to(decoded.pose.dtype)
        return Told(own[0], own[1], world[0], world[1], decode_pose(pose))

    def _to_world(self, decoded: Decoded, rope: Tensor) -> Tensor:
        tokens = decoded.tokens
        for block in self.pair:
            tokens = block(tokens, decoded.pose, rope)
        return tokens
