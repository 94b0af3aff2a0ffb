"""The Query Index Memory: keys in space, each carrying the index of a row of the query bank."""

from moonseg_jax.memory.index import (
    clip_index_maps,
    gather_context,
    key_index_map,
    surface_depth,
)
from moonseg_jax.memory.table import KeyTable, empty_keys, grow_keys, insert_keys

__all__ = [
    "KeyTable",
    "clip_index_maps",
    "empty_keys",
    "gather_context",
    "grow_keys",
    "insert_keys",
    "key_index_map",
    "surface_depth",
]
