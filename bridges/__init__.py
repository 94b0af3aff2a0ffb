"""From anybody's recording to frames: sources, frozen backbones, and the bridge that runs them.

The names below are imported when they are first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridges.bridge import Bridge, BridgeConfig, load_backbones
    from bridges.push import CameraBridge
    from bridges.sources import open_source

__all__ = ["Bridge", "BridgeConfig", "CameraBridge", "load_backbones", "open_source"]

_HOME = {
    "Bridge": "bridge",
    "BridgeConfig": "bridge",
    "CameraBridge": "push",
    "load_backbones": "bridge",
    "open_source": "sources",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
