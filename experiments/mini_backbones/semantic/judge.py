"""How well features tell objects apart, by instance ids that training never saw; and pictures.

For masks of whole objects in frames some way apart: the part of pairs on one object whose cosine
is above that of 99 % of the pairs on two objects of the room.
"""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from moonseg_jax.rooms import camera_path, default_intrinsics, render, sample_room

GAPS = (1, 8, 32)
FALSE_RATE = 0.01
LEAST = 1 / 400  # Part of an image that an object must cover.
SIZE = (384, 512)  # Rendered at; smaller sizes are averaged from it.

_look = jax.jit(render, static_argnums=3)

Describe = Callable[[np.ndarray], np.ndarray]
"""Features ``[h w c]`` of an image ``[H W 3]`` uint8."""


def unseen(seed: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """A walk through a room: ``[t H W 3]`` uint8 and ids ``[t H W]``."""
    room = sample_room(seed)
    K = default_intrinsics(SIZE).astype(np.float32)
    keys = jax.random.split(jax.random.key(seed), frames)
    views = zip(camera_path(room, seed, frames), keys, strict=True)
    shots = [_look(room, pose, K, SIZE, key) for pose, key in views]
    return np.stack([s.image for s in shots]), np.stack([s.instance for s in shots])


def shrink(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Averages an image ``[H W 3]`` uint8 down to ``(H, W)``."""
    return np.array(Image.fromarray(image).resize(size[::-1], Image.Resampling.BOX))


def separability(
    rooms: list[tuple[np.ndarray, np.ndarray]], describe: Describe
) -> dict[str, float]:
    """Part of true pairs found at 1 % false ones, by the frames between them.

    Patches are normalised as the core does it (zero mean, unit variance over the channels); with
    ``centred`` the room's mean feature is taken away first, which a trained core can learn to.
    """
    same, other = {}, {}
    for images, ids in rooms:
        features = [np.asarray(describe(image), np.float32) for image in images]
        features = np.stack([_normalise(f) for f in features])
        pooled = [_pool(f, i) for f, i in zip(features, ids, strict=True)]
        for kind, shift in (("", 0.0), ("centred ", features.mean(axis=(0, 1, 2)))):
            for gap in GAPS:
                name = f"{kind}{gap}"
                for first, second in zip(pooled, pooled[gap:], strict=False):
                    equal = first[1][:, None] == second[1][None]
                    cosine = _unit(first[0] - shift) @ _unit(second[0] - shift).T
                    same.setdefault(name, []).append(cosine[equal])
                    other.setdefault(name, []).append(cosine[~equal])
    found = {}
    for name in same:
        bar = np.quantile(np.concatenate(other[name]), 1 - FALSE_RATE)
        found[name] = float(np.mean(np.concatenate(same[name]) > bar))
    return found


def _normalise(features: np.ndarray) -> np.ndarray:
    centred = features - features.mean(axis=-1, keepdims=True)
    return centred / (features.std(axis=-1, keepdims=True) + 1e-6)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _pool(features: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean features ``[q c]`` of the objects of a frame, by area, and their ids ``[q]``."""
    h, w, _ = features.shape
    shown = 1 + np.flatnonzero(np.bincount(ids.ravel())[1:] > LEAST * ids.size)
    # Ids at 8x8 places of each patch, whatever the ratio of the sizes.
    rows, columns = (
        ((np.arange(8 * n) + 0.5) * size / (8 * n)).astype(int)
        for n, size in zip((h, w), ids.shape, strict=True)
    )
    cells = ids[rows][:, columns].reshape(h, 8, w, 8)
    cover = np.stack([np.mean(cells == i, axis=(1, 3)).ravel() for i in (0, *shown)])[1:]
    total = np.maximum(cover.sum(axis=1, keepdims=True), 1e-6)
    return cover @ features.reshape(h * w, -1) / total, shown


def pca_sheet(images: np.ndarray, describe: Describe, path: Path, scale: int = 256) -> None:
    """Writes images over three principal components of their patches, one basis for all."""
    features = np.stack([_normalise(np.asarray(describe(i), np.float32)) for i in images])
    flat = features.reshape(-1, features.shape[-1])
    flat = flat - flat.mean(axis=0)
    _, axes = np.linalg.eigh(flat.T @ flat)
    parts = flat @ axes[:, -3:][:, ::-1]
    low, high = np.quantile(parts, (0.02, 0.98), axis=0)
    colors = (np.clip((parts - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    colors = colors.reshape(*features.shape[:3], 3)
    size = (scale, scale * images.shape[1] // images.shape[2])
    rows = []
    for pictures, rule in ((images, Image.Resampling.BOX), (colors, Image.Resampling.NEAREST)):
        tiles = [np.array(Image.fromarray(p).resize(size, rule)) for p in pictures]
        rows.append(np.concatenate(tiles, axis=1))
    Image.fromarray(np.concatenate(rows)).save(path)
