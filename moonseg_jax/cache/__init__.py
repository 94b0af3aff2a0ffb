"""One self-describing, checksummed store a scene: what the frozen backbones said about it."""

from moonseg_jax.cache.disk import DiskFullError, check_may_write, disk_errors, whole_file
from moonseg_jax.cache.manifest import is_cache
from moonseg_jax.cache.reader import CacheReader
from moonseg_jax.cache.schema import SCHEMA_VERSION, SHARD_FRAMES, bytes_per_frame
from moonseg_jax.cache.staging import check_target, discard_leftovers
from moonseg_jax.cache.writer import CacheWriter

__all__ = [
    "SCHEMA_VERSION",
    "SHARD_FRAMES",
    "CacheReader",
    "CacheWriter",
    "DiskFullError",
    "bytes_per_frame",
    "check_may_write",
    "check_target",
    "discard_leftovers",
    "disk_errors",
    "is_cache",
    "whole_file",
]
