"""Classical colour and texture descriptors of patches: the weight-free stand-in for F2d.

Colour moments, a soft colour histogram, oriented gradients and local binary patterns, of the
patch and of its surroundings. Weak beside a learned encoder: they know how things look, not what
they are, and change with the light.
"""

from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter

from bridges.backbones.color import lab_image
from bridges.preprocess import PATCH

CONTEXTS = (1, 3, 7)  # Sides, in patches, of the windows that are described.
LAB_BLOCK = 2
LAB_SCALE = np.array([50.0, 30.0, 30.0], np.float32)
# Anchors of the soft histogram, in Lab: four greys, seven hues as they occur, and brown.
ANCHORS = np.array(
    [
        [5, 0, 0],
        [35, 0, 0],
        [65, 0, 0],
        [95, 0, 0],
        [45, 45, 25],  # Red.
        [65, 25, 55],  # Orange.
        [80, 0, 60],  # Yellow.
        [55, -40, 35],  # Green.
        [65, -25, -10],  # Cyan.
        [40, 5, -40],  # Blue.
        [45, 35, -25],  # Purple.
        [35, 15, 22],  # Brown.
    ],
    np.float32,
)
ANCHOR_WIDTH = 15.0
ORIENTATIONS = 6
LBP_CONTRAST = 4  # Grey levels a neighbour must be brighter by: above the noise of JPEG.
# Local binary patterns by how many neighbours are brighter: flat or peak, corner, edge, hollow
# corner, pit; patterns with more than two changes around the circle are texture.
LBP_BINS = 6
CHANNELS = 6 * len(CONTEXTS) + 2 * len(ANCHORS) + 2 * ORIENTATIONS + len(CONTEXTS) + LBP_BINS


