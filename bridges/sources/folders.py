"""Posed RGB-D folders, 7-Scenes folders, folders of images."""

from functools import partial
from pathlib import Path

import numpy as np

from bridges.sources.files import IMAGE_SUFFIXES, from_opencv, read_intrinsics, read_pose
from bridges.sources.layouts import (
    FRAMES_PER_SECOND,
    Layout,
    by_stem,
    check_pairs,
    color_and_depth,
    file_frame,
    posed_frames,
)
from moonseg_jax.structs import InputError

# Where a 7-Scenes folder brings no intrinsics of its own; the data set's documentation.
SEVEN_SCENES_K = np.array([[585.0, 0, 320], [0, 585, 240], [0, 0, 1]])


def posed_rgbd(path: Path) -> Layout:
    """``color/ depth/ pose/`` with one file a frame, ``intrinsics.txt`` of the colour images."""
    frames = posed_frames(path, *color_and_depth(path))
    K_path = path / "intrinsics.txt"
    return Layout("posed_rgbd", frames, read_intrinsics(K_path) if K_path.exists() else None)


def seven_scenes(path: Path) -> Layout:
    """``frame-000000.color.png``, ``.depth.png``, ``.pose.txt``; the number counts frames."""
    if (path / "_info.txt").exists():
        raise InputError(
            f"{path} was written by ScanNet's C++ SensReader, whose depth maps are PGM: give the"
            " .sens file it was made from."
        )
    color = {
        stem.removesuffix(".color"): file
        for stem, file in by_stem(path, IMAGE_SUFFIXES).items()
        if stem.startswith("frame-") and stem.endswith(".color")
    }
    depth = {file.name.removesuffix(".depth.png") for file in path.glob("frame-*.depth.png")}
    has_poses = any(path.glob("frame-*.pose.txt"))
    if depth:
        check_pairs(path, set(color), depth)
    frames = [
        file_frame(
            name=name,
            timestamp=_number(name, index) / FRAMES_PER_SECOND,
            color=file,
            depth=path / f"{name}.depth.png" if depth else None,
            pose=partial(read_pose, path / f"{name}.pose.txt") if has_poses else None,
        )
        for index, (name, file) in enumerate(color.items())
    ]
    K_path = path / "camera-intrinsics.txt"
    K = read_intrinsics(K_path) if K_path.exists() else from_opencv(SEVEN_SCENES_K)
    return Layout("seven_scenes", frames, K)


def images(path: Path) -> Layout:
    """A folder of images in natural order."""
    files = by_stem(path, IMAGE_SUFFIXES)
    frames = [
        file_frame(stem, index / FRAMES_PER_SECOND, file)
        for index, (stem, file) in enumerate(files.items())
    ]
    return Layout("images", frames, None)


def _number(name: str, otherwise: int) -> int:
    digits = name.removeprefix("frame-")
    return int(digits) if digits.isdigit() else otherwise
