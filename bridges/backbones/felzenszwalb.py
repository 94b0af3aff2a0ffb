"""Masks without a network: Felzenszwalb's segments, merged by colour, steps and convexity.

A weak stand-in for a 2D mask model: parts of one object that differ in colour stay apart, things
that touch without an edge become one, and walls and floors are masks like any other.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
from skimage.segmentation import felzenszwalb

from bridges.backbones.color import lab_image
from bridges.backbones.interfaces import MASK_STRIDE, Masks
from bridges.backbones.region_borders import BorderCosts, find_borders
from bridges.backbones.region_graph import merge_regions
from bridges.backbones.sensor import camera_points
from bridges.preprocess import ImageTransform
from moonseg_jax.structs import SourceFrame

LAB_UNIT = 25.0  # Lab distance that Felzenszwalb's scale is relative to.


class FelzenszwalbMasks:
    """Segments of the image at the masks' stride; with depth, of surfaces.

    The score of a mask is c / (1 + c), c the mean cost of its borders: how well it stands out.

    Args:
        transform: of the source's images.
        scale: of the over-segmentation, on Lab / 25.
        sigma: of its smoothing, in pixels.
        min_area: pixels of the processed image; smaller segments join a neighbour.
        min_width: pixels of the processed image; thinner regions (an edge's blur, but also poles
            and cables) join a neighbour.
        max_area: share of the image; larger masks are dropped. 1 keeps walls and floors.
        color: Lab distance (lightness counting half) that keeps regions apart where there is
            depth to tell; ``color_only`` where there is none.
        color_only: see ``color``.
        costs: what steps and folds of the surface cost.

    Source: Felzenszwalb and Huttenlocher, "Efficient graph-based image segmentation", 2004; the
    convexity rule after Stein et al., "Object partitioning using local convexity", 2014.
    """

    name = "felzenszwalb"
    threaded = True
    weights_sha256 = ""

    def __init__(
        self,
        transform: ImageTransform,
        *,
        scale: float = 1.0,
        sigma: float = 0.8,
        min_area: int = 240,
        min_width: float = 6.0,
        max_area: float = 1.0,
        color: float = 25.0,
        color_only: float = 10.0,
        costs: BorderCosts | None = None,
    ) -> None:
        self.transform = transform
        self.scale = scale
        self.sigma = sigma
        self.min_area = min_area
        self.min_width = min_width
        self.max_area = max_area
        self.color = color
        self.color_only = color_only
        self.costs = costs or BorderCosts()

    @property
    def config(self) -> dict[str, Any]:
        """What defines the masks, for the cache's provenance."""
        own = {name: value for name, value in vars(self).items() if name != "transform"}
        return own | {"costs": asdict(self.costs)}

    def __call__(self, frame: SourceFrame, image: np.ndarray) -> Masks:
        """Segments a frame; ``image`` is the processed one."""
        lab = lab_image(image, MASK_STRIDE)
        segments = felzenszwalb(
            lab / LAB_UNIT,
            scale=self.scale,
            sigma=self.sigma,
            min_size=self.min_area // MASK_STRIDE**2,
            channel_axis=-1,
        )
        points = None
        if frame.depth is not None and frame.intrinsics is not None:
            points = camera_points(frame.depth, frame.intrinsics, self.transform, MASK_STRIDE)
        borders = find_borders(segments, points, self.costs)
        color = self.color_only if points is None else self.color
        labels, contrast = merge_regions(
            segments, lab, borders, color, self.min_width / MASK_STRIDE
        )
        area = np.bincount(labels.ravel()) / labels.size
        kept = np.flatnonzero(area <= self.max_area)
        scores = contrast / (1 + contrast)
        return Masks(labels == kept[:, None, None], scores[kept].astype(np.float32))
