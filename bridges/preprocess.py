"""The one transform from a source's image to the processed image, for everything that lies on it.

The rule is CUT3R's: long side to 512 (Lanczos when shrinking, bicubic when enlarging), then a
centre crop to multiples of the patch. 640x480 gives 512x384; 1280x720 gives 512x288.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

LONG_SIDE = 512
PATCH = 16


@dataclass(frozen=True)
class ImageTransform:
    """Resize, then crop.

    Attributes:
        source_size: ``(H, W)`` of the source's image.
        resized: ``(H, W)`` after resizing.
        offset: ``(top, left)`` of the crop in the resized image.
        image_size: ``(H, W)`` of the processed image.
    """

    source_size: tuple[int, int]
    resized: tuple[int, int]
    offset: tuple[int, int]
    image_size: tuple[int, int]

    @property
    def affine(self) -> tuple[float, float, float, float]:
        """``(sx, sy, ox, oy)`` of ``SceneInfo.image_transform``, pixel centres at +0.5."""
        sy, sx = (r / s for r, s in zip(self.resized, self.source_size, strict=True))
        return sx, sy, 0.0 - self.offset[1], 0.0 - self.offset[0]

    def image(self, image: np.ndarray) -> np.ndarray:
        """``[H W 3]`` uint8 of the source to ``[*image_size 3]``."""
        shrink = max(self.source_size) > max(self.resized)
        rule = Image.Resampling.LANCZOS if shrink else Image.Resampling.BICUBIC
        size = (self.resized[1], self.resized[0])
        resized = Image.fromarray(image).resize(size, rule)
        (top, left), (height, width) = self.offset, self.image_size
        return np.array(resized.crop((left, top, left + width, top + height)))

    def intrinsics(self, K: np.ndarray) -> np.ndarray:
        """``[3 3]`` of the source's image to ``[3 3]`` of the processed image."""
        sx, sy, ox, oy = self.affine
        return np.array([[sx, 0.0, ox], [0.0, sy, oy], [0.0, 0.0, 1.0]]) @ K

    def nearest(self, map_size: tuple[int, int], stride: int) -> tuple[np.ndarray, np.ndarray]:
        """Which pixels of a map lie at the centres of cells of the processed image.

        Depth and label maps are sampled, never averaged: a mean over an edge is a depth or an id
        that is nowhere in the scene.

        Args:
            map_size: ``(Hm, Wm)`` of a map showing what the source's image shows.
            stride: pixels of the processed image per cell.

        Returns:
            ``rows [H/stride]`` and ``columns [W/stride]``, for ``map[rows[:, None], columns]``.
        """
        sx, sy, ox, oy = self.affine
        rows = self._indices(self.image_size[0], self.source_size[0], sy, oy, map_size[0], stride)
        cols = self._indices(self.image_size[1], self.source_size[1], sx, ox, map_size[1], stride)
        return rows, cols

    @staticmethod
    def _indices(
        size: int, source_size: int, scale: float, offset: float, map_size: int, stride: int
    ) -> np.ndarray:
        centres = (np.arange(size // stride) + 0.5) * stride
        on_map = (centres - offset) / scale * (map_size / source_size)
        # A centre on the border of two pixels takes the second; rounding must not decide.
        return np.clip(np.floor(on_map + 1e-6).astype(int), 0, map_size - 1)


def plan_transform(
    source_size: tuple[int, int], long_side: int = LONG_SIDE, patch: int = PATCH
) -> ImageTransform:
    """The transform of images of one size ``(H, W)``."""
    scale = long_side / max(source_size)
    height, width = (max(round(side * scale), patch) for side in source_size)
    # Twice the half size: the crop stays centred as CUT3R centres it.
    half_h, half_w = (2 * (side // 2) // patch * patch // 2 for side in (height, width))
    offset = (height // 2 - half_h, width // 2 - half_w)
    return ImageTransform(source_size, (height, width), offset, (2 * half_h, 2 * half_w))
