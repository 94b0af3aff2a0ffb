"""Which scenes to cache, and where each goes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridges.config import MASK_MODELS
from bridges.sources import is_live, list_scenes, scene_name
from moonseg_jax.cache import check_target
from moonseg_jax.structs import InputError

SCENE = "{scene}"


@dataclass(frozen=True)
class Job:
    """One scene to cache.

    Attributes:
        name: of the scene.
        source: its recording, a path or a camera.
        out: its cache.
        masks: a mask model, or this scene's folder of label maps.
        stride, max_frames: of the recording's frames.
    """

    name: str
    source: str
    out: Path
    masks: str
    stride: int = 1
    max_frames: int = 0


@dataclass(frozen=True)
class Jobs:
    """The scenes of one command.

    Attributes:
        jobs: of this shard.
        many: whether ``--out`` is the folder of their caches: a pattern, list or root names many
            scenes also where it holds one.
    """

    jobs: tuple[Job, ...]
    many: bool


def find_jobs(
    sources: Sequence[str], out: Path, masks: str, stride: int, max_frames: int, shard: str | None
) -> Jobs:
    """The jobs that a command line asks for.

    Args:
        sources: the words of ``--source``.
        out: a cache, or the folder of the caches of many scenes.
        masks: a mask model or a folder of label maps, ``{scene}`` standing for a scene's name.
        stride, max_frames: of every recording's frames.
        shard: as `parse_shard` reads it; None = all.

    Raises:
        InputError: no such recordings, two of one name, one folder of masks for several, no such
            shard, or a cache cannot be put where it should go.
    """
    index, count = (0, 1) if shard is None else parse_shard(shard)
    found = [scene for source in sources for scene in _recordings(source)]
    many = len(sources) > 1 or found != _itself(sources[0])
    scenes = list(dict.fromkeys(found))
    _check_names(scenes, out)
    if len(scenes) > 1 and SCENE not in masks and masks not in MASK_MODELS:
        raise InputError(
            f"--masks={masks} would be one folder for {len(scenes)} scenes: write {SCENE} where"
            f" the path names the scene, or use {' or '.join(MASK_MODELS)}."
        )
    jobs = tuple(
        Job(name, scene, out / name if many else out, _masks_of(masks, name), stride, max_frames)
        for scene, name in zip(scenes, map(scene_name, scenes), strict=True)
    )
    for job in jobs[index::count]:
        check_target(job.out)
    return Jobs(jobs[index::count], many)


def parse_shard(word: str, environ: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Reads ``I/N``, counted from 1, or ``slurm``: this task of a Slurm job array.

    Returns:
        Index from 0, and number of shards.

    Raises:
        InputError: no such shard, or no job array.
    """
    if word == "slurm":
        return _slurm_shard(environ)
    index, _, count = word.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise InputError(f"--shard={word}: give I/N with I from 1 to N, or slurm.")
    return int(index) - 1, int(count)


def _slurm_shard(environ: Mapping[str, str]) -> tuple[int, int]:
    try:
        task, first, count = (
            int(environ[f"SLURM_ARRAY_TASK_{name}"]) for name in ("ID", "MIN", "COUNT")
        )
    except KeyError as error:
        raise InputError(
            f"--shard=slurm: {error.args[0]} is not set; start the command in a job array"
            " (sbatch --array=0-7 ...), or give --shard=I/N."
        ) from None
    return (task - first) // int(environ.get("SLURM_ARRAY_TASK_STEP", "1")), count


def _recordings(source: str) -> list[str]:
    return _itself(source) if is_live(source) else [_absolute(path) for path in list_scenes(source)]


def _itself(source: str) -> list[str]:
    return [source if is_live(source) else _absolute(Path(source))]


def _check_names(scenes: Sequence[str], out: Path) -> None:
    by_name: dict[str, str] = {}
    for scene in scenes:
        other = by_name.setdefault(scene_name(scene), scene)
        if other != scene:
            raise InputError(
                f"{other} and {scene} would both be cached as {out / scene_name(scene)}: cache"
                " them in runs of their own, each with its own --out."
            )


def _masks_of(masks: str, name: str) -> str:
    return masks if masks in MASK_MODELS else _absolute(Path(masks.replace(SCENE, name)))


def _absolute(path: Path) -> str:
    """Where something lies, whatever folder a worker runs in."""
    return os.path.abspath(path.expanduser())
