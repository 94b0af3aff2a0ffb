"""A linear head: each token becomes the pixels of its patch."""

import torch.nn.functional as F
from torch import Tensor, nn

from bridges.backbones.cut3r.attention import Mlp
from bridges.backbones.cut3r.config import Cut3rConfig


class LinearHead(nn.Module):
    """Points and confidence of every pixel, patch by patch."""

    def __init__(self, config: Cut3rConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.mlp = Mlp(config.width, out=4 * config.patch**2)

    def forward(self, levels: tuple[Tensor, ...], grid: tuple[int, int]) -> Tensor:
        """Raw points and confidence ``[b 4 H W]`` of the last of ``levels``, ``[b p width]``."""
        x = self.mlp(levels[-1]).unflatten(1, grid).permute(0, 3, 1, 2)
        return F.pixel_shuffle(x, self.patch)
