"""How well masks of single frames fit the objects of rooms that training never saw; and pictures.

AP is that of `moonseg_jax.eval`, each frame a scene, with one change: a mask on walls, floor or
ceiling is wrong, not left out, as a mask model is asked for objects.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from bridges.backbones.interfaces import MASK_STRIDE, Masks
from moonseg_jax.eval.ap import THRESHOLDS, average_precision
from moonseg_jax.eval.overlaps import SceneOverlaps, count_overlaps

LEAST = 100  # Pixels of the image; smaller objects are neither asked for nor wrong.
SIZES = {"small": 32**2, "medium": 96**2, "large": np.inf}  # COCO's, by area in pixels.
RECALLS = (0.5, 0.75)

Find = Callable[[np.ndarray, np.ndarray], Masks]
"""Masks of an image ``[H W 3]`` uint8; the true ids ``[H W]`` are for imitations."""


def measure(frames: Sequence[tuple[np.ndarray, np.ndarray]], find: Find) -> dict[str, float]:
    """What a mask source reaches on frames, images with their ids.

    Returns:
        ``ap`` (ten thresholds), ``ap50``, ``ar`` (mean recall over the same), ``r50_small`` ...
        ``r75_large`` (recall by size, of those there are), ``objects_small`` ... counted, and
        ``masks`` a frame.
    """
    scenes = [overlaps(find(image, ids), ids) for image, ids in frames]
    area = np.concatenate([s.gt_sizes[s.gt_counts] for s in scenes]) * MASK_STRIDE**2
    best = np.concatenate([s.iou.max(axis=1, initial=0)[s.gt_counts] for s in scenes])
    scored = average_precision(scenes, "ten", "ranked")
    told = {"ap": scored["ap"], "ap50": scored["ap50"]}
    told["ar"] = float(np.mean([np.mean(best > t) for t in THRESHOLDS["ten"]]))
    smallest = 0.0
    for name, largest in SIZES.items():
        within = best[(area >= smallest) & (area < largest)]
        if len(within):
            told |= {f"r{100 * t:.0f}_{name}": float(np.mean(within > t)) for t in RECALLS}
        told[f"objects_{name}"] = len(within)
        smallest = largest
    return told | {"masks": float(np.mean([len(s.scores) for s in scenes]))}


def overlaps(masks: Masks, ids: np.ndarray) -> SceneOverlaps:
    """Of masks with the objects of a frame ``[H W]``, at the masks' stride."""
    truth = at_stride(ids).ravel()
    planes = masks.masks.reshape(len(masks.masks), truth.size).T
    least = LEAST // MASK_STRIDE**2
    table = count_overlaps(truth, planes, masks.scores, min_vertices=least)
    return replace(table, void=np.zeros_like(table.void))


def at_stride(labels: np.ndarray) -> np.ndarray:
    """Labels ``[H W]`` at the centres of the masks' cells."""
    return labels[MASK_STRIDE // 2 :: MASK_STRIDE, MASK_STRIDE // 2 :: MASK_STRIDE]


def from_labels(labels: np.ndarray) -> Masks:
    """Masks of a label map ``[H W]`` of the image, all with the score 1."""
    sampled = at_stride(labels)
    ids = np.setdiff1d(sampled, [0])
    return Masks(sampled == ids[:, None, None], np.ones(len(ids), np.float32))


def mask_sheet(
    frames: Sequence[tuple[np.ndarray, np.ndarray]], sources: dict[str, Find], path: Path
) -> None:
    """Writes a row of images over a row of every source's masks, drawn on them."""
    rows = [[image[::MASK_STRIDE, ::MASK_STRIDE] for image, _ in frames]]
    for find in sources.values():
        rows.append([_drawn(image, find(image, ids)) for image, ids in frames])
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    Image.fromarray(sheet).save(path)


def _drawn(image: np.ndarray, masks: Masks) -> np.ndarray:
    """Masks in colours of their own over a grey image, the worst first."""
    grey = image[::MASK_STRIDE, ::MASK_STRIDE].mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    colors = np.random.default_rng(7).uniform(40, 255, (256, 3))
    for i in np.argsort(masks.scores, kind="stable"):
        where = np.median(np.argwhere(masks.masks[i]), axis=0).astype(int)
        color = colors[(where[0] // 8 * 37 + where[1] // 8) % len(colors)]
        grey[masks.masks[i]] = 0.4 * grey[masks.masks[i]] + 0.6 * color
    return grey.astype(np.uint8)
