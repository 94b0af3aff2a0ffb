"""Writes rooms as posed RGB-D folders, the source format of everything else."""

import json
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from moonseg_jax.rooms.camera import default_intrinsics, render
from moonseg_jax.rooms.cast import TILE
from moonseg_jax.rooms.masks import CorruptionRates, corrupt_masks
from moonseg_jax.rooms.path import camera_path
from moonseg_jax.rooms.sample import sample_room
from moonseg_jax.rooms.scene import RenderedFrame, Room, RoomConfig
from moonseg_jax.structs import InputError

_META = "room.json"
_KIND = "procedural room"
_THREADS = 2

_render = jax.jit(render, static_argnames="size")


def write_room(
    path: str | Path,
    seed: int,
    frames: int,
    size: tuple[int, int] = (384, 512),
    rates: CorruptionRates | None = None,
    *,
    config: RoomConfig | None = None,
    focal: float = 0.9,
    voxel: float = 0.02,
    watch: Callable[[Iterable[RenderedFrame]], Iterable[RenderedFrame]] = iter,
) -> Path:
    """Renders a room into a posed RGB-D folder; it appears whole or not at all.

    Holds ``color/*.jpg``, ``depth/*.png`` (uint16 millimetres), ``pose/*.txt``
    (T_world_from_cam), ``intrinsics.txt`` (OpenCV: pixel centres at integers, so the middle is
    ``W/2 - 0.5``), ``instance/*.png`` (uint16), ``gt.npz`` (surface seen, fused), ``room.json``
    and, with ``rates``, ``masks/*.png`` (uint16 label maps).

    Args:
        path: the folder. One that an earlier call wrote is replaced.
        seed: of room, path, noise and masks.
        frames: number of frames.
        size: ``(H, W)``, multiples of 16.
        rates: errors of the imitated mask model; no masks where None.
        config: what rooms are like.
        focal: focal length in image widths.
        voxel: side of the cells of ``gt.npz``, metres.
        watch: hands on the frames that are rendered, to show how far it is.

    Returns:
        The folder.

    Raises:
        InputError: the folder exists and is not a procedural room, or the size does not fit.
    """
    path = Path(path)
    _check(path, frames, size)
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        room = sample_room(seed, config)
        poses = camera_path(room, seed, frames)
        intrinsics = default_intrinsics(size, focal)
        rendered = watch(_rendered(room, poses, intrinsics, size, seed))
        cloud = _Cloud(voxel, intrinsics)
        _write_frames(part, rendered, poses, cloud, seed, rates)
        _write_scene(part, cloud, intrinsics, _meta(room, seed, frames, size, rates))
        if path.exists():
            shutil.rmtree(path)
        part.rename(path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return path


def _check(path: Path, frames: int, size: tuple[int, int]) -> None:
    if path.exists() and not _is_room(path):
        raise InputError(
            f"{path} exists and is not a procedural room: name another folder or remove it"
        )
    if frames < 1 or min(size) < TILE or size[0] % TILE or size[1] % TILE:
        raise InputError(
            f"{frames} frames of {size[0]}x{size[1]} cannot be rendered into {path}: ask for at "
            f"least one frame and for multiples of {TILE} pixels"
        )


def _is_room(path: Path) -> bool:
    try:
        return json.loads((path / _META).read_text())["kind"] == _KIND
    except (OSError, ValueError, KeyError, TypeError):
        return path.is_dir() and not any(path.iterdir())


def _rendered(
    room: Room, poses: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int], seed: int
) -> Iterator[RenderedFrame]:
    """A frame a pose, on the host."""
    keys = jax.random.split(jax.random.key(seed), len(poses))
    camera = intrinsics.astype(np.float32)
    frames = (
        _render(room, pose, camera, size=size, key=key)
        for pose, key in zip(poses, keys, strict=True)
    )
    return map(jax.device_get, frames)


def _write_frames(
    root: Path,
    frames: Iterable[RenderedFrame],
    poses: np.ndarray,
    cloud: "_Cloud",
    seed: int,
    rates: CorruptionRates | None,
) -> None:
    for name in ["color", "depth", "pose", "instance"] + (["masks"] if rates else []):
        (root / name).mkdir()
    save = partial(_save, root, seed=seed, rates=rates)
    # Rendering runs ahead on XLA's threads while these write.
    with ThreadPoolExecutor(_THREADS) as pool:
        pending = deque()
        for i, frame in enumerate(frames):
            pending.append(pool.submit(save, i, frame, poses[i]))
            cloud.add(np.asarray(frame.depth), np.asarray(frame.instance), poses[i])
            while len(pending) > 2 * _THREADS:
                pending.popleft().result()
        for job in pending:
            job.result()


