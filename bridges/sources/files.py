"""Single files of a recording: images, depth maps, poses, intrinsics. Errors name the file."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from moonseg_jax.structs import InputError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
# 0 says "no measurement"; a saturated counter says the same.
INVALID_DEPTH = (0, 65535)
RIGID_TOLERANCE = 1e-2
POSE_MISSING = "pose missing"
# What Pillow raises on cut-off or foreign files.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def list_files(folder: Path, suffixes: set[str]) -> list[Path]:
    """Files of a folder with one of the suffixes, ``frame_2`` before ``frame_10``."""
    found = [
        file
        for file in folder.iterdir()
        if file.suffix.lower() in suffixes and not file.name.startswith(".") and file.is_file()
    ]
    return sorted(found, key=lambda file: natural_key(file.name))


def natural_key(name: str) -> list[tuple[bool, int, str]]:
    """Sorts ``frame_2`` before ``frame_10``."""
    parts = re.split(r"(\d+)", name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def open_image(path: Path) -> Image.Image:
    """Reads a whole image file as it is stored."""
    return _decode(path, str(path), None)


def read_image(
    file: Path | BinaryIO, place: str = "", fit: tuple[int, int] | None = None
) -> np.ndarray:
    """Reads an image upright (EXIF) and in colour, whatever its mode.

    Args:
        file: a path, or an open file.
        place: what errors call it; the path where not given.
        fit: ``(H, W)`` that a larger image is brought down to.

    Returns:
        ``[H W 3]`` uint8 RGB.
    """
    image = ImageOps.exif_transpose(_decode(file, place or str(file), fit))
    if image.mode.startswith("I"):  # 16-bit grey: Pillow would clip it at 255.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("P", "PA", "LA"):
        image = image.convert("RGBA")
    image = image.convert("RGB")
    if fit is not None and (image.height > fit[0] or image.width > fit[1]):
        image = image.resize((fit[1], fit[0]), Image.Resampling.LANCZOS)
    return np.array(image)


def image_size(path: Path) -> tuple[int, int]:
    """``(H, W)`` as the file's header says, without decoding it."""
    with _opened(path, str(path)) as image:
        return image.height, image.width


def _decode(file: Path | BinaryIO, place: str, fit: tuple[int, int] | None) -> Image.Image:
    with _opened(file, place) as image:
        if fit is not None:
            # A JPEG that is still larger at a half of its size is decoded at that: in half the
            # time. Other formats know no such thing.
            image.draft(None, (fit[1], fit[0]))
        image.load()
        return image


@contextmanager
def _opened(file: Path | BinaryIO, place: str) -> Iterator[Image.Image]:
    try:
        with Image.open(file) as image:
            yield image
    except _UNREADABLE as error:
        raise InputError(
            f"{place} cannot be read as an image ({error}): write or copy the file again."
        ) from error


def read_depth(path: Path) -> np.ndarray:
    """Reads a depth map of uint16 millimetres; ``[Hd Wd]`` float32 metres, NaN where invalid."""
    image = open_image(path)
    if not image.mode.startswith("I;16"):
        raise InputError(
            f"{path} is not a 16-bit single-channel depth map (Pillow mode {image.mode}):"
            " write depth as uint16 millimetres, 0 = invalid."
        )
    return to_metres(np.asarray(image), 1000.0)


def to_metres(stored: np.ndarray, per_metre: float) -> np.ndarray:
    """``[Hd Wd]`` uint16 as stored to float32 metres, NaN where invalid."""
    metres = stored.astype(np.float32) / np.float32(per_metre)
    metres[np.isin(stored, INVALID_DEPTH)] = np.nan
    return metres


def read_pose(path: Path) -> tuple[np.ndarray | None, str]:
    """Reads T_world_from_cam; returns the ``[4 4]`` float64 pose, or None and what is wrong."""
    if not path.exists():
        return None, POSE_MISSING
    matrix = _read_matrix(path)
    if matrix is None or matrix.size != 16:
        return None, f"pose not a 4x4 matrix in {path.name}"
    return check_pose(matrix.reshape(4, 4))


def check_pose(T: np.ndarray) -> tuple[np.ndarray | None, str]:
    """A ``[4 4]`` matrix as a pose, or None and what is wrong with it."""
    if not np.isfinite(T).all():
        return None, "pose not finite"
    R = T[:3, :3]
    orthonormal = np.abs(R.T @ R - np.eye(3)).max() <= RIGID_TOLERANCE
    homogeneous = np.abs(T[3] - (0, 0, 0, 1)).max() <= RIGID_TOLERANCE
    if not (orthonormal and homogeneous and np.linalg.det(R) > 0):
        return None, "pose not rigid"
    return T.astype(np.float64), ""


def read_intrinsics(path: Path) -> np.ndarray:
    """Reads ``[3 3]`` intrinsics, stored 3x3 or 4x4; pixel centres at +0.5.

    Files follow OpenCV, where the centre of the first pixel is at 0; ours is at 0.5, so 0.5 is
    added to cx and cy.
    """
    K = _read_matrix(path)
    if K is None or K.size not in (9, 16) or not np.isfinite(K).all():
        raise InputError(f"{path} does not hold nine finite numbers: write the 3x3 matrix K.")
    K = K.reshape(3, 3) if K.size == 9 else K.reshape(4, 4)[:3, :3]
    return from_opencv(check_intrinsics(K, str(path)))


def check_intrinsics(K: np.ndarray, place: str) -> np.ndarray:
    """The ``[3 3]`` matrix itself, where it is one of a pinhole camera."""
    if K[0, 0] <= 0 or K[1, 1] <= 0 or np.abs(K[2] - (0, 0, 1)).max() > 1e-6:
        raise InputError(
            f"{place} is not an intrinsics matrix: write fx 0 cx / 0 fy cy / 0 0 1 with positive"
            " focal lengths in pixels of the colour image."
        )
    return K


def from_opencv(K: np.ndarray) -> np.ndarray:
    """Moves intrinsics from pixel centres at 0 to pixel centres at +0.5."""
    return K + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])


def same_shape(a: tuple[int, ...], b: tuple[int, ...], tolerance: float = 0.01) -> bool:
    """Whether two sizes ``(H, W, ...)`` have the same aspect ratio, up to rounding."""
    return abs(a[1] * b[0] / (a[0] * b[1]) - 1.0) <= tolerance


def _read_matrix(path: Path) -> np.ndarray | None:
    try:
        return np.array(path.read_text().replace(",", " ").split(), float)
    except (OSError, ValueError):
        return None


def size_text(size: tuple[int, ...]) -> str:
    """``(H, W, ...)`` as people write it, width first."""
    return f"{size[1]}x{size[0]}"
