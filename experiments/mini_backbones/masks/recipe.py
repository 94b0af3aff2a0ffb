"""Everything that a training run of the mask network is determined by."""

from dataclasses import dataclass

from bridges.backbones.mini_mask_net import MiniMaskConfig
from experiments.mini_backbones.single_frames.schedule import Schedule


@dataclass(frozen=True)
class Recipe(Schedule):
    """One training run; see `Schedule` for rooms, sizes and rate.

    Attributes:
        widths, depth, channels: of the network (`MiniMaskConfig`).
        picked: cells of an image whose masks enter the loss of a step.
        least: pixels below which an object is none of a picture's: neither asked for nor wrong.
        crop: least side of a picture's crop, in sides of the frame.
    """

    warmup: int = 300
    cooldown: float = 0.5
    learning_rate: float = 1.5e-3
    coarse: tuple[int, int] = (144, 192)
    fine: tuple[int, int] = (192, 256)
    groups: int = 16
    views: int = 1
    repeats: int = 6
    widths: tuple[int, int, int, int] = (24, 48, 96, 128)
    depth: int = 2
    channels: int = 32
    picked: int = 24
    least: int = 16
    crop: float = 0.6

    @property
    def network(self) -> MiniMaskConfig:
        """Its sizes."""
        return MiniMaskConfig(self.widths, self.depth, self.channels)
