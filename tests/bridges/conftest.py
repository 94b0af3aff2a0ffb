import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
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


def jpeg(image: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=95)
    return stream.getvalue()


@dataclass
class Sens:
    """What goes into a ``.sens`` file: ScanNet's scene in little, colour 2.02 times the depth."""

    poses: Sequence[np.ndarray] = tuple(pose_of(i) for i in range(3))
    color_size: tuple[int, int] = (121, 162)
    depth_size: tuple[int, int] = (60, 80)
    version: int = 4
    color_type: int = 2
    depth_type: int = 1
    shift: float = 1000.0
    num_frames: int | None = None
    microseconds: Sequence[int] | None = None
    colors: dict[int, bytes] = field(default_factory=dict)  # Instead of the picture, by frame.
    depths: dict[int, bytes] = field(default_factory=dict)

    def millimetres(self, index: int) -> np.ndarray:
        T = self.poses[index] if np.isfinite(self.poses[index]).all() else np.eye(4)
        depth = wall_depth(T, self.depth_size, self.depth_size) * 1000
        depth[:4, :4] = 0
        depth[-1] = 65535
        return np.rint(depth).astype("<u2")

    def color(self, index: int) -> bytes:
        return self.colors.get(index, jpeg(np.roll(picture(self.color_size), 5 * index, axis=1)))

    def depth(self, index: int) -> bytes:
        raw = self.millimetres(index).tobytes()
        return self.depths.get(index, zlib.compress(raw) if self.depth_type == 1 else raw)

    def intrinsics(self, size: tuple[int, int]) -> np.ndarray:
        K = np.eye(4)
        K[:3, :3] = np.diag([size[1] / 80, size[0] / 60, 1.0]) @ K_OPENCV
        return K

    def write(self, path: Path) -> Path:
        """ScanNet's format, version 4, with an empty list of IMU readings at the end."""
        sensor = b"StructureSensor"
        K = [self.intrinsics(size) for size in (self.color_size, self.depth_size)]
        matrices = np.stack([K[0], np.eye(4), K[1], np.eye(4)]).astype("<f4")
        sizes = (*self.color_size[::-1], *self.depth_size[::-1])
        count = len(self.poses) if self.num_frames is None else self.num_frames
        parts = [
            struct.pack("<IQ", self.version, len(sensor)), sensor, matrices.tobytes(),
            struct.pack("<ii4IfQ", self.color_type, self.depth_type, *sizes, self.shift, count),
        ]  # fmt: skip
        for i, T in enumerate(self.poses):
            color, depth = self.color(i), self.depth(i)
            time = self.microseconds[i] if self.microseconds else 0
            parts.append(np.asarray(T, "<f4").tobytes())
            parts.append(struct.pack("<4Q", time, time, len(color), len(depth)))
            parts += [color, depth]
        path.write_bytes(b"".join([*parts, struct.pack("<Q", 0)]))
        return path

    def export(self, path: Path) -> Path:
        """The same as SensReader's ``reader.py`` exports it."""
        for folder in ("color", "depth", "pose", "intrinsic"):
            (path / folder).mkdir(parents=True)
        for i, T in enumerate(self.poses):
            (path / "color" / f"{i}.jpg").write_bytes(self.color(i))
            Image.fromarray(self.millimetres(i)).save(path / "depth" / f"{i}.png")
            np.savetxt(path / "pose" / f"{i}.txt", T, fmt="%f")
        for kind, size in (("color", self.color_size), ("depth", self.depth_size)):
            file = path / "intrinsic" / f"intrinsic_{kind}.txt"
            np.savetxt(file, self.intrinsics(size), fmt="%f")
        return path


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
