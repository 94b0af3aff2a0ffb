"""ScanNet as its SensReader exports it: ``color/0.jpg depth/0.png pose/0.txt intrinsic/``.

Colour is 1296x968, depth 640x480 and already registered to colour: both show the same field of
view, and their intrinsics are the same up to scale. Images are brought to the size of the depth
maps, as MaskClustering and OnlineAnySeg do, and ``intrinsic_depth.txt`` holds for both. (CUT3R's
own size rule would make 512x368 of 1296x968; of 640x480 it makes 512x384.)

Source: github.com/ScanNet/ScanNet (SensReader/python; threads 2 and 92 on registration).
"""

from pathlib import Path

import numpy as np

from bridges.sources.files import (
    IMAGE_SUFFIXES,
    image_size,
    read_intrinsics,
    same_shape,
    size_text,
)
from bridges.sources.layouts import Layout, by_stem, color_and_depth, posed_frames
from moonseg_jax.structs import InputError

COLOR_SIZE = (968, 1296)
DEPTH_SIZE = (480, 640)


def is_scannet(path: Path) -> bool:
    """Whether a folder with ``color/`` is an export of ScanNet, with its intrinsics or without."""
    if (path / "intrinsic").is_dir():
        return True
    first = next(iter(by_stem(path / "color", IMAGE_SUFFIXES).values()), None)
    return first is not None and image_size(first) == COLOR_SIZE


def scannet(path: Path) -> Layout:
    """Reads an export; frames are named by their number, unpadded, as in label maps made of it."""
    color, depth = color_and_depth(path)
    if not color:
        return Layout("scannet", [], None)
    stored = image_size(next(iter(color.values())))
    depth_size = image_size(next(iter(depth.values()))) if depth else None
    if depth_size:
        check_registered(str(path), stored, depth_size)
    fit = depth_size or (DEPTH_SIZE if stored == COLOR_SIZE else stored)
    read_size = (min(stored[0], fit[0]), min(stored[1], fit[1]))
    of_size = {"intrinsic_depth.txt": depth_size, "intrinsic_color.txt": stored}
    frames = posed_frames(path, color, depth, fit)
    return Layout("scannet", frames, _intrinsics(path / "intrinsic", of_size, read_size))


def check_registered(place: str, color_size: tuple[int, int], depth_size: tuple[int, int]) -> None:
    """InputError where colour and depth cannot show the same field of view."""
    if not same_shape(color_size, depth_size):
        raise InputError(
            f"{place}: colour is {size_text(color_size)} and depth {size_text(depth_size)}:"
            " register depth to the colour image, so that both show the same field of view."
        )


def _intrinsics(
    folder: Path, of_size: dict[str, tuple[int, int] | None], read_size: tuple[int, int]
) -> np.ndarray | None:
    """``[3 3]`` of the images as read, scaled from the first file there is a size for."""
    for name, size in of_size.items():
        if size is not None and (folder / name).exists():
            scale = np.diag([read_size[1] / size[1], read_size[0] / size[0], 1.0])
            return scale @ read_intrinsics(folder / name)
    return None
