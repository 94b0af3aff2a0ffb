"""Single files of a recording: images, depth maps, poses, intrinsics. Errors name the file."""

import re
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from moonseg_jax.structs import InputError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
# 0 says "no measurement"; a saturated counter says the same.
INVALID_DEPTH = (0, 65535)
RIGID_TOLERANCE = 1e-2
# What Pillow raises on cut-off or foreign files.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def list_files(folder: Path, suffixes: set[str]) -> list[Path]:
    """Files of a folder with one of the suffixes, ``frame_2`` before ``frame_10``."""
    found = [
        file
        for file in folder.iterdir()
        if file.suffix.lower() in suffixes and not file.name.startswith(".") and file.is_file()
    ]
    return sorted(found, key=lambda file: _natural(file.name))


def _natural(name: str) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def open_image(path: Path) -> Image.Image:
    """Reads a whole image file as it is stored."""
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except _UNREADABLE as error:
        raise InputError(
            f"{path} cannot be read as an image ({error}): write or copy the file again."
        ) from error


def read_image(path: Path) -> np.ndarray:
    """Reads an image upright (EXIF) and in colour, whatever its mode; ``[H W 3]`` uint8 RGB."""
    image = ImageOps.exif_transpose(open_image(path))
    if image.mode.startswith("I"):  # 16-bit grey: Pillow would clip it at 255.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("P", "PA", "LA"):
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))


def read_depth(path: Path) -> np.ndarray:
    """Reads a depth map of uint16 millimetres; ``[Hd Wd]`` float32 metres, NaN where invalid."""
    image = open_image(path)
    if not image.mode.startswith("I;16"):
        raise InputError(
            f"{path} is not a 16-bit single-channel depth map (Pillow mode {image.mode}):"
            " write depth as uint16 millimetres, 0 = invalid."
        )
    millimetres = np.asarray(image)
    metres = millimetres.astype(np.float32) / np.float32(1000.0)
    metres[np.isin(millimetres, INVALID_DEPTH)] = np.nan
    return metres


def read_pose(path: Path | None) -> tuple[np.ndarray | None, str]:
    """Reads T_world_from_cam; returns the ``[4 4]`` float64 pose, or None and what is wrong."""
    if path is None or not path.exists():
        return None, "pose missing"
    matrix = _read_matrix(path)
    if matrix is None or matrix.size != 16:
        return None, f"pose not a 4x4 matrix in {path.name}"
    T = matrix.reshape(4, 4)
    if not np.isfinite(T).all():
        return None, "pose not finite"
    R = T[:3, :3]
    orthonormal = np.abs(R.T @ R - np.eye(3)).max() <= RIGID_TOLERANCE
    homogeneous = np.abs(T[3] - (0, 0, 0, 1)).max() <= RIGID_TOLERANCE
    if not (orthonormal and homogeneous and np.linalg.det(R) > 0):
        return None, "pose not rigid"
    return T, ""


def read_intrinsics(path: Path) -> np.ndarray:
    """Reads a ``[3 3]`` intrinsics matrix; pixel centres at +0.5.

    Files follow OpenCV, where the centre of the first pixel is at 0; ours is at 0.5, so 0.5 is
    added to cx and cy.
    """
    K = _read_matrix(path)
    if K is None or K.size != 9 or not np.isfinite(K).all():
        raise InputError(f"{path} does not hold nine finite numbers: write the 3x3 matrix K.")
    K = K.reshape(3, 3)
    if K[0, 0] <= 0 or K[1, 1] <= 0 or np.abs(K[2] - (0, 0, 1)).max() > 1e-6:
        raise InputError(
            f"{path} is not an intrinsics matrix: write fx 0 cx / 0 fy cy / 0 0 1 with positive"
            " focal lengths in pixels of the colour image."
        )
    return from_opencv(K)


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
