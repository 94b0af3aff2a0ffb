"""The folder of a run: what lies where, and whether a run may be resumed in it.

config.json           what the run was started with
metrics.jsonl         one line a log
checkpoints/          best and last training state (Orbax)
weights.safetensors   parameters of the best checkpoint: what `moonseg segment` reads
"""

import json
import os
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from moonseg_jax.structs import InputError
from moonseg_jax.train.processes import is_main, wait_for_all

# Fields that leave the result as it is; all others must stay what they were on resume.
FREE_FIELDS = (
    "online",
    "memory.row_capacity",
    "memory.key_capacity",
    "memory.voxel",
    "train.log_every",
    "train.checkpoint_every",
    "train.members_at_once",
    "data.read_threads",
    "data.prefetch_batches",
)


class Workdir:
    """Paths of one run."""

    def __init__(self, path: Path):
        self.path = path
        self.config = path / "config.json"
        self.metrics = path / "metrics.jsonl"
        self.checkpoints = path / "checkpoints"
        self.weights = path / "weights.safetensors"


def open_workdir(
    path: Path,
    config: ConfigDict,
    scenes: list[str],
    members: list[dict[str, Any]] | None = None,
) -> Workdir:
    """Makes the folder of a new run, or checks that the run in it is this one.

    Args:
        path: of the folder.
        config: the whole config.
        scenes: names of all scenes, held-out ones included, in order.
        members: of a sweep, what each changes; None for a run by itself.

    Raises:
        InputError: where the folder holds something else than a run, or a run with another
            config or other scenes.
    """
    workdir = Workdir(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; give --workdir a folder")
    if workdir.config.is_file():
        _check_same_run(workdir.config, config, scenes, members)
    elif path.is_dir() and any(path.iterdir()):
        raise InputError(f"{path} is not empty and holds no run; choose another --workdir")
    wait_for_all("the folder is checked")
    if is_main():
        path.mkdir(parents=True, exist_ok=True)
        described: dict[str, Any] = {"config": config.to_dict(), "scenes": scenes}
        if members is not None:
            described["members"] = members
        write_atomically(workdir.config, json.dumps(described, indent=2) + "\n")
    wait_for_all("the folder is there")
    return workdir


def write_atomically(path: Path, text: str) -> None:
    """Writes beside, then renames: a kill leaves the old file or the new one."""
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(text)
    os.replace(beside, path)


def _check_same_run(
    path: Path, config: ConfigDict, scenes: list[str], members: list[dict[str, Any]] | None
) -> None:
    try:
        stored = json.loads(path.read_text())
        before, scenes_before = flat_fields(stored["config"]), stored["scenes"]
        members_before = stored.get("members")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not the config of a run; choose another --workdir") from error
    now = flat_fields(config.to_dict())
    for name in sorted(before.keys() | now.keys()):
        was, is_now = before.get(name, "unknown"), now.get(name, "unknown")
        if was != is_now and not _is_free(name):
            raise InputError(
                f"{path.parent} was started with {name}={was} and cannot go on with {is_now}; "
                "set it back, or choose another --workdir"
            )
    if members_before != members:
        raise InputError(
            f"{path.parent} holds {_kind(members_before)} and cannot go on as {_kind(members)}; "
            "choose another --workdir"
        )
    if scenes_before != scenes:
        raise InputError(
            f"{path.parent} was started on {len(scenes_before)} other scenes than the "
            f"{len(scenes)} given; give --cache the same ones, or choose another --workdir"
        )


def _kind(members: list[dict[str, Any]] | None) -> str:
    return "a run by itself" if members is None else f"a sweep with the members {members}"


def _is_free(name: str) -> bool:
    return any(name == free or name.startswith(free + ".") for free in FREE_FIELDS)


def flat_fields(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields as ``{"model.width": 256, ...}``."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= flat_fields(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
