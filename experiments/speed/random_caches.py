"""Caches of random frames, and their files out of the page cache."""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from moonseg_jax.cache import CacheWriter
from moonseg_jax.structs import Backbone, Frame, SceneInfo, pack_masks


def scene_info(
    c3: int, c2: int, state_tokens: int, image_size: tuple[int, int] = (384, 512)
) -> SceneInfo:
    """Of such a cache."""
    return SceneInfo(
        scene="speed",
        image_size=image_size,
        patch=16,
        point_stride=4,
        mask_stride=2,
        units="metre",
        poses="sensor",
        stride=1,
        geometry=Backbone("random", c3),
        semantics=Backbone("random", c2),
        masks=Backbone("ellipses"),
        state_tokens=state_tokens,
    )


def random_frame(info: SceneInfo, seed: int, num_masks: int = 60) -> Frame:
    """Noise everywhere, and discs for masks."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(info.mask_size)
    centre, radius = (
        rng.uniform(0, 256, (2, num_masks, 1, 1)),
        rng.uniform(5, 50, (num_masks, 1, 1)),
    )
    masks = np.hypot(rows - centre[0], columns - centre[1]) < radius

    def floats(shape, dtype):
        return rng.standard_normal(shape, np.float32).astype(dtype)

    return Frame(
        features_3d=floats((*info.grid, info.geometry.channels), np.float16),
        features_2d=floats((*info.grid, info.semantics.channels), np.float16),
        state_attention=(
            floats((info.state_tokens, *info.grid), np.float16) if info.state_tokens else None
        ),
        points=floats((*info.point_size, 3), np.float32),
        confidence=floats(info.point_size, np.float32),
        colors=rng.integers(0, 256, (*info.point_size, 3), np.uint8),
        T_world_from_cam=np.eye(4, dtype=np.float32),
        intrinsics=np.eye(3, dtype=np.float32),
        masks=pack_masks(masks),
        mask_valid=np.arange(64) < num_masks,
        mask_scores=(np.arange(64) < num_masks).astype(np.float32),
        timestamp=np.float64(seed),
    )


def write_scenes(paths: list[Path], info: SceneInfo, frames: list[Frame], num_frames: int) -> None:
    """A cache a path, of these frames over and over."""
    for path in paths:
        with CacheWriter(path, dataclasses.replace(info, scene=path.name)) as writer:
            for i in range(num_frames):
                writer.append(f"{i:06d}", frames[i % len(frames)])


def files_of(paths: Iterable[Path]) -> list[Path]:
    """All files of these folders."""
    return sorted(file for path in paths for file in path.rglob("*") if file.is_file())


def drop_page_cache(files: Iterable[Path]) -> None:
    """So that they are read from the disk the next time."""
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
