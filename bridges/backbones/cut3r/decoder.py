"""The two decoders: image tokens read the state, state tokens read the image, layer by layer."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from bridges.backbones.cut3r.attention import LayerNorm, Linear
from bridges.backbones.cut3r.blocks import NOTHING, DecoderBlock
from bridges.backbones.cut3r.concurrency import concurrently
from bridges.backbones.cut3r.config import Cut3rConfig
from bridges.backbones.cut3r.reading import Reading, Request, add_readings
from bridges.backbones.cut3r.rope import BranchRopes


class Decoded(NamedTuple):
    """What the decoders say of a frame.

    Attributes:
        pose: ``[b 1 width]`` after the last norm.
        middle: ``[b p width]`` of the two layers at the hooks.
        tokens: ``[b p width]`` of the last layer after its norm.
        state: ``[b s width]`` after the last norm.
        reading: of the state's cross-attention, sum over the layers.
    """

    pose: Tensor
    middle: tuple[Tensor, Tensor]
    tokens: Tensor
    state: Tensor
    reading: Reading


class Decoder(nn.Module):
    """Both branches of a layer read what the layer before made of both."""

    def __init__(self, config: Cut3rConfig) -> None:
        super().__init__()
        self.hooks = config.hooks
        self.embed = Linear(config.encoder_width, config.width)
        self.image_blocks = nn.ModuleList(
            DecoderBlock(config.width, config.image_heads) for _ in range(config.depth)
        )
        self.state_blocks = nn.ModuleList(
            DecoderBlock(config.width, config.state_heads) for _ in range(config.depth)
        )
        self.image_norm = LayerNorm(config.width)
        self.state_norm = LayerNorm(config.width)

    def forward(
        self,
        patches: Tensor,
        pose: Tensor,
        state: Tensor,
        ropes: tuple[BranchRopes, BranchRopes],
        request: Request = NOTHING,
        side: torch.cuda.Stream | None = None,
    ) -> Decoded:
        """Runs both branches.

        Args:
            patches: ``[b p encoder_width]`` of the encoder.
            pose: ``[b 1 width]`` pose token.
            state: ``[b s width]``.
            ropes: of the image branch and of the state branch.
            request: what to read off the state's cross-attention.
            side: a stream for the state branch.
        """
        image = torch.cat([pose, self.embed(patches).to(pose.dtype)], dim=1)
        total, layers = Reading(), [image]
        for image_block, state_block in zip(self.image_blocks, self.state_blocks, strict=True):
            (image, _), (state, reading) = concurrently(
                lambda block=image_block, x=image, y=state: block(x, y, *ropes[0]),
                lambda block=state_block, x=state, y=image: block(x, y, *ropes[1][::-1], request),
                side,
            )
            total = add_readings(total, reading)
            layers.append(image)
        image = self.image_norm(image)
        middle = layers[self.hooks[0]][:, 1:], layers[self.hooks[1]][:, 1:]
        # Cloned, so that both views see the same strides and share one compilation.
        tokens = image[:, 1:].clone(memory_format=torch.contiguous_format)
        return Decoded(image[:, :1], middle, tokens, self.state_norm(state), total)
