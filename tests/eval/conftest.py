"""A recording of two planes, posed and measured without error, with its cache and a perfect result.

A wall at z = 2 m with two squares on it (instances 1 and 2), and a board at z = 1.4 m in front of
it (instance 3) that hides parts of the wall, different ones in every frame.
"""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from moonseg_jax.cache import CacheReader, CacheWriter
from moonseg_jax.eval import write_predictions
from moonseg_jax.structs import Backbone, Frame, SceneInfo, pack_masks

SIZE = (96, 128)  # Of the recorded images, H W.
CROP = 16  # Columns the processed image lacks on either side.
K = np.array([[110.0, 0, 64.0], [0, 110.0, 48.0], [0, 0, 1]])  # Pixel centres at +0.5.
CENTRES = np.array([[0, 0, 0], [0.3, 0.1, 0.1], [-0.3, -0.1, 0.05], [0.1, -0.2, -0.1], [0, 0.2, 0]])
SQUARES = ((1, 2.0, (-0.8, -0.2), (-0.5, 0.5)), (2, 2.0, (0.3, 0.8), (-0.4, 0.3)))
BOARD = (3, 1.4, (-0.25, 0.2), (-0.3, 0.3))


@dataclass(frozen=True)
class Recording:
    """Paths of everything made."""

    folder: Path
    cache: Path
    result: Path
    info: SceneInfo


def instance_at(x: np.ndarray, y: np.ndarray, planes: tuple) -> np.ndarray:
    out = np.zeros(np.broadcast(x, y).shape, int)
    for instance, _, (x0, x1), (y0, y1) in planes:
        out[(x >= x0) & (x < x1) & (y >= y0) & (y < y1)] = instance
    return out


def render(centre: np.ndarray, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Depth and instance ids seen from a centre, at a fraction of the recorded size."""
    height, width = (int(side * scale) for side in SIZE)
    u, v = np.meshgrid((np.arange(width) + 0.5) / scale, (np.arange(height) + 0.5) / scale)
    ray_x, ray_y = (u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1]
    far, near = 2.0 - centre[2], BOARD[1] - centre[2]
    on_board = instance_at(centre[0] + ray_x * near, centre[1] + ray_y * near, (BOARD,)) > 0
    on_wall = instance_at(centre[0] + ray_x * far, centre[1] + ray_y * far, SQUARES)
    return np.where(on_board, near, far), np.where(on_board, BOARD[0], on_wall)


def pose(centre: np.ndarray) -> np.ndarray:
    T = np.eye(4)
    T[:3, 3] = centre
    return T


def ground_truth_points() -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.arange(-1.1, 1.1, 0.02), np.arange(-0.8, 0.8, 0.02))
    wall = np.stack([x, y, np.full_like(x, 2.0)], -1).reshape(-1, 3)
    board = wall[instance_at(wall[:, 0], wall[:, 1], (BOARD,)) > 0] * [1, 1, 0.7]
    instance = instance_at(wall[:, 0], wall[:, 1], SQUARES)
    return np.concatenate([wall, board]), np.concatenate([instance, np.full(len(board), 3)])


def write_recording(folder: Path) -> None:
    for kind in ("color", "depth", "pose"):
        (folder / kind).mkdir(parents=True)
    # The file's principal point counts pixel centres from 0.
    np.savetxt(folder / "intrinsics.txt", K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    for i, centre in enumerate(CENTRES):
        depth, _ = render(centre)
        millimetres = Image.fromarray(np.round(depth * 1000).astype(np.uint16))
        millimetres.save(folder / "depth" / f"{i * 10:06d}.png")
        Image.new("RGB", SIZE[::-1], (90, 120, 150)).save(folder / "color" / f"{i * 10:06d}.png")
        np.savetxt(folder / "pose" / f"{i * 10:06d}.txt", pose(centre))
    points, instance = ground_truth_points()
    np.savez(folder / "gt.npz", points=points.astype(np.float32), instance=instance)


def scene_info(folder: Path) -> SceneInfo:
    made = Backbone("sensor", channels=4)
    return SceneInfo(
        scene="planes", image_size=(SIZE[0], SIZE[1] - 2 * CROP), patch=16, point_stride=2,
        mask_stride=2, units="metre", poses="sensor", stride=10, geometry=made, semantics=made,
        masks=made, image_transform=(1.0, 1.0, -float(CROP), 0.0), source=str(folder),
    )  # fmt: skip


def cropped(image: np.ndarray) -> np.ndarray:
    return image[:, CROP // 2 : -CROP // 2]  # At stride 2.


def frame_at(centre: np.ndarray, info: SceneInfo) -> Frame:
    depth, _ = render(centre, scale=0.5)
    height, width = SIZE[0] // 2, SIZE[1] // 2
    u, v = np.meshgrid(2 * np.arange(width) + 1.0, 2 * np.arange(height) + 1.0)
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)], -1)
    points = cropped(rays * depth[..., None] + centre).astype(np.float32)
    cut = K - [[0, 0, CROP], [0, 0, 0], [0, 0, 0]]
    features = np.zeros((*info.grid, 4), np.float16)
    return Frame(
        features_3d=features, features_2d=features, points=points,
        confidence=np.ones(points.shape[:2], np.float32),
        colors=np.full(points.shape, 120, np.uint8),
        T_world_from_cam=pose(centre).astype(np.float32), intrinsics=cut.astype(np.float32),
        masks=pack_masks(np.zeros((0, *info.mask_size), bool)), mask_valid=np.zeros(32, bool),
        mask_scores=np.zeros(32, np.float32), timestamp=np.array(0.0),
    )  # fmt: skip


def perfect_scene() -> SimpleNamespace:
    maps = [cropped(render(centre, 0.5)[1]).astype(np.uint16) for centre in CENTRES]
    points, instance = ground_truth_points()
    rng = np.random.default_rng(0)
    return SimpleNamespace(
        points=points.astype(np.float32), colors=np.full(points.shape, 120, np.uint8),
        instance=instance.astype(np.int32), scores=np.array([0.9, 0.8, 0.7], np.float32),
        queries=rng.normal(size=(3, 8)).astype(np.float32), tokens=np.zeros((3, 0), np.float32),
        boxes=rng.normal(size=(3, 2, 3)).astype(np.float32),
        observations=np.array([5, 4, 3], np.int32), first_frame=np.zeros(3, np.int32),
        last_frame=np.full(3, 4, np.int32), label_maps=lambda: iter(maps),
    )  # fmt: skip


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    folder, cache, result = tmp_path / "planes", tmp_path / "cache", tmp_path / "result"
    write_recording(folder)
    with CacheWriter(cache, scene_info(folder)) as writer:
        for i, centre in enumerate(CENTRES):
            writer.append(f"{i * 10:06d}", frame_at(centre, scene_info(folder)))
    reader = CacheReader(cache)
    config = {"online": {"min_observations": 2}}
    write_predictions(result, perfect_scene(), reader, config=config, checkpoint="none")
    return Recording(folder, cache, result, reader.info)
