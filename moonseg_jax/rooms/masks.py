"""Imitates a 2D mask model: what it splits, merges, misses, invents and smears."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

_WIDTH = 512.0  # Image width that jitter is given for.
_WAVE = 12  # Pixels between independent boundary shifts.
_LEAST = 16  # Pixels below which a mask is not worth cutting.


@dataclass(frozen=True)
class CorruptionRates:
    """How often a mask model errs; all zero leaves label maps as they are.

    Attributes:
        split: probability that an object comes as 2-4 parts (cut by a line or by k-means of its
            pixels).
        merge: probability that an object is fused with a touching one.
        miss: probability that an object gets no mask.
        jitter: standard deviation of boundary shifts, pixels of a 512-pixel-wide image.
        false: mean number of masks per frame on walls, floor or ceiling.
        fragment: probability that a speck of an object comes as a mask of its own.
    """

    split: float = 0.15
    merge: float = 0.08
    miss: float = 0.1
    jitter: float = 1.5
    false: float = 1.0
    fragment: float = 0.1


NO_CORRUPTION = CorruptionRates(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def corrupt_masks(
    labels: np.ndarray, rng: np.random.Generator, rates: CorruptionRates
) -> np.ndarray:
    """The label map a mask model might give for one frame.

    Args:
        labels: ``[H W]`` ids, 0 = none; ids need not be consecutive.
        rng: advanced by the call.
        rates: see there.

    Returns:
        ``[H W]`` uint16, 0 = none; ids 1..n in random order, so that nothing links frames. With
        all rates zero, exactly ``labels``.
    """
    if rates == NO_CORRUPTION:
        return labels.astype(np.uint16)
    masks = labels.astype(np.int32)
    masks = _merge(masks, rng, rates.merge)
    masks = _split(masks, rng, rates.split)
    masks = _fragment(masks, rng, rates.fragment)
    masks = _jitter(masks, rng, rates.jitter * labels.shape[1] / _WIDTH)
    for label in _labels(masks):
        if rng.random() < rates.miss:
            masks[masks == label] = 0
    masks = _invent(masks, labels == 0, rng, rates.false)
    return _shuffled(masks, rng)


def _labels(masks: np.ndarray) -> np.ndarray:
    # Counting is much faster than the sorting of np.unique.
    return 1 + np.flatnonzero(np.bincount(masks.ravel())[1:])


def _merge(masks: np.ndarray, rng: np.random.Generator, rate: float) -> np.ndarray:
    """Fuses objects with one of those that touch them in the image."""
    across = np.stack([masks[:, :-1].ravel(), masks[:, 1:].ravel()])
    below = np.stack([masks[:-1].ravel(), masks[1:].ravel()])
    pairs = np.concatenate([across, below], axis=1)
    pairs = np.unique(pairs[:, (pairs[0] != pairs[1]) & (pairs.min(axis=0) > 0)], axis=1)
    result = masks.copy()
    for label in _labels(masks):
        touching = np.concatenate([pairs[1, pairs[0] == label], pairs[0, pairs[1] == label]])
        if len(touching) and rng.random() < rate:
            other = rng.choice(np.unique(touching))
            keep = result[masks == other][0]
            result[result == result[masks == label][0]] = keep
    return result


def _split(masks: np.ndarray, rng: np.random.Generator, rate: float) -> np.ndarray:
    """Cuts objects by a line through their middle, or into 2-4 compact parts."""
    result, fresh = masks.copy(), masks.max() + 1
    for label, pixels in _struck(masks, rng, rate):
        part = _by_line(pixels, rng) if rng.random() < 0.5 else _by_means(pixels, rng)
        result[tuple(pixels.T)] = np.where(part == 0, label, fresh + part)
        fresh += part.max() + 1
    return result


def _struck(
    masks: np.ndarray, rng: np.random.Generator, rate: float
) -> Iterator[tuple[int, np.ndarray]]:
    """Some of the objects that are large enough to break: label, and pixels ``[m 2]``."""
    for label in _labels(masks):
        if rng.random() < rate:
            pixels = np.argwhere(masks == label)
            if len(pixels) >= 2 * _LEAST:
                yield label, pixels


def _by_line(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two parts either side of a random line: at least a fifth of the pixels each."""
    angle = rng.uniform(0, np.pi)
    along = pixels @ np.array([np.cos(angle), np.sin(angle)])
    return (along > np.quantile(along, rng.uniform(0.2, 0.8))).astype(int)


def _by_means(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two to four parts by a few rounds of k-means on pixel positions."""
    centres = pixels[rng.choice(len(pixels), int(rng.integers(2, 5)), replace=False)].astype(float)
    part = np.zeros(len(pixels), int)
    for _ in range(4):
        part = np.argmin(((pixels[:, None] - centres[None]) ** 2).sum(axis=-1), axis=1)
        for k in np.unique(part):
            centres[k] = pixels[part == k].mean(axis=0)
    return part


def _fragment(masks: np.ndarray, rng: np.random.Generator, rate: float) -> np.ndarray:
    """Gives a speck somewhere in an object a mask of its own."""
    result, fresh = masks.copy(), masks.max() + 1
    for _, pixels in _struck(masks, rng, rate):
        apart = np.linalg.norm(pixels - pixels[rng.integers(len(pixels))], axis=1)
        speck = pixels[apart < np.sqrt(len(pixels)) * rng.uniform(0.08, 0.2)]
        result[tuple(speck.T)] = fresh
        fresh += 1
    return result


def _jitter(masks: np.ndarray, rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Moves boundaries by a smooth random field of shifts, in pixels, and so dents them."""
    if sigma == 0:
        return masks
    height, width = masks.shape
    coarse = rng.normal(size=(2, height // _WAVE + 3, width // _WAVE + 3)) * sigma * 1.5
    shift = np.asarray(ndimage.zoom(coarse, (1, _WAVE, _WAVE), order=1))[:, :height, :width]
    rows, cols = np.indices(masks.shape)
    row = np.clip(np.rint(rows + shift[0]), 0, height - 1).astype(int)
    col = np.clip(np.rint(cols + shift[1]), 0, width - 1).astype(int)
    return masks[row, col]


def _invent(
    masks: np.ndarray, background: np.ndarray, rng: np.random.Generator, mean: float
) -> np.ndarray:
    """Adds smooth blobs on the background, a fiftieth to a third of the image wide."""
    result, fresh = masks.copy(), masks.max() + 1
    free = np.argwhere(background)
    rows, cols = np.indices(masks.shape)
    for _ in range(rng.poisson(mean) if len(free) else 0):
        row, col = free[rng.integers(len(free))]
        radii = masks.shape[1] * np.exp(rng.uniform(np.log(0.02), np.log(0.17), 2))
        turn = rng.uniform(0, np.pi)
        a = (rows - row) * np.cos(turn) + (cols - col) * np.sin(turn)
        b = (cols - col) * np.cos(turn) - (rows - row) * np.sin(turn)
        around = np.arctan2(b, a)
        bumps = 1 + 0.2 * np.sin(2 * around + rng.uniform(0, 6)) * np.sin(3 * around)
        blob = (a / radii[0]) ** 2 + (b / radii[1]) ** 2 < bumps
        result[blob & background & (result == 0)] = fresh
        fresh += 1
    return result


def _shuffled(masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    labels = _labels(masks)
    fresh = np.zeros(masks.max() + 1, np.uint16)
    fresh[labels] = 1 + rng.permutation(len(labels))
    return fresh[masks]
