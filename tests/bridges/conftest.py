from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WALL = 2.0  # Metres; the scene is the plane z = WALL of the world, with a box standing out of it.
K_OPENCV = np.array([[70.0, 0, 39.5], [0, 72.0, 29.5], [0, 0, 1]])


@dataclass(frozen=True)
class Recording:
    """A tiny posed RGB-D folder on disk."""

    path: Path
    names: list[str]
    poses: list[np.ndarray]
    size: tuple[int, int]

    def file(self, kind: str, index: int = 0) -> Path:
        return next((self.path / kind).glob(f"{self.names[index]}.*"))


def pose_of(index: int) -> np.ndarray:
    angle = 0.05 * index
    T = np.eye(4)
    T[:3, :3] = [
        [np.cos(angle), 0, np.sin(angle)],
        [0, 1, 0],
        [-np.sin(angle), 0, np.cos(angle)],
    ]
    T[:3, 3] = [0.1 * index, 0.02 * index, -0.05 * index]
    return T


def wall_depth(T: np.ndarray, size: tuple[int, int], image_size: tuple[int, int]) -> np.ndarray:
    """Depth of the wall at every pixel centre of a map of the image's field of view."""
    v, u = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5, indexing="ij")
    x = (u * image_size[1] / size[1] - 0.5 - K_OPENCV[0, 2]) / K_OPENCV[0, 0]
    y = (v * image_size[0] / size[0] - 0.5 - K_OPENCV[1, 2]) / K_OPENCV[1, 1]
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ T[:3, :3].T
    return (WALL - T[2, 3]) / rays[..., 2]


def picture(size: tuple[int, int]) -> np.ndarray:
    """A grey image with a red and a blue square."""
    image = np.full((*size, 3), 128, np.uint8)
    height, width = size
    image[height // 4 : height // 2, width // 4 : width // 2] = (200, 30, 30)
    image[height // 2 : 3 * height // 4, width // 2 : 3 * width // 4] = (30, 40, 190)
    return image


@pytest.fixture
def make_rgbd(tmp_path):
    def make(frames=3, size=(60, 80), depth_size=None, name="room") -> Recording:
        root = tmp_path / name
        for folder in ("color", "depth", "pose"):
            (root / folder).mkdir(parents=True)
        np.savetxt(root / "intrinsics.txt", K_OPENCV)
        names = [f"{i:06d}" for i in range(frames)]
        poses = [pose_of(i) for i in range(frames)]
        for stem, T in zip(names, poses, strict=True):
            Image.fromarray(picture(size)).save(root / "color" / f"{stem}.png")
            depth = np.rint(wall_depth(T, depth_size or size, size) * 1000).astype(np.uint16)
            depth[:4, :4] = 0
            Image.fromarray(depth).save(root / "depth" / f"{stem}.png")
            np.savetxt(root / "pose" / f"{stem}.txt", T, fmt="%.12g")
        return Recording(root, names, poses, size)

    return make


@pytest.fixture
def make_labels(tmp_path):
    def make(names, size=(60, 80), dtype=np.uint16, folder="masks") -> Path:
        root = tmp_path / folder
        root.mkdir()
        labels = np.zeros(size, dtype)
        labels[10:30, 10:40] = 3
        labels[30:50, 30:70] = 7
        for stem in names:
            Image.fromarray(labels).save(root / f"{stem}.png")
        return root

    return make
