"""Zarr v3 arrays of a cache, through TensorStore.

Layout of ``<cache>/``: a Zarr group ``zarr.json``, one Zarr array a folder, ``manifest.json``.
Bulk arrays: ``sharding_indexed``, 16 frames a shard, one frame (of one mask word) a chunk, every
chunk with its crc32c. Small arrays: one chunk, one file, crc32c.
"""

import json
from pathlib import Path
from typing import Any

import tensorstore as ts

from moonseg_jax.cache.schema import SHARD_FRAMES, ArraySchema

_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
_CRC32C = {"name": "crc32c"}
_ZSTD = {"name": "zstd", "configuration": {"level": 1, "checksum": False}}


def create_array(root: Path, array: ArraySchema, frames: int) -> ts.TensorStore:
    """Creates an array under ``root`` for ``frames`` frames."""
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": str(root / array.name)},
        # Absent chunks would read back as fill values: what is zero or NaN is written too.
        "store_data_equal_to_fill_value": True,
        "metadata": _metadata(array, frames),
    }
    return ts.open(spec, create=True).result()


def open_array(root: Path, name: str, context: ts.Context) -> ts.TensorStore:
    """Opens an array of a committed cache for reading; a missing chunk is an error, not zeros."""
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": str(root / name)},
        "fill_missing_data_reads": False,
        "recheck_cached_data": "open",
        "recheck_cached_metadata": "open",
    }
    return ts.open(spec, read=True, context=context).result()


def read_context(file_reads: int = 4) -> ts.Context:
    """Resources that readers share: how many files are read at once; nothing is kept in memory."""
    return ts.Context(
        {
            "cache_pool": {"total_bytes_limit": 0},
            "file_io_concurrency": {"limit": file_reads},
        }
    )


def write_group(root: Path, attributes: dict[str, Any]) -> None:
    """Makes ``root`` a Zarr v3 group, so that any Zarr library opens it."""
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    (root / "zarr.json").write_text(json.dumps(group, indent=1))


def chunk_file(array: ArraySchema, frame: int, word: int = 0) -> str:
    """The file, relative to the cache, that holds a frame (and word, of masks) of an array."""
    index = [frame // SHARD_FRAMES if array.bulk else 0] + [0] * len(array.shape)
    if array.by_word:
        index[-1] = word
    return "/".join([array.name, "c", *map(str, index)])


def first_unreadable(
    store: ts.TensorStore, array: ArraySchema, start: int, length: int
) -> tuple[int, int]:
    """Frame and word of the first chunk among these frames that fails to read, one by one."""
    words = range(array.shape[-1] if array.by_word else 1)
    for frame in range(start, start + length):
        for word in words:
            view = store[frame, ..., word] if array.by_word else store[frame]
            if view.read().exception() is not None:
                return frame, word
    return start, 0


def _metadata(array: ArraySchema, frames: int) -> dict[str, Any]:
    cell = (*array.shape[:-1], 1) if array.by_word else array.shape
    codecs = [_BYTES, _ZSTD, _CRC32C] if array.compressed else [_BYTES, _CRC32C]
    if array.bulk:
        inner = {
            "chunk_shape": [1, *cell],
            "codecs": codecs,
            "index_codecs": [_BYTES, _CRC32C],
            "index_location": "end",
        }
        codecs = [{"name": "sharding_indexed", "configuration": inner}]
    grid = {"chunk_shape": [SHARD_FRAMES if array.bulk else frames, *cell]}
    return {
        "shape": [frames, *array.shape],
        "data_type": array.dtype,
        "fill_value": array.fill,
        "chunk_grid": {"name": "regular", "configuration": grid},
        "codecs": codecs,
        "dimension_names": ["frame", *array.axes],
        "attributes": {"meaning": array.meaning, "provenance": array.provenance},
    }
