"""A DPT head: four levels of tokens become an image again."""

import torch.nn.functional as F
from torch import Tensor, nn

from bridges.backbones.cut3r.config import Cut3rConfig


class ResidualUnit(nn.Module):
    """Twice ReLU and convolution, residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``[b c H W]`` to the same."""
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class Fusion(nn.Module):
    """Adds a finer level to what comes from the coarser ones, and doubles the resolution."""

    def __init__(self, width: int, coarsest: bool) -> None:
        super().__init__()
        self.skip = None if coarsest else ResidualUnit(width)
        self.refine = ResidualUnit(width)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        """``[b c H W]`` and a level of that size, to ``[b c 2H 2W]``."""
        if self.skip is not None and level is not None:
            x = x + self.skip(level)
        # A 1x1 convolution and an interpolation change places; here it costs a quarter.
        return upsample(self.out(self.refine(x)))


class DptHead(nn.Module):
    """Points and confidence of every pixel.

    Source: Ranftl et al., "Vision transformers for dense prediction", 2021; sizes as in CUT3R.
    """

    def __init__(self, config: Cut3rConfig) -> None:
        super().__init__()
        a, b, c, d = config.dpt_levels
        width = config.dpt_width
        self.reassemble = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv2d(config.encoder_width, a, 1), nn.ConvTranspose2d(a, a, 4, stride=4)
                ),
                nn.Sequential(nn.Conv2d(config.width, b, 1), nn.ConvTranspose2d(b, b, 2, stride=2)),
                nn.Sequential(nn.Conv2d(config.width, c, 1)),
                nn.Sequential(
                    nn.Conv2d(config.width, d, 1), nn.Conv2d(d, d, 3, stride=2, padding=1)
                ),
            ]
        )
        self.project = nn.ModuleList(
            nn.Conv2d(channels, width, 3, padding=1, bias=False) for channels in config.dpt_levels
        )
        self.fuse = nn.ModuleList(Fusion(width, coarsest=level == 3) for level in range(4))
        self.narrow = nn.Conv2d(width, width // 2, 3, padding=1)
        self.smooth = nn.Conv2d(width // 2, width // 2, 3, padding=1)
        self.tell = nn.Conv2d(width // 2, 4, 1)

    def forward(self, levels: tuple[Tensor, ...], grid: tuple[int, int]) -> Tensor:
        """Raw points and confidence.

        Args:
            levels: four times ``[b p c]``: encoder, two middle layers, last layer.
            grid: ``(h, w)``.

        Returns:
            ``[b 4 H W]``.
        """
        dtype = self.tell.weight.dtype
        # Channels stay last in memory, which the convolutions of a GPU want.
        images = [x.to(dtype).unflatten(1, grid).permute(0, 3, 1, 2) for x in levels]
        first, second, third, fourth = (
            project(reassemble(x))
            for project, reassemble, x in zip(self.project, self.reassemble, images, strict=True)
        )
        x = self.fuse[3](fourth)
        x = x[:, :, : third.shape[2], : third.shape[3]]  # An odd grid was rounded up.
        x = self.fuse[2](x, third)
        x = self.fuse[1](x, second)
        x = self.fuse[0](x, first)
        x = upsample(self.narrow(x))
        return self.tell(F.relu(self.smooth(x)))


def upsample(x: Tensor) -> Tensor:
    """Doubles the resolution of ``[b c H W]``, corners on corners."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
