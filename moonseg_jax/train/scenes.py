"""The scenes of a run, and which of them are held out."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_collections import ConfigDict

from moonseg_jax.data import open_scenes
from moonseg_jax.structs import InputError, SceneInfo


@dataclass(frozen=True)
class Scene:
    """One cache and what it says about itself."""

    path: Path
    info: SceneInfo


def read_scenes(cache_paths: Sequence[str | Path], data_config: ConfigDict) -> list[Scene]:
    """What the caches of a run say about themselves.

    Raises:
        InputError: where there are none, or two of them cannot be trained on together.
    """
    readers = open_scenes(cache_paths, data_config.read_threads)
    return [Scene(reader.path, reader.info) for reader in readers]


def hold_out(scenes: list[Scene], fraction: float) -> tuple[list[Scene], list[Scene]]:
    """Splits scenes into those to train on and those to judge by.

    Held out are the names with the smallest hashes: the same ones in every run on these scenes,
    and two caches of one scene are on the same side.

    Args:
        scenes: as `read_scenes` gives them.
        fraction: of the scenes to hold out, in 0..1; at least one where > 0.

    Raises:
        InputError: where nothing would be left to train on.
    """
    names = sorted({scene.info.scene for scene in scenes}, key=_hash)
    count = max(1, round(fraction * len(names))) if fraction > 0 else 0
    if count >= len(names):
        raise InputError(
            f"train.eval_fraction={fraction} of {len(names)} scenes leaves none to train on; "
            "give more scenes, or --config.train.eval_fraction=0 to hold out none"
        )
    held = set(names[:count])
    return (
        [scene for scene in scenes if scene.info.scene not in held],
        [scene for scene in scenes if scene.info.scene in held],
    )


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
