"""The mini mask network: every place of an image names the object that it shows.

A small U of convolutions with attention at its bottom. At each cell of 8 pixels it tells a score
and a kernel; a kernel is a map of logits over the whole image, of the object seen at the cell.
`experiments/mini_backbones/masks` trains it on rooms.

Source: dynamic kernels after Wang et al., "SOLOv2", 2020, and Tian et al., "Conditional
convolutions for instance segmentation" (CondInst), 2020; the window about the cell is our own.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bridges.backbones.mini_vit import Block, rope_table

COARSEST = 16  # Sides of images are multiples of this.
CELL = 8  # Pixels a cell; masks have a logit every second pixel.
WINDOW = 6  # Coefficients of a kernel's polynomial of position.
MEAN, STD = 0.5, 0.25  # Of RGB in 0..1; part of the model.


@dataclass(frozen=True)
class MiniMaskConfig:
    """Channels at strides 2, 4, 8 and 16, blocks of attention, channels that kernels weigh."""

    widths: tuple[int, int, int, int] = (24, 48, 96, 128)
    depth: int = 2
    channels: int = 32


class Told(NamedTuple):
    """What the network says of ``b`` images.

    Attributes:
        scores: ``[b h w]`` logits: how well the cell's mask is thought to fit an object.
        kernels: ``[b h w channels+6]``.
        features: ``[b channels H/2 W/2]`` that kernels weigh.
    """

    scores: Tensor
    kernels: Tensor
    features: Tensor


class MiniMaskNet(nn.Module):
    """Images to scores, kernels and the features that kernels weigh."""

    def __init__(self, config: MiniMaskConfig) -> None:
        super().__init__()
        self.config = config
        c2, c4, c8, c16 = config.widths
        self.stem = conv(3, c2, stride=2)
        self.down4 = nn.Sequential(conv(c2, c4, stride=2), Residual(c4), Residual(c4))
        self.down8 = nn.Sequential(conv(c4, c8, stride=2), Residual(c8), Residual(c8))
        self.down16 = conv(c8, c16, stride=2)
        self.blocks = nn.ModuleList([Block(c16, max(c16 // 64, 1)) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(c16)
        self.up8, self.up4, self.up2 = Up(c16, c8), Up(c8, c4), Up(c4, c2)
        self.cells = conv(c8, c8)
        self.score = nn.Conv2d(c8, 1, 1)
        self.kernel = nn.Conv2d(c8, config.channels + WINDOW, 1)
        self.features = nn.Conv2d(c2, config.channels, 1)
        self._initialise()

    def forward(self, pixels: Tensor) -> Told:
        """Looks at ``[b 3 H W]`` in 0..1, sides multiples of `COARSEST`."""
        at2 = self.stem((pixels - MEAN) / STD)
        at4 = self.down4(at2)
        at8 = self.down8(at4)
        at8 = self.up8(self._attend(self.down16(at8)), at8)
        at4 = self.up4(at8, at4)
        features = self.features(self.up2(at4, at2))
        cells = self.cells(at8)
        kernels = self.kernel(cells).permute(0, 2, 3, 1)
        return Told(self.score(cells)[:, 0], kernels, features)

    def _attend(self, x: Tensor) -> Tensor:
        grid = x.shape[2:]
        heads = max(x.shape[1] // 64, 1)
        rope = rope_table((grid[0], grid[1]), x.shape[1] // heads, x.device)
        x = x.flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x, rope)
        return self.norm(x).transpose(1, 2).unflatten(2, grid)

    def _initialise(self) -> None:
        """Nothing is an object at first; a mask is what lies within an eighth of the image."""
        named = dict(self.named_parameters())
        nn.init.constant_(named["score.bias"], -2.0)
        nn.init.normal_(named["kernel.weight"], std=0.01)
        nn.init.zeros_(named["kernel.bias"])
        with torch.no_grad():
            named["kernel.bias"][-WINDOW:] = torch.tensor([0.5, 0.0, 0.0, -2.0, -2.0, 0.0])


class Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = conv(width, width), conv(width, width, last=True)

    def forward(self, x: Tensor) -> Tensor:
        """``[b width H W]`` to the same."""
        return F.relu(x + self.second(self.first(x)))


class Up(nn.Module):
    """Coarse features joined to finer ones."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(coarse, fine, 1)
        self.join = conv(fine, fine)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """``[b coarse h w]`` and ``[b fine 2h 2w]`` to ``[b fine 2h 2w]``."""
        raised = F.interpolate(self.project(coarse), scale_factor=2, mode="bilinear")
        return self.join(raised + fine)


def conv(inside: int, outside: int, stride: int = 1, last: bool = False) -> nn.Sequential:
    """Convolution of 3x3, batch norm and, unless ``last``, ReLU."""
    layers = [nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside)]
    return nn.Sequential(*layers, *([] if last else [nn.ReLU()]))


def mask_logits(kernels: Tensor, at: Tensor, features: Tensor) -> Tensor:
    """Masks of kernels: m_i(p) = k_i·f(p) + w_i·(1, d, d_x², d_y², d_x d_y), d = p - p_i.

    Positions are in quarters of the longer side, so that the window's coefficients mean the same
    at any size. It is one matrix product: the polynomial about p_i is rewritten about the middle.

    Args:
        kernels: ``[b q channels+6]``.
        at: ``[b q 2]`` rows and columns of the kernels' cells.
        features: ``[b channels H/2 W/2]``.

    Returns:
        ``[b q H/2 W/2]`` float32.
    """
    height, width = features.shape[2:]
    half = CELL // 2  # Of the features' pixels in a cell.
    longer = max(height, width)
    kernels, features = kernels.float(), features.float()
    y0, x0 = (((at + 0.5) * half - at.new_tensor([height / 2, width / 2])) * (4 / longer)).unbind(
        -1
    )
    rows, cols = (
        (torch.arange(side, device=features.device) + 0.5 - side / 2) * (4 / longer)
        for side in (height, width)
    )
    y, x = torch.meshgrid(rows, cols, indexing="ij")
    one, cx, cy, cxx, cyy, cxy = kernels[..., -WINDOW:].unbind(-1)
    window = torch.stack(
        [
            one - cx * x0 - cy * y0 + cxx * x0**2 + cyy * y0**2 + cxy * x0 * y0,
            cx - 2 * cxx * x0 - cxy * y0,
            cy - 2 * cyy * y0 - cxy * x0,
            cxx,
            cyy,
            cxy,
        ],
        dim=-1,
    )
    positions = torch.stack([torch.ones_like(x), x, y, x**2, y**2, x * y]).flatten(1)
    seen = torch.cat([features.flatten(2), positions.expand(len(features), -1, -1)], dim=1)
    weights = torch.cat([kernels[..., :-WINDOW], window], dim=-1)
    return (weights @ seen).unflatten(2, (height, width))
