"""Transformer blocks: of the encoder, of the decoders and the pose memory, of the heads."""

import torch.nn.functional as F
from torch import Tensor, nn

from bridges.backbones.cut3r.attention import (
    CrossAttention,
    LayerNorm,
    Linear,
    Mlp,
    SelfAttention,
)
from bridges.backbones.cut3r.reading import Reading, Request

NOTHING = Request()


class EncoderBlock(nn.Module):
    """Self-attention and MLP, pre-norm, residual."""

    def __init__(self, width: int, heads: int, half_rope: bool) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width)
        self.attn = SelfAttention(width, heads, half_rope)
        self.norm2 = LayerNorm(width)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor, rope: Tensor) -> Tensor:
        """``[b n width]`` to the same."""
        x = x + self.attn(self.norm1(x), rope)
        return x + self.mlp(self.norm2(x))


class DecoderBlock(nn.Module):
    """Self-attention, cross-attention to another sequence, MLP; pre-norm, residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width)
        self.attn = SelfAttention(width, heads)
        self.norm_y = LayerNorm(width)
        self.norm2 = LayerNorm(width)
        self.cross_attn = CrossAttention(width, heads)
        self.norm3 = LayerNorm(width)
        self.mlp = Mlp(width)

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        rope_x: Tensor | None = None,
        rope_y: Tensor | None = None,
        request: Request = NOTHING,
    ) -> tuple[Tensor, Reading]:
        """``x [b n width]`` attends to itself and to ``y [b m width]``."""
        x = x + self.attn(self.norm1(x), rope_x)
        crossed, reading = self.cross_attn(self.norm2(x), self.norm_y(y), rope_x, rope_y, request)
        x = x + crossed
        return x + self.mlp(self.norm3(x)), reading


class ModulatedNorm(nn.Module):
    """LN(x)·(1 + scale) + shift, both told by a token (adaLN of DiT, Peebles and Xie, 2023)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = LayerNorm(width)
        self.modulation = Linear(width, 2 * width)

    def forward(self, x: Tensor, token: Tensor) -> Tensor:
        """``x [b n width]`` under ``token [b 1 width]``."""
        shift, scale = self.modulation(F.silu(token)).to(x.dtype).chunk(2, dim=-1)
        return self.norm(x) * (1 + scale) + shift


class ModulatedBlock(nn.Module):
    """An encoder block whose norms a token modulates."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = ModulatedNorm(width)
        self.attn = SelfAttention(width, heads)
        self.norm2 = ModulatedNorm(width)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor, token: Tensor, rope: Tensor) -> Tensor:
        """``x [b n width]`` under ``token [b 1 width]``."""
        x = x + self.attn(self.norm1(x, token), rope)
        return x + self.mlp(self.norm2(x, token))
