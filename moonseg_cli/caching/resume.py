"""Whether a cache that is there already is the one that is asked for."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moonseg_jax.cache import CacheReader, is_cache
from moonseg_jax.structs import InputError, SceneInfo


def difference(path: Path, wanted: SceneInfo) -> str | None:
    """What tells the cache at ``path`` from the one that is asked for.

    Args:
        path: of a cache, or of nothing.
        wanted: the scene as the bridge describes it before it runs.

    Returns:
        None where there is no cache, the empty string where it is the one asked for, else words.
    """
    if not is_cache(path):
        return None
    try:
        made = CacheReader(path).info
    except InputError as error:
        return str(error)
    there, asked = dict(_settings(made)), dict(_settings(wanted))
    for name in sorted(there.keys() | asked.keys(), key=lambda name: (name.count("."), name)):
        if there.get(name) != asked.get(name):
            return f"{name} is {there.get(name)!r} there and {asked.get(name)!r} here"
    if not wanted.frame_names:
        return "what a camera saw then does not come again"
    if _names(made) != _names(wanted):
        return f"it holds {len(_names(made))} frames and {len(_names(wanted))} are asked for"
    return ""


def _settings(info: SceneInfo) -> Iterator[tuple[str, Any]]:
    """All but the frames, flat, as JSON would give it back."""
    raw = json.loads(json.dumps(dataclasses.asdict(info)))
    del raw["frame_names"], raw["skipped"]
    yield from _flat("", raw)


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield prefix, value
        return
    for name, inner in value.items():
        yield from _flat(f"{prefix}.{name}" if prefix else name, inner)


def _names(info: SceneInfo) -> set[str]:
    return {*info.frame_names, *(name for name, _ in info.skipped)}
