"""Random scenes made from a seed with hashing arithmetic only: the same on every NumPy."""

import numpy as np

from moonseg_jax.eval.overlaps import SceneOverlaps, count_overlaps


def _hash(seed: int, n: int, stream: int) -> np.ndarray:
    """``[n]`` float64 in 0..1 (splitmix64)."""
    with np.errstate(over="ignore"):
        x = np.arange(n, dtype=np.uint64) + np.uint64(1)
        x = x * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed * 1000003 + stream * 7919)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53


def random_scene(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ground truth in runs of vertices, predictions that shift, split, merge and overlap them.

    Returns:
        ``instance [v]`` int (0 = void), ``masks [v n]`` bool, ``scores [n]`` in steps of 0.1.
    """
    count = 6 + seed % 5
    sizes = (40 + 500 * _hash(seed, count, 0)).astype(int)
    instance = np.repeat(np.arange(count) + 1, sizes)
    # A third of the scenes has void runs; ids change order of size and place.
    voids = _hash(seed, count, 1) < 0.2
    instance = np.where(voids[instance - 1], 0, instance)
    ends = np.cumsum(sizes)
    masks, scores = [], []
    draws = _hash(seed, 8 * count, 2).reshape(-1, 4)
    for i, (which, shift, stretch, score) in enumerate(draws):
        if i % 3 == 2 and which < 0.4:
            continue
        target = int(which * count)
        start = ends[target] - sizes[target] + int((shift - 0.5) * 0.7 * sizes[target])
        length = int((0.4 + stretch) * sizes[target])
        position = np.arange(len(instance))
        masks.append((position >= start) & (position < start + length))
        scores.append(round(score, 1))
    return instance, np.stack(masks, axis=-1), np.array(scores)


def random_overlaps(seed: int) -> SceneOverlaps:
    return count_overlaps(*random_scene(seed))
