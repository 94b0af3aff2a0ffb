"""Reads a cache: single frames, clips in one request, or all frames with read-ahead."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property, partial
from pathlib import Path

import numpy as np
import tensorstore as ts

from moonseg_jax.cache.arrays import chunk_file, first_unreadable, open_array, read_context
from moonseg_jax.cache.manifest import REMEDY, check_files, read_manifest, verify_files
from moonseg_jax.cache.request import ClipRequest, Reading
from moonseg_jax.cache.schema import SHARD_FRAMES, ArraySchema, frame_schema
from moonseg_jax.cache.shards import read_frames
from moonseg_jax.structs import Frame, InputError, SceneInfo

_FILES_AT_ONCE = 4


@cache
def _default_files() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_FILES_AT_ONCE, "cache")


class CacheReader:
    """One committed cache.

    Safe to share between threads. Every chunk read is checked against its crc32c.

    Args:
        path: of the cache.
        state_attention: read it where it is stored; False leaves the field None and the disk alone.
        context: TensorStore resources to share with other readers, from `read_context`.
        files: threads to share with other readers, each of which reads one file at a time.

    Raises:
        InputError: no cache at ``path``, half-written, of another schema version, or a file is
            missing or has another size than when it was written.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        state_attention: bool = True,
        context: ts.Context | None = None,
        files: ThreadPoolExecutor | None = None,
    ):
        self.path = Path(path)
        self._manifest = read_manifest(self.path)
        check_files(self.path, self._manifest)
        self._context = read_context() if context is None else context
        self._files = _default_files() if files is None else files
        schema = frame_schema(self._manifest.info, self._manifest.words)
        if not state_attention:
            schema.pop("state_attention", None)
        self._schema = schema

    @property
    def info(self) -> SceneInfo:
        """The scene, frame names and skipped frames included."""
        return self._manifest.info

    @property
    def num_masks(self) -> int:
        """The largest number of valid masks in a frame."""
        return self._manifest.num_masks

    @property
    def words(self) -> int:
        """Words of every frame's mask bit planes."""
        return self._manifest.words

    @property
    def num_bytes(self) -> int:
        """Bytes on disk, the manifest's own aside."""
        return sum(size for size, _ in self._manifest.files.values())

    @property
    def cameras(self) -> tuple[np.ndarray, np.ndarray]:
        """Of all frames: ``T_world_from_cam [t 4 4]`` and ``intrinsics [t 3 3]``; cheap to read."""
        return self._small["T_world_from_cam"].copy(), self._small["intrinsics"].copy()

    @property
    def cache(self) -> Path:
        """Its path."""
        return self.path

    def colors(self, index: int) -> np.ndarray:
        """Colours of a frame; see `frame`."""
        return np.asarray(self.frame(index).colors)

    def __len__(self) -> int:
        return self._manifest.frames

    def frame(self, index: int) -> Frame:
        """Frame ``index``, bit for bit as it was written.

        Raises:
            IndexError: no such frame.
            InputError: naming array, frame and file of what is corrupt.
        """
        return _frame_at(self.request(index, 1).wait(), 0)

    def clip(self, start: int, length: int) -> Frame:
        """Frames ``start .. start + length - 1`` with a leading time axis, in one request.

        Raises:
            IndexError: no such frames.
            InputError: naming array, frame and file of what is corrupt.
        """
        return Frame(**self.request(start, length).wait())

    def frames(self) -> Iterator[Frame]:
        """All frames in order; the next shard is read while this one is used.

        Raises:
            InputError: naming array, frame and file of what is corrupt.
        """
        starts = range(0, len(self), SHARD_FRAMES)
        lengths = [min(SHARD_FRAMES, len(self) - start) for start in starts]
        ahead = self.request(0, lengths[0])
        for start, length in zip(starts, lengths, strict=True):
            arrays = ahead.wait()
            if start + length < len(self):
                index = start // SHARD_FRAMES + 1
                ahead = self.request(starts[index], lengths[index])
            for i in range(length):
                yield _frame_at(arrays, i)

    def request(
        self, start: int, length: int, into: Mapping[str, np.ndarray] | None = None
    ) -> ClipRequest:
        """Starts reading a clip and returns at once.

        Args:
            start: of the clip, in frames.
            length: in frames.
            into: arrays ``[length ...]`` to fill, by field; the others are allocated. All but
                masks must be C-contiguous.

        Raises:
            IndexError: no such frames.
        """
        if start < 0 or length < 1 or start + length > len(self):
            raise IndexError(f"{self.path}: frames {start}..{start + length - 1} of {len(self)}")
        arrays = {name: small[start : start + length].copy() for name, small in self._small.items()}
        futures = {}
        for array in self._schema.values():
            if not array.bulk:
                continue
            target = (into or {}).get(array.name)
            if target is None:
                target = np.empty((length, *array.shape), array.dtype)
            arrays[array.name] = target
            futures[array.name] = self._start(array, start, target)
        return ClipRequest(length, arrays, futures, partial(self._damage, start, length))

    def verify(self) -> None:
        """Reads every file and compares it with the manifest's SHA-256.

        Raises:
            InputError: naming the first file that differs.
        """
        verify_files(self.path, self._manifest)

    def close(self) -> None:
        """Lets go of the open arrays; a later read opens them again."""
        self.__dict__.pop("_compressed", None)
        self.__dict__.pop("_small", None)

    def _start(self, array: ArraySchema, start: int, target: np.ndarray) -> list[Reading]:
        """Starts filling the target, by TensorStore only where there is something to decode."""
        stop = start + len(target)
        if array.compressed:
            return [ts.array(target).write(self._compressed[array.name][start:stop])]
        started = []
        while start < stop:
            end = min(stop, (start // SHARD_FRAMES + 1) * SHARD_FRAMES)
            file, piece = self.path / chunk_file(array, start), target[: end - start]
            started.append(self._files.submit(read_frames, file, start % SHARD_FRAMES, piece))
            start, target = end, target[end - start :]
        return started

    @cached_property
    def _compressed(self) -> dict[str, ts.TensorStore]:
        return {a.name: self._open(a.name) for a in self._schema.values() if a.compressed}

    @cached_property
    def _small(self) -> dict[str, np.ndarray]:
        return {a.name: self._read_small(a) for a in self._schema.values() if not a.bulk}

    def _damage(self, start: int, length: int, name: str, error: Exception) -> InputError:
        array = self._schema[name]
        frame, word = first_unreadable(self._open(name), array, start, length)
        file = self.path / chunk_file(array, frame, word)
        return InputError(f"{file}: cannot be read ({name}, frame {frame}); {REMEDY}: {error}")

    def _open(self, name: str) -> ts.TensorStore:
        try:
            return open_array(self.path, name, self._context)
        except (OSError, ValueError) as error:
            file = self.path / name / "zarr.json"
            raise InputError(f"{file}: metadata cannot be read; {REMEDY}: {error}") from error

    def _read_small(self, array: ArraySchema) -> np.ndarray:
        try:
            return self._open(array.name).read().result()
        except (OSError, ValueError) as error:
            file = self.path / chunk_file(array, 0)
            raise InputError(
                f"{file}: cannot be read ({array.name}, all frames); {REMEDY}: {error}"
            ) from error


def _frame_at(arrays: dict[str, np.ndarray], index: int) -> Frame:
    return Frame(**{name: value[index] for name, value in arrays.items()})
