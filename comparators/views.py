"""A cached frame as the comparators want it: points, colours and masks on one grid."""

from dataclasses import dataclass

import numpy as np

from moonseg_jax.structs import Frame, SceneInfo

MAX_STEP = 0.05  # Scene units between neighbouring cells; a longer step is the rim of an object.


@dataclass(frozen=True)
class View:
    """One frame at the masks' resolution.

    Attributes:
        index: of the frame, from 0.
        points: ``[Hm Wm 3]`` float32, world frame; NaN where invalid.
        colors: ``[Hm Wm 3]`` uint8.
        labels: ``[Hm Wm]`` int32, mask + 1, 0 = none: the better score on top, then the smaller
            mask, as where ours paints.
        masks: ``[q Hm Wm]`` bool, the valid ones; they may overlap.
        scores: ``[q]`` float32.
        semantics: ``[q c2]`` float32 of length 1, pooled from F2d.
        geometry: ``[q c3]`` float32 of length 1, pooled from F3d.
        T_world_from_cam: ``[4 4]`` float64.
        intrinsics: ``[3 3]`` float64, in cells of this grid.
    """

    index: int
    points: np.ndarray
    colors: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    scores: np.ndarray
    semantics: np.ndarray
    geometry: np.ndarray
    T_world_from_cam: np.ndarray
    intrinsics: np.ndarray

    @property
    def num_masks(self) -> int:
        """``q``."""
        return len(self.masks)

    @property
    def seen(self) -> np.ndarray:
        """``[Hm Wm]`` bool: the cells with a point."""
        return np.isfinite(self.points[..., 0])

    def depth(self) -> np.ndarray:
        """``[Hm Wm]`` float64 along z; NaN where invalid."""
        T = self.T_world_from_cam
        return (self.points - T[:3, 3]) @ T[:3, 2]


def make_view(index: int, frame: Frame, info: SceneInfo) -> View:
    """Unpacks, densifies and pools one frame of a cache."""
    masks = unpack(np.asarray(frame.masks), np.asarray(frame.mask_valid))
    scores = np.asarray(frame.mask_scores)[np.asarray(frame.mask_valid)]
    scale = np.array([1 / info.mask_stride, 1 / info.mask_stride, 1])
    return View(
        index=index,
        points=densify(np.asarray(frame.points), np.asarray(frame.confidence), info.mask_size),
        colors=nearest_cells(np.asarray(frame.colors), info.mask_size),
        labels=paint(masks, scores),
        masks=masks,
        scores=scores,
        semantics=pool_features(np.asarray(frame.features_2d), masks),
        geometry=pool_features(np.asarray(frame.features_3d), masks),
        T_world_from_cam=np.asarray(frame.T_world_from_cam, np.float64),
        intrinsics=scale[:, None] * np.asarray(frame.intrinsics, np.float64),
    )


def unpack(planes: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """``[q H W]`` bool of the valid bit planes ``[H W words]``."""
    bits = np.unpackbits(np.ascontiguousarray(planes, "<u4").view(np.uint8), axis=-1,
                         bitorder="little")  # fmt: skip
    return np.ascontiguousarray(np.moveaxis(bits, -1, 0)[valid]).astype(bool)


def paint(masks: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """``[H W]`` int32, mask + 1: the better score on top, then the smaller mask, then the first."""
    labels = np.zeros(masks.shape[1:], np.int32)
    areas = masks.sum(axis=(1, 2))
    for i in np.lexsort((-np.arange(len(masks)), -areas, scores)):
        labels[masks[i]] = i + 1
    return labels


def densify(points: np.ndarray, confidence: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pointmap at the masks' resolution.

    The methods are made for a point per pixel, a pointmap has one per 4×4. Between cells of one
    surface the points are interpolated; at a rim the nearest cell's point stands.

    Args:
        points: ``[Hp Wp 3]``.
        confidence: ``[Hp Wp]``; 0 where invalid.
        size: ``(Hm, Wm)``.

    Returns:
        ``[Hm Wm 3]`` float32, NaN where invalid.
    """
    points = np.where((confidence > 0)[..., None], points, np.nan).astype(np.float32)
    (row, row_next, down), (col, col_next, right) = map(_between, points.shape[:2], size)
    down, right = down[:, None, None], right[None, :, None]
    corners = [points[r[:, None], c[None]] for r in (row, row_next) for c in (col, col_next)]
    top = corners[0] * (1 - right) + corners[1] * right
    bottom = corners[2] * (1 - right) + corners[3] * right
    near = nearest_cells(points, size)
    step = np.max([np.linalg.norm(corner - near, axis=-1) for corner in corners], axis=0)
    return np.where((step < MAX_STEP)[..., None], top * (1 - down) + bottom * down, near)


def nearest_cells(cells: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The value of the cell under the centre of each cell of a ``size`` grid."""
    row, col = (
        ((np.arange(n) + 0.5) * full / n).astype(int)
        for n, full in zip(size, cells.shape[:2], strict=True)
    )
    return cells[row[:, None], col[None]]


def pool_features(features: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """``[q c]`` float32 of length 1: normalised patches, averaged by the share each mask covers."""
    h, w, channels = features.shape
    patches = features.reshape(h * w, channels).astype(np.float32)
    patches = patches - patches.mean(axis=1, keepdims=True)
    patches /= patches.std(axis=1, keepdims=True) + 1e-5  # LayerNorm, as our own core takes them.
    cells = masks.reshape(len(masks), h, masks.shape[1] // h, w, masks.shape[2] // w)
    pooled = cells.mean(axis=(2, 4), dtype=np.float32).reshape(len(masks), h * w) @ patches
    return pooled / (np.linalg.norm(pooled, axis=1, keepdims=True) + 1e-7)


def _between(full: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cell before, cell after and the share of the one after, for each of ``n`` centres."""
    place = np.clip((np.arange(n) + 0.5) * full / n - 0.5, 0, full - 1)
    before = np.minimum(place.astype(int), max(full - 2, 0))
    return before, np.minimum(before + 1, full - 1), (place - before).astype(np.float32)
