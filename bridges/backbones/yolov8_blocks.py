"""What YOLOv8-seg is built of; see `yolov8_seg`."""

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

BINS = 16  # Of the distribution over a box side's distance, in strides.
COEFFICIENTS = 32  # Prototype masks, mixed into one mask per detection.


class Conv(nn.Module):
    """Convolution, batch norm, SiLU."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(c_out, eps=1e-3)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """``[b c_in H W]`` to ``[b c_out H/stride W/stride]``."""
        return self.act(self.bn(self.conv(x)))

    def fuse(self) -> None:
        """Folds the batch norm into the convolution, for inference."""
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv, self.bn = fuse_conv_bn_eval(self.conv, self.bn), nn.Identity()


class Bottleneck(nn.Module):
    """Two 3x3 convolutions, with a shortcut in the backbone."""

    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.cv1 = Conv(channels, channels, 3)
        self.cv2 = Conv(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """``[b c H W]`` to the same."""
        y = self.cv2(self.cv1(x))
        return x + y if self.shortcut else y


class C2f(nn.Module):
    """Half of the channels through a chain of bottlenecks; all links are joined."""

    def __init__(self, c_in: int, c_out: int, repeats: int, shortcut: bool = False) -> None:
        super().__init__()
        half = c_out // 2
        self.cv1 = Conv(c_in, 2 * half)
        self.cv2 = Conv((2 + repeats) * half, c_out)
        self.m = nn.ModuleList(Bottleneck(half, shortcut) for _ in range(repeats))

    def forward(self, x: Tensor) -> Tensor:
        """``[b c_in H W]`` to ``[b c_out H W]``."""
        links = list(self.cv1(x).chunk(2, 1))
        for bottleneck in self.m:
            links.append(bottleneck(links[-1]))
        return self.cv2(torch.cat(links, 1))


class Sppf(nn.Module):
    """Max pools of growing reach, joined."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cv1 = Conv(channels, channels // 2)
        self.cv2 = Conv(channels * 2, channels)
        self.m = nn.MaxPool2d(5, stride=1, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        """``[b c H W]`` to the same."""
        pooled = [self.cv1(x)]
        for _ in range(3):
            pooled.append(self.m(pooled[-1]))
        return self.cv2(torch.cat(pooled, 1))


class Prototypes(nn.Module):
    """The prototype masks, at twice the finest level's resolution."""

    def __init__(self, c_in: int, channels: int) -> None:
        super().__init__()
        self.cv1 = Conv(c_in, channels, 3)
        self.upsample = nn.ConvTranspose2d(channels, channels, 2, 2)
        self.cv2 = Conv(channels, channels, 3)
        self.cv3 = Conv(channels, COEFFICIENTS)

    def forward(self, x: Tensor) -> Tensor:
        """``[b c H/8 W/8]`` to ``[b 32 H/4 W/4]``."""
        return self.cv3(self.cv2(self.upsample(self.cv1(x))))


class BinMean(nn.Module):
    """The mean of a distribution over the bins."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(BINS, 1, 1, bias=False)
        self.conv.weight.data[:] = torch.arange(BINS).view(1, BINS, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[b 4*16 a]`` logits to ``[b 4 a]`` distances in strides, float32."""
        share = x.float().unflatten(1, (4, BINS)).softmax(2)
        return torch.einsum("bska,k->bsa", share, self.conv.weight.float().flatten())
