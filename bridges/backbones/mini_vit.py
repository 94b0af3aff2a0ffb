"""The mini semantic encoder: a vision transformer of a few million parameters, trained on rooms.

Patches of 8 pixels, rotary positions in units of the image's longer side (so that any grid will
do), no class token. `experiments/mini_backbones/semantic` trains it without labels.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bridges.checkpoints import read_tensors, tensors_sha256
from moonseg_jax.structs import InputError

PATCH = 8
CELL = 4  # Pixels across the stem's first patches; 2x2 of them make a patch.
# Of RGB in 0..1, about as rooms have them; part of the model.
MEAN, STD = 0.5, 0.25
# Shortest and longest wave of the rotary positions; the longer side of an image is 2.
PERIODS = (0.5, 32.0)


@dataclass(frozen=True)
class MiniVitConfig:
    """Sizes: ``width`` of the tokens, ``depth`` in blocks."""

    width: int = 192
    depth: int = 8

    @property
    def heads(self) -> int:
        """Of 64 channels each; a narrower network has one."""
        return max(self.width // 64, 1)


class MiniVit(nn.Module):
    """Pre-norm transformer over the patches of an image."""

    def __init__(self, config: MiniVitConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.stem = nn.ModuleList([nn.Linear(3 * CELL**2, width // 2), nn.Linear(2 * width, width)])
        self.hidden = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList([Block(width, config.heads) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(width)
        self.apply(_initialise)

    def forward(self, pixels: Tensor, hide: Tensor | None = None) -> Tensor:
        """Describes patches.

        Args:
            pixels: ``[b H W 3]`` in 0..1; H and W are multiples of `PATCH`.
            hide: ``[b h w]`` bool, patches that the model shall not see; for training.

        Returns:
            ``[b h w width]``.
        """
        x = self._embed((pixels - MEAN) / STD)
        if hide is not None:
            x = torch.where(hide[..., None], self.hidden.to(x.dtype), x)
        h, w = x.shape[1:3]
        rope = rope_table((h, w), self.config.width // self.config.heads, x.device)
        x = x.flatten(1, 2)
        for block in self.blocks:
            x = block(x, rope)
        return self.norm(x).unflatten(1, (h, w))

    def _embed(self, pixels: Tensor) -> Tensor:
        x = F.gelu(self.stem[0](_gather(pixels, CELL)))
        return self.stem[1](_gather(x, PATCH // CELL))


class Block(nn.Module):
    """Self-attention and MLP, residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, rope: Tensor) -> Tensor:
        """``[b n width]`` to the same; ``rope`` as `rope_table` gives it."""
        qkv = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(_rotate(q, rope), _rotate(k, rope), v)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


def rope_table(grid: tuple[int, int], head_width: int, device: torch.device) -> Tensor:
    """Cosines and sines of 2π·position / period; rows turn one half of a head, columns the other.

    Positions are those of patch centres, the longer side of the image going from -1 to 1, as in
    DINOv3 (Siméoni et al., 2025): a finer grid shows the same picture, not a larger one.

    Returns:
        ``[2 n head_width/2]`` float32.
    """
    waves = head_width // 4
    ratio = torch.arange(waves, device=device) / max(waves - 1, 1)
    periods = PERIODS[0] * (PERIODS[1] / PERIODS[0]) ** ratio
    rows, columns = (
        (2 * torch.arange(side, device=device) + 1 - side) / max(grid) for side in grid
    )
    where = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).flatten(0, 1)
    angle = (2 * math.pi * where[:, :, None] / periods).flatten(1)
    return torch.stack([angle.cos(), angle.sin()])


def _rotate(x: Tensor, rope: Tensor) -> Tensor:
    """Turns the pair of channels (i, i + d/2) of each head by its angle."""
    cos, sin = rope.to(x.dtype)
    u, v = x.chunk(2, dim=-1)
    return torch.cat([u * cos - v * sin, u * sin + v * cos], dim=-1)


def _gather(x: Tensor, side: int) -> Tensor:
    """``[b H W c]`` to ``[b H/side W/side side²·c]``."""
    b, height, width, c = x.shape
    x = x.reshape(b, height // side, side, width // side, side, c).transpose(2, 3)
    return x.reshape(b, height // side, width // side, side * side * c)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


class MiniSemantics:
    """`MiniVit` as the bridge asks for it.

    Args:
        model: the network.
        device: of the model and of what it returns.
        dtype: that the model computes in; features are float16 always.
        cell: pixels of an image per feature, a multiple of `PATCH`. Images are averaged down so
            that a cell becomes a patch: with 16, an image of 512x384 is seen at 256x192, 32x24
            patches.

    Attributes:
        channels: c2.
        weights_sha256: of the tensors; empty for a network that came from no file.
    """

    name = "mini"
    threaded = False

    def __init__(
        self,
        model: MiniVit,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        cell: int = PATCH,
    ) -> None:
        self.model = model.eval().requires_grad_(False).to(device, dtype)
        self.channels = model.config.width
        self.cell = cell
        self.weights_sha256 = ""

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        cell: int = PATCH,
    ) -> "MiniSemantics":
        """Reads a ``.safetensors`` file; sizes are read off its tensors.

        Raises:
            InputError: no such file, or not the tensors of a `MiniVit`.
        """
        tensors = read_tensors(path)
        model = MiniVit(_config_of(tensors, path))
        expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
        if expected != {name: tensor.shape for name, tensor in tensors.items()}:
            raise InputError(
                f"{path} holds no mini semantic encoder: give one that training wrote."
            )
        model.load_state_dict(tensors)
        encoder = cls(model, device, dtype, cell)
        encoder.weights_sha256 = tensors_sha256(tensors)
        return encoder

    @property
    def config(self) -> dict[str, Any]:
        """What defines the numbers, for the cache's provenance."""
        dtype = str(self.model.norm.weight.dtype).removeprefix("torch.")
        return {**asdict(self.model.config), "patch": PATCH, "cell": self.cell, "dtype": dtype}

    def __call__(self, image: np.ndarray) -> Tensor:
        """Describes a processed image ``[H W 3]`` uint8 as ``[h w c]`` float16 on the device."""
        return self.batch(image[None])[0]

    @torch.inference_mode()
    def batch(self, images: np.ndarray | Tensor) -> Tensor:
        """Describes many images of one size at once.

        Args:
            images: ``[b H W 3]`` uint8 RGB; H and W are multiples of ``cell``.

        Returns:
            ``[b H/cell W/cell c]`` float16 on the device.
        """
        weight = self.model.norm.weight
        if isinstance(images, np.ndarray):
            images = torch.tensor(images)
        pixels = images.to(weight.device, non_blocking=True).float() / 255
        if self.cell != PATCH:
            shrunk = F.avg_pool2d(pixels.permute(0, 3, 1, 2), self.cell // PATCH)
            pixels = shrunk.permute(0, 2, 3, 1)
        return self.model(pixels.to(weight.dtype)).to(torch.float16)


def _config_of(tensors: Mapping[str, Tensor], path: str | Path) -> MiniVitConfig:
    """Sizes of the network that tensors belong to."""
    try:
        width = len(tensors["norm.weight"])
    except KeyError:
        raise InputError(
            f"{path} holds no mini semantic encoder: give one that training wrote."
        ) from None
    return MiniVitConfig(width, depth=sum(name.endswith(".qkv.weight") for name in tensors))
