"""The pose memory: what was seen, and where from."""

import torch
from torch import Tensor, nn

from bridges.backbones.cut3r.attention import Linear
from bridges.backbones.cut3r.blocks import DecoderBlock
from bridges.backbones.cut3r.config import Cut3rConfig


class PoseMemory(nn.Module):
    """Rows of [image | pose]; blocks without positions read and write it."""

    def __init__(self, config: Cut3rConfig) -> None:
        super().__init__()
        width, heads = 2 * config.width, config.image_heads
        self.pose_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.unknown_pose = nn.Parameter(torch.zeros(1, 1, config.width))
        self.initial = nn.Parameter(torch.zeros(1, config.memory_tokens, width))
        self.image = Linear(config.encoder_width, config.width)
        self.read_blocks = nn.ModuleList(
            DecoderBlock(width, heads) for _ in range(config.memory_depth)
        )
        self.write_blocks = nn.ModuleList(
            DecoderBlock(width, heads) for _ in range(config.memory_depth)
        )

    def read(self, image: Tensor, memory: Tensor, first: Tensor) -> Tensor:
        """The pose token to start the decoder with.

        Args:
            image: ``[b 1 encoder_width]``, the mean of the frame's patches.
            memory: ``[b m 2*width]``.
            first: ``[b]`` bool; the first frame of a scene starts with a learned token.

        Returns:
            ``[b 1 width]``.
        """
        x = self._pair(image, self.unknown_pose.expand(len(image), -1, -1))
        for block in self.read_blocks:
            x, _ = block(x, memory)
        found = x.chunk(2, dim=-1)[1]
        return torch.where(first[:, None, None], self.pose_token, found)

    def write(self, image: Tensor, pose: Tensor, memory: Tensor) -> Tensor:
        """The memory ``[b m 2*width]`` after a frame whose pose token came out as ``pose``."""
        pair = self._pair(image, pose)
        for block in self.write_blocks:
            memory, _ = block(memory, pair)
        return memory

    def _pair(self, image: Tensor, pose: Tensor) -> Tensor:
        return torch.cat([self.image(image).to(pose.dtype), pose], dim=-1)
