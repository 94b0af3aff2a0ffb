"""Reads the clips of a batch, all at once, straight into the batch's arrays."""

from collections.abc import Sequence

import numpy as np

from moonseg_jax.cache import CacheReader
from moonseg_jax.cache.request import ClipRequest
from moonseg_jax.cache.schema import frame_schema
from moonseg_jax.data.buffers import Buffers
from moonseg_jax.data.masks import fit_masks
from moonseg_jax.structs import Frame
from moonseg_jax.structs.bitplanes import WORD_BITS

_MASK_FIELDS = ("masks", "mask_valid", "mask_scores")


def load_batch(
    clips: Sequence[tuple[CacheReader, int]], length: int, max_masks: int, buffers: Buffers
) -> tuple[Frame, dict[str, int]]:
    """Reads clips into one batch.

    A scene shorter than ``length`` is padded: its last frame again, without masks.

    Args:
        clips: reader and first frame of each.
        length: frames of a clip.
        max_masks: mask capacity of the batch, a multiple of 32.
        buffers: where the batch's memory comes from.

    Returns:
        `Frame` ``[b t ...]`` and ``{"dropped_masks": int}``.

    Raises:
        InputError: naming array, frame and file of what is corrupt.
    """
    words = max_masks // WORD_BITS
    schema = frame_schema(clips[0][0].info, words)
    schema.pop("state_attention", None)
    lead = len(clips), length
    batch = {a.name: buffers.empty((*lead, *a.shape), a.dtype) for a in schema.values()}
    requests = []
    for b, (reader, start) in enumerate(clips):
        count = min(length, len(reader) - start)
        into = {name: batch[name][b, :count] for name in schema if name not in _MASK_FIELDS}
        # Planes of the batch's own width, or less, need no repacking.
        if reader.words <= words:
            into["masks"] = batch["masks"][b, :count, ..., : reader.words]
        requests.append(reader.request(start, count, into))
    dropped = 0
    for b, request in enumerate(requests):
        dropped += _finish_clip({name: array[b] for name, array in batch.items()}, request)
    return Frame(**batch), {"dropped_masks": dropped}


def _finish_clip(clip: dict[str, np.ndarray], request: ClipRequest) -> int:
    """Waits for a clip, fits its masks and pads its end; returns how many masks were dropped."""
    arrays, count = request.wait(), request.length
    small = [name for name in arrays if name not in request.futures and name not in _MASK_FIELDS]
    for name in small:
        clip[name][:count] = arrays[name]
    dropped = _finish_masks(clip, arrays, count)
    for name, array in clip.items():
        array[count:] = 0 if name in _MASK_FIELDS else array[count - 1]
    return dropped


def _finish_masks(clip: dict[str, np.ndarray], arrays: dict[str, np.ndarray], count: int) -> int:
    capacity, stored = clip["mask_valid"].shape[-1], arrays["mask_valid"].shape[-1]
    if stored <= capacity:
        clip["masks"][:count, ..., stored // WORD_BITS :] = 0
        for name in ("mask_valid", "mask_scores"):
            clip[name][:count, :stored] = arrays[name]
            clip[name][:count, stored:] = 0
        return 0
    dropped = 0
    for t in range(count):
        masks, valid, scores = (arrays[name][t] for name in _MASK_FIELDS)
        masks, valid, scores, surplus = fit_masks(masks, valid, scores, capacity)
        clip["masks"][t], clip["mask_valid"][t], clip["mask_scores"][t] = masks, valid, scores
        dropped += surplus
    return dropped
