"""Writes a cache, frame by frame, while the next frames are still being computed."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import tensorstore as ts

from moonseg_jax.cache.arrays import create_array, write_group
from moonseg_jax.cache.disk import store_errors
from moonseg_jax.cache.manifest import write_manifest
from moonseg_jax.cache.schema import (
    SCHEMA_VERSION,
    SHARD_FRAMES,
    ArraySchema,
    frame_arrays,
    frame_schema,
)
from moonseg_jax.cache.staging import Staging
from moonseg_jax.structs import Frame, InputError, SceneInfo

_ANY_LENGTH = 2**40  # Frames of an array while it is written; cut to what came on commit.


class CacheWriter:
    """Writes one scene; all of it appears at ``path`` on a clean exit, nothing otherwise.

    Frames gather to a shard, the shard is written in the background while the next one gathers:
    at most two shards are in memory. An existing cache at ``path`` is replaced on commit.

    Example:
        >>> with CacheWriter("caches/room0", info) as writer:
        ...     for name, frame in bridge.frames():
        ...         writer.append(name, frame)

    Args:
        path: of the cache.
        info: the scene; ``frame_names`` and ``skipped`` are filled in here.

    Raises:
        InputError: on entering, ``path`` is taken by something else; on leaving, there was no
            frame; at any time, the disk refuses, or is full (`DiskFullError`).
    """

    def __init__(self, path: str | Path, info: SceneInfo):
        self._target = Path(path).resolve()
        self._info = info
        json.dumps(dataclasses.asdict(info))  # What the manifest cannot say fails now, not at last.
        self._schema = frame_schema(info, words=1)
        self._names: list[str] = []
        self._skipped: list[tuple[str, str]] = []
        self._num_masks = 0
        self._small: dict[str, list[np.ndarray]] = {
            a.name: [] for a in self._schema.values() if not a.bulk
        }
        self._shard: dict[str, np.ndarray] = {}
        self._pending: list[ts.WriteFutures] = []

    def __enter__(self) -> Self:
        with store_errors(self._target):
            self._staging = Staging(self._target)
            try:
                self._stores = {
                    a.name: create_array(self._staging.path, a, _ANY_LENGTH)
                    for a in self._schema.values()
                    if a.bulk
                }
                self._new_shard()
            except BaseException:
                self._staging.discard()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._commit()
        except BaseException:
            self._abort()
            raise
        if kind is not None:
            self._abort()

    def append(self, name: str, frame: Frame) -> None:
        """Adds the next frame; it is copied.

        Args:
            name: the frame's stem in the source.
            frame: fields as `SceneInfo` says; more mask words than before are fine.

        Raises:
            ValueError: a field has another shape or dtype than the scene's.
            InputError: the disk refuses, or is full (`DiskFullError`).
        """
        words = np.shape(frame.masks)[-1]
        arrays = frame_arrays(name, frame, frame_schema(self._info, words))
        if words > self._words:
            self._grow(words)
        slot = len(self._names) % SHARD_FRAMES
        for field, value in arrays.items():
            if field == "masks":
                self._shard[field][slot, ..., :words] = value
                self._shard[field][slot, ..., words:] = 0
            elif self._schema[field].bulk:
                self._shard[field][slot] = value
            else:
                self._small[field].append(value.copy())
        self._names.append(name)
        self._num_masks = max(self._num_masks, int(arrays["mask_valid"].sum()))
        if slot == SHARD_FRAMES - 1:
            self._flush()

    def skip(self, name: str, reason: str) -> None:
        """Notes a source frame that was left out, and why."""
        self._skipped.append((name, reason))

    @property
    def _words(self) -> int:
        return self._schema["masks"].shape[-1]

    def _new_shard(self) -> None:
        self._shard = {
            name: np.empty((SHARD_FRAMES, *self._schema[name].shape), self._schema[name].dtype)
            for name in self._stores
        }

    def _grow(self, words: int) -> None:
        """Gives the masks more words; what is written already gets empty ones."""
        old, self._schema = self._words, frame_schema(self._info, words)
        masks = self._shard["masks"]
        self._shard["masks"] = np.concatenate(
            [masks, np.zeros((*masks.shape[:-1], words - old), masks.dtype)], axis=-1
        )
        written = len(self._names) - len(self._names) % SHARD_FRAMES
        with store_errors(self._target):
            limit = [None, None, None, words]
            store = self._stores["masks"].resize(exclusive_max=limit).result()
            self._stores["masks"] = store
            empty = np.zeros((SHARD_FRAMES, *masks.shape[1:-1], words - old), masks.dtype)
            for start in range(0, written, SHARD_FRAMES):
                store[start : start + SHARD_FRAMES, ..., old:].write(empty).result()

    def _flush(self) -> None:
        """Starts writing the gathered frames, once the shard before them is written."""
        start = (len(self._names) - 1) // SHARD_FRAMES * SHARD_FRAMES
        count = len(self._names) - start
        self._wait()
        self._pending = [
            store[start : start + count].write(
                self._shard[name][:count], can_reference_source_data_indefinitely=True
            )
            for name, store in self._stores.items()
        ]
        self._new_shard()

    def _wait(self) -> None:
        with store_errors(self._target):
            for future in self._pending:
                future.result()
        self._pending = []

    def _commit(self) -> None:
        frames = len(self._names)
        if not frames:
            reason = f"; the first of {len(self._skipped)} skipped: " if self._skipped else ""
            reason += ": ".join(self._skipped[0]) if self._skipped else ""
            raise InputError(f"{self._info.source or self._info.scene}: no frame to cache{reason}")
        if frames % SHARD_FRAMES:
            self._flush()
        self._wait()
        info = dataclasses.replace(
            self._info, frame_names=tuple(self._names), skipped=tuple(self._skipped)
        )
        with store_errors(self._target):
            for name, store in self._stores.items():
                shape = (frames, *self._schema[name].shape)
                store.resize(exclusive_max=shape, resize_metadata_only=True).result()
            self._write_small(frames)
            root = self._staging.path
            write_group(root, {"schema_version": SCHEMA_VERSION, "scene": info.scene})
            write_manifest(root, info, self._words, self._num_masks)
            self._staging.commit()

    def _write_small(self, frames: int) -> None:
        for name, values in self._small.items():
            array = self._schema[name]
            store = create_array(self._staging.path, array, frames)
            store.write(_stack(values, array)).result()

    def _abort(self) -> None:
        for future in self._pending:
            future.exception()  # Nothing may still be writing into a folder that is removed.
        self._staging.discard()


def _stack(values: Iterable[np.ndarray], array: ArraySchema) -> np.ndarray:
    """Stacks frames, padding those of fewer mask words."""
    if array.axes != ("mask",):
        return np.stack(list(values))
    capacity = array.shape[0]
    return np.stack([np.pad(v, (0, capacity - len(v))) for v in values])
