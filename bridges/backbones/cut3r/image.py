"""From a recorded image to the model's input."""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bridges.backbones.cut3r.config import Cut3rConfig
from bridges.preprocess import ImageTransform, plan_transform


def plan_image(source_size: tuple[int, int], config: Cut3rConfig) -> ImageTransform:
    """How images of one size ``(H, W)`` become the processed one, the variant's input.

    Rectangles: long side to 512, crop to multiples of the patch; of a square image the middle
    three quarters, as the network was never shown a square of that size. Squares: short side to
    224, centre crop. Where the variant sees less, `shrink_images` makes its input.
    """
    if not config.square:
        patch = config.patch * config.shrink
        plan = plan_transform(source_size, config.image_side * config.shrink, patch)
        return _landscape(plan, patch) if len(set(plan.image_size)) == 1 else plan
    short, long = sorted(source_size)
    scale = round(config.image_side * long / short) / long
    height, width = (round(side * scale) for side in source_size)
    half = min(height // 2, width // 2)
    offset = (height // 2 - half, width // 2 - half)
    return ImageTransform(source_size, (height, width), offset, (2 * half, 2 * half))


def _landscape(plan: ImageTransform, patch: int) -> ImageTransform:
    """The middle three quarters of a square plan's rows."""
    side = plan.image_size[0]
    height = 3 * side // 4 // patch * patch
    offset = plan.offset[0] + (side - height) // 2, plan.offset[1]
    return replace(plan, image_size=(height, side), offset=offset)


def prepare_image(
    image: np.ndarray, config: Cut3rConfig, device: str | torch.device = "cpu"
) -> Tensor:
    """``[H W 3]`` uint8 sRGB of any size, upright, to ``[1 3 H' W']`` float32 in -1..1.

    Resized on the CPU, by the same filters as ever; the rest on ``device``.
    """
    return normalise_images(plan_image(image.shape[:2], config).image(image)[None], device)


def normalise_images(images: np.ndarray | Tensor, device: str | torch.device = "cpu") -> Tensor:
    """Processed images ``[n H W 3]`` uint8 to ``[n 3 H W]`` float32: (x/255 - 0.5) / 0.5."""
    pixels = torch.as_tensor(images).to(device, non_blocking=True)
    return (pixels.movedim(-1, 1).float() / 255 - 0.5) / 0.5


def shrink_images(images: Tensor, config: Cut3rConfig) -> Tensor:
    """Averages ``[n 3 H W]`` down to what the variant sees."""
    return images if config.shrink == 1 else F.avg_pool2d(images, config.shrink)
