"""Bit planes of one scene's capacity into those of a batch."""

import numpy as np

from moonseg_jax.structs.bitplanes import WORD_BITS


def fit_masks(
    masks: np.ndarray, valid: np.ndarray, scores: np.ndarray, capacity: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Cuts one frame's masks down to ``capacity`` planes; surplus ones are dropped smallest first.

    A mask that stays keeps its index if that is below ``capacity``, and takes a free one if not.
    Of equally small masks the later is dropped first.

    Args:
        masks: ``[Hm Wm words]`` uint32 bit planes, ``words·32 >= capacity``.
        valid: ``[words·32]`` bool.
        scores: ``[words·32]`` float32.
        capacity: a multiple of 32.

    Returns:
        ``masks [Hm Wm capacity/32]``, ``valid [capacity]``, ``scores [capacity]`` and the number of
        masks dropped.
    """
    words = np.ascontiguousarray(np.moveaxis(masks, -1, 0))
    kept = np.flatnonzero(valid)
    dropped = max(0, len(kept) - capacity)
    if dropped:
        areas = np.array([np.count_nonzero(_plane(words, i)) for i in kept])
        kept = kept[np.argsort(-areas, kind="stable")[:capacity]]
    source = np.full(capacity, -1)
    source[kept[kept < capacity]] = kept[kept < capacity]
    moved = np.sort(kept[kept >= capacity])
    slots = np.flatnonzero(source < 0)[: len(moved)]
    source[slots] = moved
    fitted = words[: capacity // WORD_BITS]
    for slot, index in zip(slots, moved, strict=True):
        word, bit = _bit(slot)
        fitted[word] &= ~bit
        fitted[word] |= np.where(_plane(words, index), bit, np.uint32(0))
    used = source >= 0
    return np.moveaxis(fitted, 0, -1), used, np.where(used, scores[source], 0), dropped


def _plane(words: np.ndarray, index: int | np.integer) -> np.ndarray:
    word, bit = _bit(index)
    return (words[word] & bit) != 0


def _bit(index: int | np.integer) -> tuple[int, np.uint32]:
    word, bit = divmod(int(index), WORD_BITS)
    return word, np.uint32(1 << bit)
