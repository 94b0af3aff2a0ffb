"""One self-describing, checksummed store a scene: what the frozen backbones said about it."""

from moonseg_jax.cache.reader import CacheReader
from moonseg_jax.cache.schema import SCHEMA_VERSION, SHARD_FRAMES, bytes_per_frame
from moonseg_jax.cache.writer import CacheWriter

__all__ = ["SCHEMA_VERSION", "SHARD_FRAMES", "CacheReader", "CacheWriter", "bytes_per_frame"]
