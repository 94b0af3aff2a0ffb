"""η, φ and ψ as PyTorch modules, batched over any leading axes."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from flax import nnx
from ml_collections import ConfigDict
from torch import Tensor, nn
from torch.nn import functional

EPS = 1e-6
Read = tuple[Tensor, Tensor]


class Mlp(nn.Module):
    """Linear layers with GELU between them."""

    def __init__(self, widths: list[int]):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """``[*b c]`` -> ``[*b d]``."""
        for i, layer in enumerate(self.layers):
            x = layer(functional.gelu(x) if i else x)
        return x


class Projection(nn.Module):
    """An MLP beside a linear map."""

    def __init__(self, widths: list[int]):
        super().__init__()
        self.linear = nn.Linear(widths[0], widths[-1], bias=False)
        self.mlp = Mlp(widths)

    def forward(self, x: Tensor) -> Tensor:
        """``[*b c]`` -> ``[*b d]``."""
        return self.linear(x) + self.mlp(x)


class Attention(nn.Module):
    """Multi-head attention in which a query may see nothing."""

    def __init__(self, width: int, source_width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(source_width, width)
        self.value = nn.Linear(source_width, width)
        self.out = nn.Linear(width, width)

    def read(self, source: Tensor) -> Read:
        """Keys and values ``[*b heads n c/heads]`` of ``[*b n c]``."""
        return self._by_head(self.key, source), self._by_head(self.value, source)

    def forward(self, queries: Tensor, source: Tensor | Read, mask: Tensor) -> Tensor:
        """``[*b q d]``, ``[*b n c]`` or `read`, bool ``[*b q|1 n]`` -> ``[*b q d]``."""
        q = self._by_head(self.query, queries)
        k, v = self.read(source) if isinstance(source, Tensor) else source
        sees = mask.any(-1, keepdim=True)
        allowed = (mask | ~sees).unsqueeze(-3)
        gathered = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=allowed.expand(*q.shape[:-1], k.shape[-2])
        )
        gathered = gathered.transpose(-3, -2).flatten(-2)
        return self.out(gathered) * sees.to(gathered.dtype)

    def _by_head(self, layer: nn.Linear, x: Tensor) -> Tensor:
        return layer(x).unflatten(-1, (self.heads, -1)).transpose(-3, -2)


class RefineLayer(nn.Module):
    """One layer of φ (Eq. 3, 4)."""

    def __init__(self, width: int, token_width: int, heads: int, feed_forward: int):
        super().__init__()
        self.patch_norm = nn.LayerNorm(width, EPS)
        self.patch_attention = Attention(width, token_width, heads)
        self.context_norm = nn.LayerNorm(width, EPS)
        self.context_attention = Attention(width, width, heads)
        self.self_norm = nn.LayerNorm(width, EPS)
        self.self_attention = Attention(width, width, heads)
        self.mlp_norm = nn.LayerNorm(width, EPS)
        self.mlp = Mlp([width, feed_forward, width])

    def look(self, x: Tensor, tokens: Tensor | Read, attended: Tensor) -> Tensor:
        """After the first branch, patches."""
        return x + self.patch_attention(self.patch_norm(x), tokens, attended)

    def relate(
        self, x: Tensor, valid: Tensor, context: Tensor | Read, context_valid: Tensor
    ) -> Tensor:
        """After the others."""
        x = x + self.context_attention(self.context_norm(x), context, context_valid.unsqueeze(-2))
        normed = self.self_norm(x)
        x = x + self.self_attention(normed, normed, valid.unsqueeze(-2))
        return x + self.mlp(self.mlp_norm(x))


class TorchCore(nn.Module):
    """`moonseg_jax.models.Core` with the paper's choices: both sources, each normalised."""

    def __init__(self, config: ConfigDict, c3: int, c2: int):
        super().__init__()
        c, d = c3 + c2, config.width
        self.eta = Projection([c] + [d] * config.eta_layers)
        self.psi = Projection([c] + [d] * config.psi_layers)
        self.phi: Any = nn.ModuleList(
            RefineLayer(d, c, config.heads, config.feed_forward)
            for _ in range(config.refine_layers)
        )
        self.phi_norm = nn.LayerNorm(d, EPS)

    def tokens(self, features_3d: Tensor, features_2d: Tensor) -> Tensor:
        """``[*b h w c3]``, ``[*b h w c2]`` -> ``[*b p c]``."""
        kind = self.phi_norm.weight.dtype
        parts = (x.flatten(-3, -2).to(kind) for x in (features_3d, features_2d))
        return torch.cat([functional.layer_norm(x, x.shape[-1:], eps=EPS) for x in parts], -1)

    def prototypes(self, tokens: Tensor, coverage: Tensor) -> Tensor:
        """Eq. 2."""
        total = coverage.sum(-1, keepdim=True)
        mean = coverage.to(tokens.dtype) @ tokens / torch.where(total > 0, total, 1.0)
        return self.eta(mean)

    def refine(
        self,
        queries: Tensor,
        tokens: Tensor,
        attended: Tensor,
        valid: Tensor,
        context: Tensor,
        context_valid: Tensor,
    ) -> Tensor:
        """Eq. 3, 4."""
        first, patches = self.look(queries, tokens, attended)
        contexts = [context] * len(self.phi)
        return self.recall(first, patches, attended, valid, contexts, context_valid)

    def look(self, queries: Tensor, tokens: Tensor, attended: Tensor) -> tuple[Tensor, list[Read]]:
        """What needs no context: the first layer's look, and keys and values for the later ones."""
        first, *later = self.phi
        patches = [layer.patch_attention.read(tokens) for layer in later]
        return first.look(queries, tokens, attended), patches

    def remember(self, queries: Tensor) -> list[Read]:
        """Keys and values of refined queries, for every layer."""
        return [layer.context_attention.read(queries) for layer in self.phi]

    def recall(
        self,
        queries: Tensor,
        patches: list[Read],
        attended: Tensor,
        valid: Tensor,
        contexts: Sequence[Tensor | Read],
        context_valid: Tensor,
    ) -> Tensor:
        """The rest of `refine`."""
        for index, (layer, context) in enumerate(zip(self.phi, contexts, strict=True)):
            if index:
                queries = layer.look(queries, patches[index - 1], attended)
            queries = layer.relate(queries, valid, context, context_valid)
        return self.phi_norm(queries)

    def reference(self, tokens: Tensor) -> Tensor:
        """ψ(F)."""
        return self.psi(tokens)


def attended_patches(coverage: Tensor, min_coverage: float) -> Tensor:
    """D3: ``[*b q p]`` -> bool."""
    over = coverage > min_coverage
    best = functional.one_hot(coverage.argmax(-1), coverage.shape[-1]).bool()
    return over | (best & (coverage > 0) & ~over.any(-1, keepdim=True))


def load_parameters(core: TorchCore, params: Any) -> None:
    """Takes the parameters of `moonseg_jax.models.Core`, so that both compute the same."""
    names = {"kernel": "weight", "scale": "weight", "bias": "bias"}
    state = {}
    for path, leaf in nnx.to_flat_state(params):
        *module, kind = map(str, path)
        value = torch.from_numpy(np.array(leaf[...], np.float32))
        state[".".join([*module, names[kind]])] = value.T if kind == "kernel" else value
    core.load_state_dict(state)
