"""The network of FastSAM in plain PyTorch: YOLOv8-seg with one class.

Parameters are named as in the published checkpoints (``model.<layer>.…``), so that these load
strictly. Written from the architecture's published description; no package of its makers is
needed. Source: Jocher et al., YOLOv8, 2023; Zhao et al., "Fast Segment Anything", 2023.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bridges.backbones.yolov8_blocks import (
    BINS,
    COEFFICIENTS,
    BinMean,
    Bottleneck,
    C2f,
    Conv,
    Prototypes,
    Sppf,
)

STRIDES = (8, 16, 32)


@dataclass(frozen=True)
class YoloSize:
    """How a family member scales: widths, repeats, and the widest layer before scaling."""

    width: float
    depth: float
    max_channels: int

    def channels(self, base: int) -> int:
        """Channels of a layer that has ``base`` at width 1."""
        return -(-int(min(base, self.max_channels) * self.width) // 8) * 8

    def repeats(self, base: int) -> int:
        """Bottlenecks of a block that has ``base`` at depth 1."""
        return max(round(base * self.depth), 1)


# FastSAM was published as "s" and "x".
SIZES = {
    "n": YoloSize(0.25, 1 / 3, 1024),
    "s": YoloSize(0.5, 1 / 3, 1024),
    "m": YoloSize(0.75, 2 / 3, 768),
    "l": YoloSize(1.0, 1.0, 512),
    "x": YoloSize(1.25, 1.0, 512),
}


class SegmentHead(nn.Module):
    """Boxes, scores and mask coefficients of every cell of three levels, and the prototypes."""

    def __init__(self, levels: tuple[int, int, int], prototypes: int) -> None:
        super().__init__()
        first = levels[0]

        def branch(width: int, c_out: int) -> nn.ModuleList:
            return nn.ModuleList(
                nn.Sequential(Conv(c, width, 3), Conv(width, width, 3), nn.Conv2d(width, c_out, 1))
                for c in levels
            )

        self.cv2 = branch(max(16, first // 4, 4 * BINS), 4 * BINS)
        self.cv3 = branch(first, 1)
        self.cv4 = branch(max(first // 4, COEFFICIENTS), COEFFICIENTS)
        self.dfl = BinMean()
        self.proto = Prototypes(first, prototypes)

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """See `YoloV8Seg.forward`."""
        sides, scores, coefficients = (
            torch.cat([conv(x).flatten(2) for conv, x in zip(branch, levels, strict=True)], 2)
            for branch in (self.cv2, self.cv3, self.cv4)
        )
        centres, strides = _cells([(x.shape[2], x.shape[3]) for x in levels], sides.device)
        left_top, right_bottom = self.dfl(sides).chunk(2, 1)
        boxes = torch.cat([centres - left_top, centres + right_bottom], 1) * strides
        return (
            boxes.transpose(1, 2),
            scores[:, 0].float().sigmoid(),
            coefficients.transpose(1, 2),
            self.proto(levels[0]),
        )


class YoloV8Seg(nn.Module):
    """YOLOv8-seg with one class.

    Args:
        size: one of `SIZES`.
    """

    def __init__(self, size: str) -> None:
        super().__init__()
        self.size = size
        scale = SIZES[size]
        c1, c2, c3, c4, c5 = (scale.channels(64 * 2**i) for i in range(5))
        few, more = scale.repeats(3), scale.repeats(6)
        layers = {
            0: Conv(3, c1, 3, 2),
            1: Conv(c1, c2, 3, 2),
            2: C2f(c2, c2, few, shortcut=True),
            3: Conv(c2, c3, 3, 2),
            4: C2f(c3, c3, more, shortcut=True),
            5: Conv(c3, c4, 3, 2),
            6: C2f(c4, c4, more, shortcut=True),
            7: Conv(c4, c5, 3, 2),
            8: C2f(c5, c5, few, shortcut=True),
            9: Sppf(c5),
            12: C2f(c5 + c4, c4, few),
            15: C2f(c4 + c3, c3, few),
            16: Conv(c3, c3, 3, 2),
            18: C2f(c3 + c4, c4, few),
            19: Conv(c4, c4, 3, 2),
            21: C2f(c4 + c5, c5, few),
            22: SegmentHead((c3, c4, c5), scale.channels(256)),
        }
        # The numbers left out are upsampling and joining: no parameters.
        self.model = nn.ModuleDict({str(number): layer for number, layer in layers.items()})
        self.up = nn.Upsample(scale_factor=2)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Detects.

        Args:
            image: ``[b 3 H W]`` RGB in 0..1, sides multiples of 32.

        Returns:
            ``boxes [b a 4]`` (x0, y0, x1, y1 in pixels of the image, float32), ``scores [b a]``
            (float32), ``coefficients [b a 32]`` and ``prototypes [b 32 H/4 W/4]``; a mask's
            logits are its coefficients' mix of the prototypes.
        """
        m = self.model
        p3 = m["4"](m["3"](m["2"](m["1"](m["0"](image)))))
        p4 = m["6"](m["5"](p3))
        p5 = m["9"](m["8"](m["7"](p4)))
        n4 = m["12"](torch.cat([self.up(p5), p4], 1))
        n3 = m["15"](torch.cat([self.up(n4), p3], 1))
        out4 = m["18"](torch.cat([m["16"](n3), n4], 1))
        out5 = m["21"](torch.cat([m["19"](out4), p5], 1))
        return m["22"]([n3, out4, out5])

    def fuse(self) -> "YoloV8Seg":
        """Folds all batch norms; needs `eval` mode."""
        for module in self.modules():
            if isinstance(module, Conv):
                module.fuse()
        return self


def random_network(size: str, seed: int) -> YoloV8Seg:
    """An untrained network whose outputs vary, as PyTorch's own initial weights' do not."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = YoloV8Seg(size)
        for conv in (m for m in network.modules() if isinstance(m, Conv)):
            nn.init.kaiming_normal_(conv.conv.weight)
            nn.init.constant_(conv.bn.get_parameter("weight"), 1.1)  # For SiLU in place of ReLU.
        for block in (m for m in network.modules() if isinstance(m, Bottleneck) and m.shortcut):
            nn.init.constant_(block.cv2.bn.get_parameter("weight"), 0.2)
    return network


def _cells(shapes: list[tuple[int, int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Centres ``[2 a]`` of all cells in units of their strides, and strides ``[a]``."""
    centres, strides = [], []
    for (height, width), stride in zip(shapes, STRIDES, strict=True):
        y, x = torch.meshgrid(
            torch.arange(height, device=device) + 0.5,
            torch.arange(width, device=device) + 0.5,
            indexing="ij",
        )
        centres.append(torch.stack([x, y]).flatten(1))
        strides.append(torch.full((height * width,), float(stride), device=device))
    return torch.cat(centres, 1), torch.cat(strides)
