"""What is read off the state's cross-attention: the matrix, sums over masks, mean logits."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Request(NamedTuple):
    """What to read.

    Attributes:
        matrix: the softmax weights, mean over heads.
        columns: ``[b heads m q]``; the weights' sums over the keys, weighted by each column.
        logits: the mean logit of each query.
    """

    matrix: bool = False
    columns: Tensor | None = None
    logits: bool = False


class Reading(NamedTuple):
    """What was read; None where nothing was asked.

    Attributes:
        matrix: ``[b n m]``.
        sums: ``[b q n]``.
        logits: ``[b n]``, mean over keys and heads, before the softmax.
    """

    matrix: Tensor | None = None
    sums: Tensor | None = None
    logits: Tensor | None = None


def read_attention(q: Tensor, k: Tensor, request: Request) -> Reading:
    """Reads one layer.

    Args:
        q: ``[b n heads d]`` queries, turned by their positions.
        k: ``[b m heads d]`` keys, likewise.
        request: what to read.
    """
    return Reading(
        _matrix(q, k) if request.matrix else None,
        None if request.columns is None else _sums(q, k, request.columns),
        _mean_logits(q, k) if request.logits else None,
    )


def add_readings(total: Reading, layer: Reading) -> Reading:
    """Field by field; the first of a sum is ``Reading()``."""
    pairs = zip(total, layer, strict=True)
    return Reading(*(new if old is None or new is None else old + new for old, new in pairs))


def mask_columns(masks: Tensor, heads: int, dtype: torch.dtype) -> Tensor:
    """Masks over patches as columns over the keys [pose | patches].

    Args:
        masks: ``[b q p]`` share of each patch inside each mask.
        heads: of the attention.
        dtype: of its keys.

    Returns:
        ``[b heads 1+p q']``, the pose's row zero; q' is q rounded up to a multiple of 8, which
        the fused kernels want.
    """
    padding = (1, 0, 0, -masks.shape[1] % 8)
    columns = F.pad(masks.to(dtype), padding).transpose(1, 2)
    return columns[:, None].expand(-1, heads, -1, -1).contiguous()


def _matrix(q: Tensor, k: Tensor) -> Tensor:
    logits = torch.einsum("bnhd,bmhd->bhnm", q, k) * q.shape[-1] ** -0.5
    return logits.softmax(dim=-1, dtype=_wide(q)).mean(dim=1)


def _sums(q: Tensor, k: Tensor, columns: Tensor) -> Tensor:
    # A call of its own, so that what the layer passes on is the same to the bit with masks or not.
    sums = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), columns)
    return sums.mean(dim=1, dtype=_wide(q)).transpose(1, 2)


def _mean_logits(q: Tensor, k: Tensor) -> Tensor:
    # The mean of q·k over the keys is q times the mean key: no matrix.
    mean_key = k.mean(dim=1, keepdim=True, dtype=_wide(q))
    return (q * mean_key).sum(dim=-1).mean(dim=-1) * q.shape[-1] ** -0.5


def _wide(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
