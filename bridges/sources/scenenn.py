"""SceneNN as its ``playback`` extracts it: ``image/image00001.png depth/depth00001.png``.

Poses are in ``trajectory.log``: blocks of a line of three numbers, ``i i i+1``, and four lines of
camera-to-world. ``i`` counts frames of the synchronised video from 0 and images are numbered from
1, so the *last* number is the image's: ``6 6 7`` goes with ``image00007.png``. Poses of lost
frames have a rotation of zeros, and the last frames often have none; both are left out and told.

Source: github.com/hkust-vgd/scenenn (README, playback, threads 3 and 4).
"""

from functools import partial
from pathlib import Path

import numpy as np

from bridges.sources.files import (
    POSE_MISSING,
    check_pose,
    from_opencv,
    read_intrinsics,
    read_pose,
)
from bridges.sources.layouts import FRAMES_PER_SECOND, Layout, by_stem, check_pairs, file_frame
from moonseg_jax.structs import InputError

# The Asus Xtion of all its scenes, at 640x480; asus.ini, and OnlineAnySeg's preparation.
XTION_K = np.array([[544.47329, 0, 320], [0, 544.47329, 240], [0, 0, 1]])
_OWN_INTRINSICS = ("intrinsics.txt", "intrinsic.txt", "intrinsic/intrinsic_depth.txt")


def is_scenenn(path: Path) -> bool:
    """Whether a folder has images named as ``playback`` names them."""
    return any((path / "image").glob("image*.png"))


def scenenn(path: Path) -> Layout:
    """Reads a scene; poses from ``trajectory.log``, else from ``pose/7.txt`` as OnlineAnySeg's."""
    color = {_number(file): file for file in by_stem(path / "image", {".png"}).values()}
    depth = {_number(file): file for file in by_stem(path / "depth", {".png"}).values()}
    if (path / "depth").is_dir():
        check_pairs(path, {f"{n:05d}" for n in color}, {f"{n:05d}" for n in depth})
    log, pose = path / "trajectory.log", path / "pose"
    poses = read_trajectory(log) if log.exists() else None
    frames = []
    for number, file in color.items():
        if poses is not None:
            read = partial(_logged_pose, poses.get(number))
        else:
            read = partial(read_pose, pose / f"{number}.txt") if pose.is_dir() else None
        time = (number - 1) / FRAMES_PER_SECOND
        frames.append(file_frame(file.stem, time, file, depth.get(number), read))
    own = next((path / name for name in _OWN_INTRINSICS if (path / name).exists()), None)
    K = from_opencv(XTION_K) if own is None else read_intrinsics(own)
    return Layout("scenenn", frames, K)


def read_trajectory(path: Path) -> dict[int, np.ndarray]:
    """``[4 4]`` camera-to-world by number of the image, as stored; some are no poses."""
    lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    poses: dict[int, np.ndarray] = {}
    try:
        for start in range(0, len(lines), 5):
            number = int(lines[start][-1])
            T = np.array(lines[start + 1 : start + 5], float)
            poses[number] = T.reshape(4, 4)
    except ValueError as error:
        raise InputError(
            f"{path} is not a trajectory after {len(poses)} poses: expected blocks of a line"
            " 'i i i+1' and a 4x4 matrix."
        ) from error
    if 0 in poses:
        raise InputError(
            f"{path} has a pose for image 0, and SceneNN's images count from 1: number the blocks"
            " '0 0 1', '1 1 2', ..., so that the last number is the image's."
        )
    return poses


def _logged_pose(T: np.ndarray | None) -> tuple[np.ndarray | None, str]:
    return (None, POSE_MISSING) if T is None else check_pose(T)


def _number(file: Path) -> int:
    digits = file.stem.removeprefix("image").removeprefix("depth")
    if not digits.isdigit():
        raise InputError(f"{file} is not named as image00001.png or depth00001.png: rename it.")
    return int(digits)
