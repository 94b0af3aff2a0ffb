"""MoonSeg3R in JAX: the trainable core, the query memory and the online fusion.

    >>> import moonseg_jax
    >>> scene = moonseg_jax.segment(moonseg_jax.CacheReader("CACHE"))

The names below are imported when they are first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moonseg_jax.api import LoadedCore, Segmenter, load_core, segment
    from moonseg_jax.cache import CacheReader
    from moonseg_jax.online import Instance, SegmentedScene
    from moonseg_jax.structs import Frame, FrameResult, InputError, SceneInfo

__version__ = "0.1.0"

__all__ = [
    "CacheReader",
    "Frame",
    "FrameResult",
    "InputError",
    "Instance",
    "LoadedCore",
    "SceneInfo",
    "SegmentedScene",
    "Segmenter",
    "load_core",
    "segment",
]

_HOME = {
    "CacheReader": "cache",
    "Frame": "structs",
    "FrameResult": "structs",
    "InputError": "structs",
    "Instance": "online",
    "LoadedCore": "api",
    "SceneInfo": "structs",
    "SegmentedScene": "online",
    "Segmenter": "api",
    "load_core": "api",
    "segment": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
