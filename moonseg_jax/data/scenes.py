"""Opens the caches of one run, and refuses those that do not belong together."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from moonseg_jax.cache import CacheReader
from moonseg_jax.cache.arrays import read_context
from moonseg_jax.structs import InputError, SceneInfo


def open_scenes(cache_paths: Sequence[str | Path], file_reads: int) -> list[CacheReader]:
    """Opens caches for training, in the order of their paths; state attention stays on the disk.

    Args:
        cache_paths: of the scenes, in any order.
        file_reads: from the disk at once, by all readers together.

    Returns:
        One reader a cache.

    Raises:
        InputError: no caches, one that cannot be read, or two (both named) whose frames differ in
            size, units, or the backbone that made their features.
    """
    if not cache_paths:
        raise InputError("no cache to train on; check the pattern given as --cache")
    shared = {"context": read_context(file_reads), "files": ThreadPoolExecutor(file_reads)}
    paths = sorted({Path(path) for path in cache_paths})
    readers = [CacheReader(path, state_attention=False, **shared) for path in paths]
    first = readers[0]
    expected = _comparable(first.info)
    for reader in readers[1:]:
        for name, value in _comparable(reader.info).items():
            if value != expected[name]:
                raise InputError(
                    f"{first.path} and {reader.path} cannot train together: {name} {expected[name]}"
                    f" and {value}; make both with the same settings"
                )
    return readers


def _comparable(info: SceneInfo) -> dict[str, object]:
    """What must agree; mask models may differ, and so may the code's version."""
    features = {
        f"{kind} {field}": getattr(backbone, field)
        for kind, backbone in (("geometry", info.geometry), ("semantics", info.semantics))
        for field in ("name", "channels", "config", "weights_sha256")
    }
    sizes = ("image_size", "patch", "point_stride", "mask_stride", "units")
    return features | {name.replace("_", " "): getattr(info, name) for name in sizes}
