"""Layers of the transformers: norms, projections, self- and cross-attention.

The residual stream and the norms keep the precision of the norms' parameters; matrix products run
in the precision of their weights, whatever comes in.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from bridges.backbones.cut3r.reading import Reading, Request, read_attention
from bridges.backbones.cut3r.rope import rotate


class LayerNorm(nn.LayerNorm):
    """Layer normalisation with ε = 1e-6."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-6)


class Linear(nn.Linear):
    """A linear layer that takes its input to the precision of its weights."""

    def forward(self, input: Tensor) -> Tensor:
        """``[*b in]`` to ``[*b out]``."""
        return F.linear(input.to(self.weight.dtype), self.weight, self.bias)


class Mlp(nn.Module):
    """Linear, GELU, linear."""

    def __init__(self, width: int, out: int | None = None, ratio: int = 4) -> None:
        super().__init__()
        self.fc1 = Linear(width, ratio * width)
        self.fc2 = Linear(ratio * width, out or width)

    def forward(self, x: Tensor) -> Tensor:
        """``[*b width]`` to ``[*b out]``."""
        return self.fc2(F.gelu(self.fc1(x)))


class SelfAttention(nn.Module):
    """Multi-head self-attention, queries and keys turned by their positions.

    Args:
        width: channels.
        heads: attention heads.
        half_rope: rounds queries and keys to float16 before and after they are turned.
    """

    def __init__(self, width: int, heads: int, half_rope: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.half_rope = half_rope
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(self, x: Tensor, rope: Tensor | None = None) -> Tensor:
        """``[b n width]`` to the same; ``rope`` is ``[2 n head_width]``, None without positions."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.unbind(2)
        if rope is not None:
            turned = qkv[:, :, :2].half() if self.half_rope else qkv[:, :, :2]
            q, k = rotate(turned, rope[:, :, None, None]).to(v.dtype).unbind(2)
        return self.proj(attend(q, k, v))


class CrossAttention(nn.Module):
    """Multi-head attention from one sequence to another."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = Linear(width, width)
        self.kv = Linear(width, 2 * width)
        self.proj = Linear(width, width)

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        rope_x: Tensor | None,
        rope_y: Tensor | None,
        request: Request,
    ) -> tuple[Tensor, Reading]:
        """From ``x [b n width]`` to ``y [b m width]``.

        Returns:
            ``[b n width]``, and what ``request`` asks about the weights.
        """
        q = self.q(x).unflatten(-1, (self.heads, -1))
        k, v = self.kv(y).unflatten(-1, (2, self.heads, -1)).unbind(2)
        if rope_x is not None and rope_y is not None:
            q, k = rotate(q, rope_x[:, :, None]), rotate(k, rope_y[:, :, None])
        return self.proj(attend(q, k, v)), read_attention(q, k, request)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k' / √d) v, by head.

    Args:
        q: ``[b n heads d]``.
        k: ``[b m heads d]``.
        v: ``[b m heads d]``.

    Returns:
        ``[b n heads*d]``.
    """
    if k.shape[1] == 1:  # The softmax of a single key is one.
        return v.flatten(2).expand(-1, q.shape[1], -1)
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
