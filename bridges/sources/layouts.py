"""What every recording on disk comes down to: how to read each frame, and what there is not."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bridges.sources.files import IMAGE_SUFFIXES, list_files, read_depth, read_image, read_pose
from moonseg_jax.structs import InputError

# Folders hold no clock: depth cameras and phones record at about this rate.
FRAMES_PER_SECOND = 30.0


@dataclass(frozen=True)
class RecordedFrame:
    """How to read one frame.

    Attributes:
        name: stem of the frame in the recording.
        timestamp: seconds.
        place: the file, and the frame in it, as errors name it.
        image: reads ``[H W 3]`` uint8.
        depth: reads ``[Hd Wd]`` float32 metres; None where the recording has none.
        pose: reads T_world_from_cam, as `read_pose` returns it; None where there are no poses.
    """

    name: str
    timestamp: float
    place: str
    image: Callable[[], np.ndarray]
    depth: Callable[[], np.ndarray] | None = None
    pose: Callable[[], tuple[np.ndarray | None, str]] | None = None


@dataclass(frozen=True)
class Layout:
    """What a recording holds.

    Attributes:
        kind: as in `Source`.
        frames: every frame, in order.
        intrinsics: ``[3 3]`` of the images as read, or None.
    """

    kind: str
    frames: list[RecordedFrame]
    intrinsics: np.ndarray | None

    @property
    def lacks(self) -> tuple[str, ...]:
        """Which of ``depth``, ``poses``, ``intrinsics`` there are not."""
        first = self.frames[0]
        there = {
            "depth": first.depth is not None,
            "poses": first.pose is not None,
            "intrinsics": self.intrinsics is not None,
        }
        return tuple(name for name, has in there.items() if not has)


def file_frame(
    name: str,
    timestamp: float,
    color: Path,
    depth: Path | None = None,
    pose: Callable[[], tuple[np.ndarray | None, str]] | None = None,
    fit: tuple[int, int] | None = None,
) -> RecordedFrame:
    """A frame of single files; ``fit`` as in `read_image`."""
    return RecordedFrame(
        name=name,
        timestamp=timestamp,
        place=str(color),
        image=partial(read_image, color, fit=fit),
        depth=None if depth is None else partial(read_depth, depth),
        pose=pose,
    )


def posed_frames(
    path: Path, color: dict[str, Path], depth: dict[str, Path], fit: tuple[int, int] | None = None
) -> list[RecordedFrame]:
    """Frames with their depth maps, and with ``pose/<stem>.txt`` where there is such a folder."""
    pose = path / "pose"
    return [
        file_frame(
            name=stem,
            timestamp=index / FRAMES_PER_SECOND,
            color=file,
            depth=depth.get(stem),
            pose=partial(read_pose, pose / f"{stem}.txt") if pose.is_dir() else None,
            fit=fit,
        )
        for index, (stem, file) in enumerate(color.items())
    ]


def color_and_depth(path: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Files of ``color/`` and ``depth/`` by stem; of depth none where there is no such folder."""
    color = by_stem(path / "color", IMAGE_SUFFIXES)
    depth = by_stem(path / "depth", {".png"})
    if (path / "depth").is_dir():
        check_pairs(path, set(color), set(depth))
    return color, depth


def by_stem(folder: Path, suffixes: set[str]) -> dict[str, Path]:
    """Files by stem, in natural order; none where there is no such folder."""
    files = list_files(folder, suffixes) if folder.is_dir() else []
    found = {file.stem: file for file in files}
    if len(found) < len(files):
        twice = next(file for file in files if found[file.stem] != file)
        raise InputError(
            f"{twice} and {found[twice.stem].name} are the same frame twice: remove one of them."
        )
    return found


def check_pairs(path: Path, color: set[str], depth: set[str]) -> None:
    """InputError where colour images and depth maps are not of the same frames."""
    if color != depth:
        alone = min(color ^ depth)
        missing = "depth" if alone in color else "colour"
        raise InputError(
            f"{path} has {len(color)} colour images and {len(depth)} depth maps, and no {missing}"
            f" for frame {alone}: give every colour image a depth map of the same name."
        )
