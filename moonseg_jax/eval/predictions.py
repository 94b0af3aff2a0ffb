"""The predictions folder: what a segmentation leaves on disk."""

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from moonseg_jax.cache import check_may_write, disk_errors
from moonseg_jax.eval.npz import read_npz
from moonseg_jax.online.results import SegmentedScene
from moonseg_jax.structs import InputError, Recording, SceneInfo
from moonseg_jax.viz.palette import instance_colors
from moonseg_jax.viz.ply import write_ply

SCHEMA = "moonseg-predictions-1"
_ARRAYS = (
    "points", "colors", "instance", "scores", "queries", "tokens", "boxes", "observations",
    "first_frame", "last_frame",
)  # fmt: skip


@dataclass(frozen=True)
class Predictions:
    """A predictions folder, read. Instance ``i`` of ``N`` is written ``i + 1``; 0 = none.

    Attributes:
        path: the folder.
        info: the scene, with the source's name of each frame.
        points: ``[n 3]`` float32, world frame of the result.
        colors: ``[n 3]`` uint8.
        instance: ``[n]`` int32 in ``0..N``.
        scores: ``[N]`` float32, the ranked score.
        queries: ``[N d]`` float32.
        tokens: ``[N s]`` float32; ``s`` may be 0.
        boxes: ``[N 2 3]`` float32.
        observations: ``[N]`` int32, frames each was seen in.
        first_frame: ``[N]`` int32.
        last_frame: ``[N]`` int32.
        T_world_from_cam: ``[t 4 4]`` float32.
        intrinsics: ``[t 3 3]`` float32, of the processed image.
        cache: path of the cache it was made from; empty where there was none.
        config: the settings it was made with.
        checkpoint: the weights it was made with.
    """

    path: Path
    info: SceneInfo
    points: np.ndarray
    colors: np.ndarray
    instance: np.ndarray
    scores: np.ndarray
    queries: np.ndarray
    tokens: np.ndarray
    boxes: np.ndarray
    observations: np.ndarray
    first_frame: np.ndarray
    last_frame: np.ndarray
    T_world_from_cam: np.ndarray
    intrinsics: np.ndarray
    cache: str
    config: dict[str, Any]
    checkpoint: str

    def label_map(self, frame: int) -> np.ndarray:
        """``[Hm Wm]`` uint16, the instance of every pixel of a frame; 0 = none."""
        file = _frame_file(self.path, frame)
        try:
            with Image.open(file) as image:
                return np.asarray(image).astype(np.uint16)
        except OSError as error:
            raise InputError(f"{file} cannot be read: segment the recording again") from error

    @property
    def num_instances(self) -> int:
        """``N``."""
        return len(self.scores)


def write_predictions(
    path: str | Path,
    scene: SegmentedScene,
    recording: Recording,
    *,
    config: dict[str, Any],
    checkpoint: str,
) -> None:
    """Writes a predictions folder, whole or not at all; an older one there is replaced.

    ``instances.npz`` (the arrays of `Predictions`), ``frames/000000.png`` (label maps),
    ``scene.ply`` (points coloured by instance), ``result.json`` (everything else).

    Args:
        path: of the folder.
        scene: the result.
        recording: of which it is the result.
        config: JSON-serialisable settings.
        checkpoint: which weights, for people and for the record.

    Raises:
        InputError: as `check_writable`, or the disk refuses, or is full (`DiskFullError`).
    """
    path = Path(path)
    check_writable(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            _write_arrays(staging, scene)
            record = {
                "schema": SCHEMA,
                "info": asdict(recording.info),
                "cache": str(recording.cache.resolve()) if recording.cache else "",
                "config": config,
                "checkpoint": checkpoint,
                "frames": _cameras(recording),
            }
            (staging / "result.json").write_text(json.dumps(record, indent=1))
            _take_place(staging, path)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def read_predictions(path: str | Path) -> Predictions:
    """Reads a predictions folder.

    Raises:
        InputError: it is not one, or of another version, or damaged.
    """
    path = Path(path)
    record = _read_record(path)
    if record is None:
        raise InputError(f"{path} is not a predictions folder: make one with `moonseg segment`")
    if record["schema"] != SCHEMA:
        raise InputError(
            f"{path} is of schema {record['schema']}, this program reads {SCHEMA}: segment again"
        )
    arrays = read_npz(path / "instances.npz", _ARRAYS, "segment the recording again")
    try:
        return Predictions(
            path=path,
            info=SceneInfo.from_dict(record["info"]),
            T_world_from_cam=_stack(record["frames"], "T_world_from_cam"),
            intrinsics=_stack(record["frames"], "intrinsics"),
            cache=record["cache"],
            config=record["config"],
            checkpoint=record["checkpoint"],
            **arrays,
        )
    except (KeyError, TypeError, ValueError) as error:
        file = path / "result.json"
        raise InputError(f"{file} is damaged ({error!r}): segment the recording again") from error


def write_metrics(path: str | Path, metrics: dict[str, Any]) -> None:
    """Keeps an evaluation beside the result: ``metrics.json``; other people's files are left."""
    path = Path(path)
    if path.is_dir():
        (path / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")


def check_writable(path: Path) -> None:
    """To be called before hours of work whose result goes to `path`.

    Raises:
        InputError: something other than a predictions folder is there, or nothing may be written.
    """
    check_may_write(path)
    in_the_way = path.exists() and (not path.is_dir() or any(path.iterdir()))
    if in_the_way and _read_record(path) is None:
        raise InputError(f"{path} exists and is not a predictions folder: choose another --out")


def _write_arrays(folder: Path, scene: SegmentedScene) -> None:
    """The arrays, the label maps and the cloud."""
    np.savez(folder / "instances.npz", **{name: getattr(scene, name) for name in _ARRAYS})
    (folder / "frames").mkdir()
    for i, labels in enumerate(scene.label_maps()):
        Image.fromarray(labels.astype(np.uint16)).save(_frame_file(folder, i))
    write_ply(folder / "scene.ply", scene.points, instance_colors(scene.instance), scene.instance)


def _read_record(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads((path / "result.json").read_text())
    except (OSError, ValueError):
        return None
    ours = isinstance(record, dict) and str(record.get("schema")).startswith("moonseg-predictions")
    return record if ours else None


def _cameras(recording: Recording) -> list[dict[str, Any]]:
    T_world_from_cam, intrinsics = recording.cameras
    return [
        {"name": name, "T_world_from_cam": T.tolist(), "intrinsics": K.tolist()}
        for name, T, K in zip(recording.info.frame_names, T_world_from_cam, intrinsics, strict=True)
    ]


def _stack(frames: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([frame[name] for frame in frames], np.float32)


def _take_place(staging: Path, path: Path) -> None:
    staging.chmod(0o755)
    if path.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        path.rename(old)  # An empty folder may be renamed onto: there is never a half result.
        staging.rename(path)
        shutil.rmtree(old)
    else:
        staging.rename(path)


def _frame_file(path: Path, frame: int) -> Path:
    return path / "frames" / f"{frame:06d}.png"
