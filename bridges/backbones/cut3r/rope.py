"""Rotary positions in two dimensions, for any integer position, (-1, -1) of the pose included."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from bridges.backbones.cut3r.config import Cut3rConfig

Grid = tuple[int, int]


class BranchRopes(NamedTuple):
    """Rotary tables of one branch: ``image [2 1+p d]`` with the pose first, ``state [2 s d]``."""

    image: Tensor
    state: Tensor


class RopeTables:
    """The tables of a model, each made at its first use and kept: a few hundred kilobytes.

    ``like`` is a tensor whose device and dtype a table shall have.
    """

    def __init__(self, config: Cut3rConfig) -> None:
        self.config = config
        self._tables: dict[tuple, Tensor] = {}

    def encoder(self, grid: Grid, like: Tensor) -> Tensor:
        """``[2 h*w d]`` of the patches, in the encoder's width per head."""
        width = self.config.encoder_width // self.config.encoder_heads
        return self._table(("patches", grid), width, like, lambda: patch_positions(*grid))

    def decoder(self, grid: Grid, like: Tensor) -> tuple[BranchRopes, BranchRopes]:
        """Tables of the image branch and of the state branch."""
        config = self.config
        return (
            self._branch(grid, config.width // config.image_heads, like),
            self._branch(grid, config.width // config.state_heads, like),
        )

    def _branch(self, grid: Grid, width: int, like: Tensor) -> BranchRopes:
        tokens = self.config.state_tokens
        return BranchRopes(
            self._table(("image", grid), width, like, lambda: image_positions(*grid)),
            self._table(("state",), width, like, lambda: state_positions(tokens)),
        )

    def _table(
        self, kind: tuple, width: int, like: Tensor, positions: Callable[[], Tensor]
    ) -> Tensor:
        key = (*kind, width, like.device, like.dtype)
        if key not in self._tables:
            # A table made in inference mode could not be trained with later.
            with torch.inference_mode(False):
                table = rope_table(positions(), width, self.config.rope_base)
                self._tables[key] = table.to(like.device, like.dtype)
        return self._tables[key]


def patch_positions(height: int, width: int) -> Tensor:
    """``[h*w 2]`` int64, row and column of each patch, row by row."""
    return torch.cartesian_prod(torch.arange(height), torch.arange(width))


def image_positions(height: int, width: int) -> Tensor:
    """``[1+h*w 2]``: the pose token at (-1, -1), then the patches."""
    return torch.cat([torch.full((1, 2), -1), patch_positions(height, width)])


def state_positions(tokens: int) -> Tensor:
    """``[s 2]``: the state tokens laid out row by row on a grid of even width (28 for 768)."""
    side = int(tokens**0.5)
    side += side % 2
    index = torch.arange(tokens)
    return torch.stack([index // side, index % side], dim=-1)


def rope_table(positions: Tensor, head_width: int, base: float) -> Tensor:
    """Cosines and signed sines of the angles position · base^(-i/Q), Q a quarter of a head.

    Args:
        positions: ``[n 2]`` rows and columns.
        head_width: channels of a head: rows turn the first half, columns the second.
        base: of the frequencies.

    Returns:
        ``[2 n head_width]`` float32, for `rotate`; angles rounded as the published code does.

    Source: RoPE of CroCo v2 (Weinzaepfel et al., 2023), which CUT3R keeps.
    """
    quarter = head_width // 4
    frequency = 1 / base ** (torch.arange(quarter) / quarter)
    angle = positions[:, :, None, None] * frequency  # [n 2 1 Q]
    sign = torch.tensor([-1.0, 1.0])[:, None]
    cos = angle.cos().expand(-1, -1, 2, -1).flatten(1)
    sin = (angle.sin() * sign).flatten(1)
    return torch.stack([cos, sin])


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Turns each pair (u, v) of channels by its angle: (u cos - v sin, v cos + u sin).

    Args:
        x: ``[*b head_width]``, in the order u, v of the rows, u, v of the columns.
        table: of `rope_table`, broadcasting against ``[2 *b head_width]``.

    Returns:
        As ``x``, computed in the precision of the table.
    """
    cos, sin = table
    swapped = x.unflatten(-1, (2, 2, -1)).flip(-2).flatten(-3)
    return (x * cos + swapped * sin).to(x.dtype)
