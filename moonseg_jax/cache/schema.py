"""What a cache holds: one row per array of a frame. Everything else here reads this table."""

import math
from dataclasses import dataclass

import numpy as np

from moonseg_jax.structs import Frame, SceneInfo
from moonseg_jax.structs.bitplanes import WORD_BITS

SCHEMA_VERSION = 1
SHARD_FRAMES = 16  # Frames per file of a bulk array: a training clip touches two files at most.
_MASK_COMPRESSION = 16  # For estimates only: label maps of rooms measured 125, noisy ones less.
_CHUNK_OVERHEAD = 20  # Bytes a chunk takes beside its data: shard index entry and checksum.


@dataclass(frozen=True)
class ArraySchema:
    """One array of a frame.

    Attributes:
        name: the field of `Frame`, and the array's folder in the store.
        dtype: NumPy and Zarr name.
        shape: of one frame.
        axes: names of ``shape``.
        provenance: who made it: ``geometry``, ``semantics``, ``masks`` (backbones of `SceneInfo`)
            or ``source``.
        meaning: for people.
        fill: Zarr fill value; never read back as data, only files that are there count.
        bulk: stored in shards of `SHARD_FRAMES` frames; else all frames are one file.
        compressed: zstd, for bit planes only: they shrink more than a hundredfold, colours by a
            tenth, features by less.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    provenance: str
    meaning: str
    fill: int | bool | str
    bulk: bool = True
    compressed: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of one frame, uncompressed."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def by_word(self) -> bool:
        """Whether each mask word is a chunk of its own, so that a scene's capacity can grow."""
        return self.axes[-1:] == ("word",)


def frame_schema(info: SceneInfo, words: int) -> dict[str, ArraySchema]:
    """The arrays of a frame, by name.

    Args:
        info: sizes and channels.
        words: of the mask bit planes; a scene's capacity is ``words·32`` masks.

    Returns:
        One entry per stored field of `Frame`; ``state_attention`` only where ``info`` has tokens.

    Raises:
        ValueError: ``info`` has sizes that no array can have.
    """
    grid, points, masks = info.grid, info.point_size, info.mask_size
    c3, c2, q = info.geometry.channels, info.semantics.channels, words * WORD_BITS
    if min(*grid, *points, *masks, c3, c2, words) < 1:
        raise ValueError(
            f"sizes must be positive: grid {grid}, pointmap {points}, masks {masks}, "
            f"channels {c3} and {c2}, mask words {words}"
        )
    row_column = ("row", "column")
    feature_axes = (*row_column, "channel")
    table = [
        ArraySchema("features_3d", "float16", (*grid, c3), feature_axes, "geometry",
                    "geometric features F3d per patch", "NaN"),
        ArraySchema("features_2d", "float16", (*grid, c2), feature_axes, "semantics",
                    "semantic features F2d per patch", "NaN"),
        ArraySchema("points", "float32", (*points, 3), (*row_column, "xyz"), "geometry",
                    f"pointmap in the world frame, {info.units}; NaN where invalid", "NaN"),
        ArraySchema("confidence", "float32", points, row_column, "geometry",
                    "trust in the point; 0 where invalid", "NaN"),
        ArraySchema("colors", "uint8", (*points, 3), (*row_column, "rgb"), "source",
                    "colour at the pointmap's cells", 0),
        ArraySchema("masks", "uint32", (*masks, words), (*row_column, "word"), "masks",
                    "bit i % 32 of word i // 32: mask i covers this cell", 0, compressed=True),
        ArraySchema("T_world_from_cam", "float32", (4, 4), ("to", "from"), "geometry",
                    f"camera pose, OpenCV axes, {info.units}", "NaN", bulk=False),
        ArraySchema("intrinsics", "float32", (3, 3), row_column, "geometry",
                    "pinhole matrix in pixels of the processed image", "NaN", bulk=False),
        ArraySchema("mask_valid", "bool", (q,), ("mask",), "masks",
                    "this mask exists", False, bulk=False),
        ArraySchema("mask_scores", "float32", (q,), ("mask",), "masks",
                    "the mask model's score, 0..1", "NaN", bulk=False),
        ArraySchema("timestamp", "float64", (), (), "source", "seconds", "NaN", bulk=False),
    ]  # fmt: skip
    if info.state_tokens:
        table.append(
            ArraySchema("state_attention", "float16", (info.state_tokens, *grid),
                        ("token", *row_column), "geometry",
                        "state-to-image attention A", "NaN")
        )  # fmt: skip
    return {array.name: array for array in table}


def frame_arrays(name: str, frame: Frame, schema: dict[str, ArraySchema]) -> dict[str, np.ndarray]:
    """A frame's fields as host arrays, each as the schema says.

    Raises:
        ValueError: naming the field of another shape or dtype; nothing is cast.
    """
    if frame.state_attention is not None and "state_attention" not in schema:
        raise ValueError(f"frame {name}: has state_attention, and its scene has no state tokens")
    arrays = {}
    for field, array in schema.items():
        value = np.asarray(getattr(frame, field))
        if value.shape != array.shape or value.dtype != array.dtype:
            raise ValueError(
                f"frame {name}: {field} is {value.dtype} {list(value.shape)}, "
                f"and the scene's is {array.dtype} {list(array.shape)}"
            )
        arrays[field] = value
    return arrays


def bytes_per_frame(info: SceneInfo, words: int) -> int:
    """Bytes a frame will take on disk, to be said before a cache is made.

    Args:
        info: sizes and channels.
        words: of the mask bit planes.

    Returns:
        A cautious estimate: masks are counted at a sixteenth of their size, as zstd leaves of them
        less than that; everything else is stored as it is.
    """
    schema = frame_schema(info, words).values()
    stored = sum(a.nbytes // _MASK_COMPRESSION if a.compressed else a.nbytes for a in schema)
    return stored + _CHUNK_OVERHEAD * sum(a.bulk for a in schema)
