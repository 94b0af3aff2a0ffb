"""Batches of clips on Grain: each scene once an epoch, from a random start.

The order is one endless stream of clips, epoch after epoch, each shuffled anew; a batch is the
next ``batch_clips`` of it. Process ``i`` of ``n`` takes clips ``i, i + n, ...`` of the stream, so a
global batch holds the same clips whatever the number of processes, and none twice.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grain
import numpy as np
from ml_collections import ConfigDict

from moonseg_jax.cache import CacheReader
from moonseg_jax.data.batch import load_batch
from moonseg_jax.data.buffers import Buffers
from moonseg_jax.data.scenes import open_scenes
from moonseg_jax.structs import Frame, InputError
from moonseg_jax.structs.bitplanes import WORD_BITS

Batch = tuple[Frame, dict[str, int]]


def make_loader(
    cache_paths: Sequence[str | Path],
    data_config: ConfigDict,
    seed: int,
    *,
    process_index: int = 0,
    process_count: int = 1,
    num_epochs: int | None = None,
) -> "ClipLoader":
    """Makes a loader of training clips.

    Args:
        cache_paths: of the scenes, in any order; the same for all processes.
        data_config: `config.data_config`; ``batch_clips`` counts the clips of all processes,
            ``read_threads`` are files read at once, ``prefetch_batches`` batches read ahead.
        seed: of order and clip starts.
        process_index: of this process.
        process_count: how many share the batches.
        num_epochs: None is endless; else the last batch holds what is left and may be smaller.

    Returns:
        The loader, at its first batch.

    Raises:
        InputError: caches that cannot be read or do not belong together, or a config that cannot
            be met.
    """
    if data_config.max_masks < 1 or data_config.max_masks % WORD_BITS:
        raise InputError(
            f"data.max_masks is {data_config.max_masks}; set it to a multiple of {WORD_BITS}"
        )
    if data_config.batch_clips < 1 or data_config.batch_clips % process_count:
        raise InputError(
            f"data.batch_clips is {data_config.batch_clips}; set it to a multiple of the "
            f"{process_count} processes"
        )
    readers = open_scenes(cache_paths, data_config.read_threads)
    return ClipLoader(readers, data_config, seed, process_index, process_count, num_epochs)


class ClipLoader(Iterator[Batch]):
    """An iterator over batches; `make_loader` makes it.

    A batch is ``(frame, metrics)``: a host `Frame` ``[b t ...]`` without state attention, with
    ``max_masks`` masks a frame, and ``{"dropped_masks": int}``, this process's count. Batches are
    read ahead by threads; what was read ahead is not part of the state.

    Attributes:
        num_scenes: clips of an epoch.
        batches_per_epoch: whole batches of an epoch, at least one.
    """

    def __init__(
        self,
        readers: list[CacheReader],
        data_config: ConfigDict,
        seed: int,
        process_index: int,
        process_count: int,
        num_epochs: int | None,
    ):
        self.num_scenes = len(readers)
        self.batches_per_epoch = max(1, self.num_scenes // data_config.batch_clips)
        self._stream = _stream_id(readers, data_config, seed)
        frames, max_masks = data_config.clip_frames, data_config.max_masks
        lengths = np.array([len(reader) for reader in readers])
        buffers = Buffers()

        def choose_clip(scene: int, rng: np.random.Generator) -> np.ndarray:
            return np.array([scene, rng.integers(max(1, lengths[scene] - frames + 1))])

        def read(clips: np.ndarray) -> Batch:
            chosen = [(readers[scene], int(start)) for scene, start in clips]
            return load_batch(chosen, frames, max_masks, buffers)

        clips = grain.MapDataset.range(self.num_scenes).seed(seed).shuffle().repeat(num_epochs)
        clips = clips.random_map(choose_clip)[process_index::process_count]
        per_process = data_config.batch_clips // process_count
        # An endless stream leaves no remainder; its length overflows if Grain rounds it up.
        batches = clips.batch(per_process, drop_remainder=num_epochs is None).map(read)
        ahead = data_config.prefetch_batches
        self._iterator = iter(batches.to_iter_dataset(grain.ReadOptions(ahead, ahead)))

    def __next__(self) -> Batch:
        return next(self._iterator)

    def get_state(self) -> dict[str, Any]:
        """Where the loader is, as JSON-serialisable values; the next batch follows from it."""
        return {"next_batch": self._iterator.get_state()["next_index"], "stream": self._stream}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes to where `get_state` was called, whatever the number of processes then.

        Raises:
            InputError: the state is of other scenes, another seed or another batch size.
        """
        if state["stream"] != self._stream:
            raise InputError(
                "the run to resume read other caches, or had another seed, batch_clips or "
                "clip_frames; resume with the same, or start a new run"
            )
        self._iterator.set_state({"next_index": state["next_batch"]})

    def close(self) -> None:
        """Stops reading ahead."""
        self._iterator.close()


def _stream_id(readers: list[CacheReader], data_config: ConfigDict, seed: int) -> str:
    """A hash of all that decides which clips come when."""
    scenes = [(reader.info.scene, len(reader)) for reader in readers]
    decides = [seed, data_config.batch_clips, data_config.clip_frames, scenes]
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:16]