class ClassicalSemantics:
    """Colour and texture of each patch of a processed image."""

    name = "classical"
    threaded = True
    weights_sha256 = ""
    channels = CHANNELS

    @property
    def config(self) -> dict[str, Any]:
        """What defines the numbers, for the cache's provenance."""
        return {"contexts": list(CONTEXTS), "lab_block": LAB_BLOCK}

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Describes ``[H W 3]`` uint8 as ``[h w CHANNELS]`` float16, channels within a few units.

        In order: mean and deviation of Lab at each context; colour histogram of the patch and
        of 3x3 patches; orientation histogram of the same; log gradient energy at each context;
        binary patterns of 3x3 patches.
        """
        lab = lab_image(image, LAB_BLOCK)
        grey = image @ np.array([0.299, 0.587, 0.114], np.float32)
        moments = np.concatenate([lab / LAB_SCALE, (lab / LAB_SCALE) ** 2], axis=-1)
        moments = _cell_means(moments, PATCH // LAB_BLOCK)
        colors = _cell_means(_soft_histogram(lab), PATCH // LAB_BLOCK)
        gradients, energy = _gradients(grey)
        patterns = _patterns(grey)
        channels = [
            *(_moments(_window(moments, side)) for side in CONTEXTS),
            *(2 * np.sqrt(_window(colors, side)) for side in CONTEXTS[:2]),
            *(_orientation(_window(gradients, side)) for side in CONTEXTS[:2]),
            *(np.log10(1 + _window(energy, side)) for side in CONTEXTS),
            2 * np.sqrt(_window(patterns, CONTEXTS[1])),
        ]
        return np.concatenate(channels, axis=-1).astype(np.float16)


def _cell_means(x: np.ndarray, cell: int) -> np.ndarray:
    """``[H W c]`` to ``[H/cell W/cell c]``."""
    # Rows first: NumPy adds whole rows much faster than it strides through cells.
    rows = x.reshape(x.shape[0] // cell, cell, -1).mean(axis=1)
    return rows.reshape(rows.shape[0], x.shape[1] // cell, cell, -1).mean(axis=2)


def _cell_histogram(bins: np.ndarray, number: int, weights: np.ndarray | None) -> np.ndarray:
    """Counts ``[H W]`` bin numbers per patch: ``[h w number]``, divided by the patch's pixels."""
    height, width = bins.shape
    h, w = height // PATCH, width // PATCH
    patch = (np.arange(height) // PATCH * w)[:, None] + np.arange(width) // PATCH
    flat = None if weights is None else weights.ravel()
    counts = np.bincount((patch * number + bins).ravel(), flat, minlength=h * w * number)
    return counts.reshape(h, w, number).astype(np.float32) / PATCH**2


def _window(x: np.ndarray, side: int) -> np.ndarray:
    """Means of ``[h w c]`` over windows of ``side`` patches; at the border of those there are."""
    if side == 1:
        return x
    inside = np.ones((*x.shape[:2], 1), np.float32)
    total, count = (uniform_filter(y, side, mode="constant", axes=(0, 1)) for y in (x, inside))
    return np.maximum(total / count, 0.0)


def _moments(moments: np.ndarray) -> np.ndarray:
    mean, square = moments[..., :3], moments[..., 3:]
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
    return np.concatenate([mean - np.array([1.0, 0, 0], np.float32), 3 * deviation], axis=-1)


def _soft_histogram(lab: np.ndarray) -> np.ndarray:
    """Membership of each pixel in each anchor colour, ``[H W anchors]``, adding up to one."""
    flat = lab.reshape(-1, 3) / np.float32(ANCHOR_WIDTH)
    anchors = ANCHORS / np.float32(ANCHOR_WIDTH)
    # -|x - a|²/2 up to what is the same for all anchors.
    closeness = flat @ anchors.T - 0.5 * np.sum(anchors**2, axis=-1)
    closeness -= closeness.max(axis=-1, keepdims=True)
    weight = np.exp(closeness)
    weight /= weight.sum(axis=-1, keepdims=True)
    return weight.reshape(*lab.shape[:2], -1)


def _gradients(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orientation histogram ``[h w ORIENTATIONS]`` by gradient energy, and its sum ``[h w 1]``."""
    padded = np.pad(grey, 1, mode="edge")
    du = padded[1:-1, 2:] - padded[1:-1, :-2]
    dv = padded[2:, 1:-1] - padded[:-2, 1:-1]
    magnitude = np.sqrt(du**2 + dv**2)
    # A direction and its opposite are one orientation.
    turns = np.arctan2(dv, du) * np.float32(ORIENTATIONS / np.pi)
    bins = np.rint(turns).astype(np.int64) % ORIENTATIONS
    histogram = _cell_histogram(bins, ORIENTATIONS, magnitude)
    return histogram, histogram.sum(axis=-1, keepdims=True)


def _orientation(histogram: np.ndarray) -> np.ndarray:
    """Unit length where there is texture, near zero where there is only noise."""
    norm = np.linalg.norm(histogram, axis=-1, keepdims=True)
    return 2 * histogram / (norm + 3.0)


def _patterns(grey: np.ndarray) -> np.ndarray:
    """Histogram of local binary patterns, ``[h w LBP_BINS]``."""
    height, width = grey.shape
    padded = np.pad(grey, 1, mode="edge")
    centre = grey + np.float32(LBP_CONTRAST)
    circle = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
    code = np.zeros(grey.shape, np.uint8)
    for bit, (v, u) in enumerate(circle):
        brighter = padded[v : v + height, u : u + width] > centre
        code |= brighter.view(np.uint8) << np.uint8(bit)
    return _cell_histogram(_PATTERN_BIN[code], LBP_BINS, None)


def _pattern_bins() -> np.ndarray:
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    changes = np.abs(bits - np.roll(bits, 1, axis=1)).sum(axis=1)
    by_number = np.array([0, 1, 1, 2, 2, 2, 3, 3, 4])[bits.sum(axis=1)]
    return np.where(changes > 2, LBP_BINS - 1, by_number)


_PATTERN_BIN = _pattern_bins()
