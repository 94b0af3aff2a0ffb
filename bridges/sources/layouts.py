"""Which files make a frame, in each folder layout."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bridges.sources.files import IMAGE_SUFFIXES, from_opencv, list_files, read_intrinsics
from moonseg_jax.structs import InputError

# Folders hold no clock: depth cameras and phones record at about this rate.
FRAMES_PER_SECOND = 30.0
# Where a 7-Scenes folder brings no intrinsics of its own; the data set's documentation.
SEVEN_SCENES_K = np.array([[585.0, 0, 320], [0, 585, 240], [0, 0, 1]])


@dataclass(frozen=True)
class FrameFiles:
    """Where one frame lies; ``depth`` and ``pose`` are None where the recording has none."""

    name: str
    timestamp: float
    color: Path
    depth: Path | None = None
    pose: Path | None = None


@dataclass(frozen=True)
class Layout:
    """What a folder holds.

    Attributes:
        kind: ``posed_rgbd``, ``seven_scenes`` or ``images``.
        frames: every frame, in order.
        intrinsics: ``[3 3]`` of the colour image, or None.
        lacks: which of ``depth``, ``poses``, ``intrinsics`` there are not.
    """

    kind: str
    frames: list[FrameFiles]
    intrinsics: np.ndarray | None
    lacks: tuple[str, ...]


def find_layout(path: Path) -> Layout:
    """Recognises the layout of a folder; InputError where there are no frames."""
    if (path / "color").is_dir():
        layout = _posed_rgbd(path)
    elif any(path.glob("frame-*.color.*")):
        layout = _seven_scenes(path)
    else:
        layout = _images(path)
    if not layout.frames:
        raise InputError(
            f"{path} holds no frames: give a folder with color/ depth/ pose/ intrinsics.txt, one"
            " with frame-000000.color.jpg and its .depth.png and .pose.txt, a folder of images,"
            " or a video file."
        )
    return layout


def _posed_rgbd(path: Path) -> Layout:
    color = _by_stem(path / "color", IMAGE_SUFFIXES)
    depth = _by_stem(path / "depth", {".png"})
    has_poses = (path / "pose").is_dir()
    if depth is not None:
        _check_pairs(path, set(color or ()), set(depth))
    frames = [
        FrameFiles(
            name=stem,
            timestamp=index / FRAMES_PER_SECOND,
            color=file,
            depth=depth[stem] if depth is not None else None,
            pose=path / "pose" / f"{stem}.txt" if has_poses else None,
        )
        for index, (stem, file) in enumerate((color or {}).items())
    ]
    K_path = path / "intrinsics.txt"
    K = read_intrinsics(K_path) if K_path.exists() else None
    return Layout("posed_rgbd", frames, K, _lacks(depth is not None, has_poses, K is not None))


def _seven_scenes(path: Path) -> Layout:
    # frame-000008.color.jpg: the name is frame-000008, the number counts frames of the sensor.
    color = {
        stem.removesuffix(".color"): file
        for stem, file in (_by_stem(path, IMAGE_SUFFIXES) or {}).items()
        if stem.startswith("frame-") and stem.endswith(".color")
    }
    depth = {f.name.removesuffix(".depth.png") for f in path.glob("frame-*.depth.png")}
    has_poses = any(path.glob("frame-*.pose.txt"))
    if depth:
        _check_pairs(path, set(color), depth)
    frames = [
        FrameFiles(
            name=name,
            timestamp=_number(name, index) / FRAMES_PER_SECOND,
            color=file,
            depth=path / f"{name}.depth.png" if depth else None,
            pose=path / f"{name}.pose.txt" if has_poses else None,
        )
        for index, (name, file) in enumerate(color.items())
    ]
    K_path = path / "camera-intrinsics.txt"
    K = read_intrinsics(K_path) if K_path.exists() else from_opencv(SEVEN_SCENES_K)
    return Layout("seven_scenes", frames, K, _lacks(bool(depth), has_poses, True))


def _images(path: Path) -> Layout:
    files = _by_stem(path, IMAGE_SUFFIXES) or {}
    frames = [
        FrameFiles(stem, index / FRAMES_PER_SECOND, file)
        for index, (stem, file) in enumerate(files.items())
    ]
    return Layout("images", frames, None, _lacks(False, False, False))


def _by_stem(folder: Path, suffixes: set[str]) -> dict[str, Path] | None:
    """Files by stem, in order; None where there is no such folder."""
    if not folder.is_dir():
        return None
    files = list_files(folder, suffixes)
    found = {file.stem: file for file in files}
    if len(found) < len(files):
        twice = next(file for file in files if found[file.stem] != file)
        raise InputError(
            f"{twice} and {found[twice.stem].name} are the same frame twice: remove one of them."
        )
    return found


def _check_pairs(path: Path, color: set[str], depth: set[str]) -> None:
    if color != depth:
        alone = min(color ^ depth)
        missing = "depth" if alone in color else "colour"
        raise InputError(
            f"{path} has {len(color)} colour images and {len(depth)} depth maps, and no {missing}"
            f" for frame {alone}: give every colour image a depth map of the same name."
        )


def _lacks(depth: bool, poses: bool, intrinsics: bool) -> tuple[str, ...]:
    there = {"depth": depth, "poses": poses, "intrinsics": intrinsics}
    return tuple(name for name, has in there.items() if not has)


def _number(name: str, otherwise: int) -> int:
    digits = name.removeprefix("frame-")
    return int(digits) if digits.isdigit() else otherwise
