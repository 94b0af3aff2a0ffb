"""Frames that are stored as they are, straight from their shard's file into the caller's array.

TensorStore would read a chunk into memory of its own, check it, and copy it. Here the disk's bytes
arrive where they are wanted, and the check is all that is left to do.
"""

from io import BufferedReader
from pathlib import Path

import google_crc32c
import numpy as np

from moonseg_jax.cache.schema import SHARD_FRAMES

_CRC_BYTES = 4
_INDEX_BYTES = 16 * SHARD_FRAMES  # Offset and size of every chunk, 64 bits each.


def read_frames(file: Path, first: int, into: np.ndarray) -> None:
    """Reads successive frames of one shard of an uncompressed array.

    Args:
        file: the shard, ``sharding_indexed`` with its index at the end, a frame a chunk.
        first: frame within the shard.
        into: ``[length ...]``, C-contiguous; filled.

    Raises:
        OSError: the file cannot be read.
        ValueError: a frame is not there, or differs from its crc32c.
    """
    with file.open("rb") as stream:
        places = _read_index(stream)[first : first + len(into)]
        for i, (frame, (offset, size)) in enumerate(zip(into, places, strict=True), first):
            if size != frame.nbytes + _CRC_BYTES:
                raise ValueError(f"frame {i} of {file.name} is missing or of another size")
            stream.seek(offset)
            _read_checked(stream, frame)


def _read_index(stream: BufferedReader) -> list[list[int]]:
    stream.seek(-(_INDEX_BYTES + _CRC_BYTES), 2)
    index = np.empty((SHARD_FRAMES, 2), "<u8")
    _read_checked(stream, index)
    return index.tolist()


def _read_checked(stream: BufferedReader, into: np.ndarray) -> None:
    """Fills the array with what comes next, and compares it with the crc32c behind it."""
    wanted = into.nbytes
    read = stream.readinto(into.data.cast("B"))
    expected = int.from_bytes(stream.read(_CRC_BYTES), "little")
    sealed = into.view()
    sealed.flags.writeable = False  # As the checksum's code asks of a buffer.
    if read != wanted or google_crc32c.value(sealed) != expected:
        raise ValueError("the data differ from their crc32c")