def _write_scene(root: Path, cloud: "_Cloud", intrinsics: np.ndarray, meta: dict[str, Any]) -> None:
    points, instance = cloud.fused()
    with open(root / "gt.npz", "wb") as file:
        np.savez_compressed(file, points=points, instance=instance)
    pixel_centres_at_integers = intrinsics - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    np.savetxt(root / "intrinsics.txt", pixel_centres_at_integers, fmt="%.6f")
    (root / _META).write_text(json.dumps(meta, indent=1) + "\n")


def _meta(
    room: Room, seed: int, frames: int, size: tuple[int, int], rates: CorruptionRates | None
) -> dict[str, Any]:
    return {
        "kind": _KIND,
        "seed": seed,
        "frames": frames,
        "size": list(size),
        "room": [round(float(s), 3) for s in room.size],
        "instances": int(room.count),
        "rates": asdict(rates) if rates else None,
    }


def _save(
    root: Path,
    index: int,
    frame: RenderedFrame,
    pose: np.ndarray,
    *,
    seed: int,
    rates: CorruptionRates | None,
) -> None:
    stem = f"{index:06d}"
    Image.fromarray(np.asarray(frame.image)).save(root / "color" / f"{stem}.jpg", quality=92)
    _png(root / "depth" / f"{stem}.png", np.rint(np.clip(np.asarray(frame.depth), 0, 65.0) * 1000))
    instance = np.asarray(frame.instance)
    _png(root / "instance" / f"{stem}.png", instance)
    np.savetxt(root / "pose" / f"{stem}.txt", pose, fmt="%.9f")
    if rates:
        rng = np.random.default_rng([seed, 0x4D, index])
        _png(root / "masks" / f"{stem}.png", corrupt_masks(instance, rng, rates))


def _png(path: Path, values: np.ndarray) -> None:
    Image.fromarray(values.astype(np.uint16)).save(path, compress_level=1)


class _Cloud:
    """Fuses depth maps to one point a voxel: mean position, most frequent instance."""

    def __init__(self, voxel: float, intrinsics: np.ndarray) -> None:
        self._voxel, self._intrinsics = voxel, intrinsics
        self._rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, depth: np.ndarray, instance: np.ndarray, pose: np.ndarray) -> None:
        """Takes every second pixel of a frame, already reduced to its voxels."""
        K = self._intrinsics
        rows, cols = np.mgrid[0 : depth.shape[0] : 2, 0 : depth.shape[1] : 2]
        z = depth[::2, ::2].astype(float)
        x = (cols + 0.5 - K[0, 2]) / K[0, 0] * z
        y = (rows + 0.5 - K[1, 2]) / K[1, 1] * z
        points = np.stack([x, y, z], axis=-1).reshape(-1, 3)
        points = points @ pose[:3, :3].astype(float).T + pose[:3, 3]
        keys = _keys(np.floor(points / self._voxel).astype(np.int64), instance[::2, ::2].ravel())
        unique, index, count = np.unique(keys, return_inverse=True, return_counts=True)
        total = [np.bincount(index, points[:, k]) for k in range(3)]
        self._rows.append((unique, np.stack(total, axis=1), count))

    def fused(self) -> tuple[np.ndarray, np.ndarray]:
        """``points [n 3]`` float32 and ``instance [n]`` int32 (0 = walls, floor, ceiling)."""
        keys, totals, counts = (np.concatenate(column) for column in zip(*self._rows, strict=True))
        keys, index = np.unique(keys, return_inverse=True)
        count = np.bincount(index, counts)
        mean = np.stack([np.bincount(index, totals[:, k]) for k in range(3)], axis=1)
        mean = mean / count[:, None]
        # Of the instances that share a voxel, the one seen most often.
        order = np.lexsort((-count, keys >> _ID_BITS))
        voxels = keys[order] >> _ID_BITS
        first = np.concatenate([[True], voxels[1:] != voxels[:-1]])
        best = order[first]
        instance = (keys[best] & ((1 << _ID_BITS) - 1)).astype(np.int32)
        return mean[best].astype(np.float32), instance


_ID_BITS = 12


def _keys(voxels: np.ndarray, instance: np.ndarray) -> np.ndarray:
    """Voxel coordinates and instance in one integer: 3 x 16 bits and 12 bits."""
    shifted = voxels + (1 << 15)
    key = (shifted[:, 0] << 32) | (shifted[:, 1] << 16) | shifted[:, 2]
    return (key << _ID_BITS) | instance.astype(np.int64)
