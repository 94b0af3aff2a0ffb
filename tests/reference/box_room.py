"""A room of tiled walls: frames with exact geometry, labels and features, without a renderer."""

from dataclasses import dataclass

import numpy as np

from moonseg_jax.structs import Backbone, Frame, SceneInfo, pack_masks


@dataclass(frozen=True)
class BoxRoom:
    """Looks around a box-shaped room whose walls are tiled; a tile is an instance.

    The camera turns once round in ``frames_per_turn`` frames while it bobs, so that a second turn
    sees what the first one saw.
    """

    size: tuple[float, float, float] = (6.0, 5.0, 2.6)
    origin: tuple[float, float, float] = (0.031, 0.047, 0.023)  # So that no wall cuts voxels.
    tile: float = 1.3
    image_size: tuple[int, int] = (64, 96)
    patch: int = 16
    point_stride: int = 4
    mask_stride: int = 2
    c3: int = 6
    c2: int = 5
    state_tokens: int = 7
    frames_per_turn: int = 24
    noise: float = 0.05
    max_masks: int = 32
    dtype: type = np.float32

    @property
    def info(self) -> SceneInfo:
        return SceneInfo(
            scene="box",
            image_size=self.image_size,
            patch=self.patch,
            point_stride=self.point_stride,
            mask_stride=self.mask_stride,
            units="metre",
            poses="sensor",
            stride=1,
            geometry=Backbone("box", self.c3),
            semantics=Backbone("box", self.c2),
            masks=Backbone("box"),
            state_tokens=self.state_tokens,
        )

    def frame(self, index: int) -> Frame:
        rng = np.random.default_rng(index)
        points, _ = self._cast(index, self.point_stride)
        grid_labels = self._cast(index, self.patch)[1]
        labels = self._cast(index, self.mask_stride)[1]
        ids = np.unique(labels)
        rng.shuffle(ids)
        ids = ids[: self.max_masks]
        words = -(-self.max_masks // 32)
        valid = np.arange(words * 32) < len(ids)
        planes = pack_masks(labels[None] == ids[:, None, None])
        planes = np.pad(planes, ((0, 0), (0, 0), (0, words - planes.shape[-1])))
        widths = enumerate((self.c3, self.c2, self.state_tokens))
        features = [self._features(grid_labels, c, kind, rng) for kind, c in widths]
        return Frame(
            features_3d=features[0],
            features_2d=features[1],
            state_attention=np.abs(np.moveaxis(features[2], -1, 0)) if self.state_tokens else None,
            points=points.astype(self.dtype),
            confidence=np.ones(points.shape[:2], self.dtype),
            colors=np.full(points.shape, index % 256, np.uint8),
            T_world_from_cam=self._pose(index).astype(self.dtype),
            intrinsics=self._intrinsics().astype(self.dtype),
            masks=planes,
            mask_valid=valid,
            mask_scores=np.where(valid, rng.uniform(0.5, 1, words * 32), 0).astype(self.dtype),
            timestamp=np.float64(index / 30),
        )

    def _features(self, labels: np.ndarray, width: int, kind: int, rng) -> np.ndarray:
        names, inverse = np.unique(labels, return_inverse=True)
        code = np.stack([np.random.default_rng((kind, n)).normal(size=width) for n in names])
        mean = code[inverse.reshape(labels.shape)]
        return (mean + self.noise * rng.normal(size=mean.shape)).astype(np.float16)

    def _intrinsics(self) -> np.ndarray:
        height, width = self.image_size
        return np.array([[0.8 * width, 0, width / 2], [0, 0.8 * width, height / 2], [0, 0, 1.0]])

    def _pose(self, index: int) -> np.ndarray:
        turn = 2 * np.pi * index / self.frames_per_turn
        forward = np.array([np.cos(turn), np.sin(turn), 0.2 * np.sin(3 * turn)])
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
        aside = 0.3 * np.array([np.sin(turn), np.cos(turn), 0.5])
        pose[:3, 3] = np.array(self.size) / 2 + aside + self.origin
        return pose

    def _cast(self, index: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
        """Points ``[H/stride W/stride 3]`` and tile numbers, by meeting rays with six planes."""
        height, width = (n // stride for n in self.image_size)
        v, u = (np.mgrid[:height, :width] + 0.5) * stride
        rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(self._intrinsics()).T
        pose = self._pose(index)
        rays = rays @ pose[:3, :3].T
        centre, size = pose[:3, 3] - self.origin, np.array(self.size)
        with np.errstate(divide="ignore"):
            t = np.where(rays > 0, (size - centre) / rays, -centre / rays)
        axis = np.argmin(t, axis=-1)
        points = centre + rays * np.min(t, axis=-1)[..., None]
        side = np.take_along_axis(rays > 0, axis[..., None], -1)[..., 0]
        cells = np.floor(points / self.tile).astype(int)
        cells[np.arange(3) == axis[..., None]] = 0
        wall = axis * 2 + side
        tile = (cells[..., 0] * 32 + cells[..., 1]) * 32 + cells[..., 2]
        return points + self.origin, wall * 32**3 + tile
