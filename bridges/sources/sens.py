"""ScanNet's ``.sens``: frames are read from the file as they are needed, nothing is exported.

One pass over the frames' headers finds where each lies; a frame that is not taken is never read.
Images are brought to the size of the depth maps and the depth camera's intrinsics hold for both,
as in the exported layout (`bridges.sources.scannet`): the same frames come out of both.

Source: github.com/ScanNet/ScanNet, SensReader (README, sensorData.h, SensorData.py).
"""

import struct
import zlib
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bridges.sources.files import (
    check_intrinsics,
    check_pose,
    from_opencv,
    read_image,
    size_text,
    to_metres,
)
from bridges.sources.layouts import FRAMES_PER_SECOND, Layout, RecordedFrame
from bridges.sources.scannet import check_registered
from moonseg_jax.structs import InputError

VERSION = 4
_COLOR_TYPES = {-1: "unknown", 0: "raw", 1: "png", 2: "jpeg"}
_DEPTH_TYPES = {-1: "unknown", 0: "raw_ushort", 1: "zlib_ushort", 2: "occi_ushort"}
_MATRICES = struct.Struct("<64f")  # Intrinsics, extrinsics of colour; then of depth; rows first.
_FORMAT = struct.Struct("<iiIIIIf")
_FRAME = struct.Struct("<16f4Q")


@dataclass(frozen=True)
class SensHeader:
    """What a file says about all its frames.

    Attributes:
        sensor: name.
        intrinsics_depth: ``[3 3]``, pixel centres at +0.5.
        depth_type: compression of depth, a value of ``_DEPTH_TYPES``.
        color_size, depth_size: ``(H, W)``.
        depth_shift: stored depth per metre.
        num_frames: as the file says.
    """

    sensor: str
    intrinsics_depth: np.ndarray
    depth_type: str
    color_size: tuple[int, int]
    depth_size: tuple[int, int]
    depth_shift: float
    num_frames: int


@dataclass(frozen=True)
class SensFrame:
    """Where a frame lies in the file; times in microseconds."""

    T_world_from_cam: np.ndarray
    time_color: int
    time_depth: int
    offset: int
    color_bytes: int
    depth_bytes: int


def sens(path: Path) -> Layout:
    """Indexes a ``.sens`` file, or the one in a folder.

    Raises:
        InputError: another version, a compression that is not read, a file that ends too early.
    """
    file = find_sens(path)
    header, index = read_index(file)
    check_registered(str(file), header.color_size, header.depth_size)
    # Recordings without a clock have zeros throughout.
    clock = bool(index) and index[-1].time_color > index[0].time_color
    frames = []
    for number, frame in enumerate(index):
        place = f"{file}, frame {number}"
        since = (frame.time_color - index[0].time_color) / 1e6
        frames.append(
            RecordedFrame(
                name=str(number),
                timestamp=since if clock else number / FRAMES_PER_SECOND,
                place=place,
                image=partial(_read_color, file, frame, header.depth_size, place),
                depth=partial(_read_depth, file, frame, header, place),
                pose=partial(check_pose, frame.T_world_from_cam),
            )
        )
    return Layout("sens", frames, header.intrinsics_depth)


def find_sens(path: Path) -> Path:
    """The ``.sens`` file itself, or the one that a folder holds."""
    if path.is_file():
        return path
    files = sorted(path.glob("*.sens"))
    if len(files) != 1:
        raise InputError(f"{path} holds {len(files)} .sens files: give one of them.")
    return files[0]


def read_index(path: Path) -> tuple[SensHeader, list[SensFrame]]:
    """Reads the header and finds every frame, without reading images or depth."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = _read_header(file, path)
        frames: list[SensFrame] = []
        while len(frames) < header.num_frames:
            data = file.read(_FRAME.size)
            if len(data) == _FRAME.size:
                *pose, time_color, time_depth, color_bytes, depth_bytes = _FRAME.unpack(data)
                end = file.tell() + color_bytes + depth_bytes
            if len(data) < _FRAME.size or end > size:
                raise InputError(
                    f"{path} ends in frame {len(frames)} of {header.num_frames}: copy or download"
                    " it again."
                )
            T = np.array(pose, np.float64).reshape(4, 4)
            frames.append(
                SensFrame(T, time_color, time_depth, file.tell(), color_bytes, depth_bytes)
            )
            file.seek(end)
    return header, frames


def _read_header(file: BinaryIO, path: Path) -> SensHeader:
    try:
        (version,) = struct.unpack("<I", file.read(4))
        if version != VERSION:
            raise InputError(
                f"{path} is a .sens file of version {version}, or none at all: this program reads"
                f" version {VERSION}, which all of ScanNet is."
            )
        (length,) = struct.unpack("<Q", file.read(8))
        # A damaged length must not make us ask for all the memory there is.
        sensor = file.read(min(length, 4096)).decode(errors="replace")
        matrices = np.array(_MATRICES.unpack(file.read(_MATRICES.size))).reshape(4, 4, 4)
        color_type, depth_type, *sizes, shift = _FORMAT.unpack(file.read(_FORMAT.size))
        (num_frames,) = struct.unpack("<Q", file.read(8))
    except struct.error as error:
        raise InputError(f"{path} ends in its header: copy or download it again.") from error
    if not (shift > 0 and min(sizes) > 0):
        raise InputError(f"{path} has a damaged header: copy or download it again.")
    K = check_intrinsics(matrices[2, :3, :3], f"{path}: its depth intrinsics")
    return SensHeader(
        sensor=sensor,
        intrinsics_depth=from_opencv(K),
        depth_type=_depth_type(path, color_type, depth_type),
        color_size=(sizes[1], sizes[0]),
        depth_size=(sizes[3], sizes[2]),
        depth_shift=shift,
        num_frames=num_frames,
    )


def _depth_type(path: Path, color_type: int, depth_type: int) -> str:
    """The compression of depth, where that and colour's are ones that are read."""
    color, depth = _COLOR_TYPES.get(color_type), _DEPTH_TYPES.get(depth_type)
    if color not in ("png", "jpeg") or depth not in ("raw_ushort", "zlib_ushort"):
        raise InputError(
            f"{path} has {color or color_type} colour and {depth or depth_type} depth: this program"
            " reads jpeg or png, and zlib_ushort or raw_ushort; convert it with ScanNet's"
            " SensReader."
        )
    return depth


def _read_bytes(path: Path, offset: int, size: int) -> bytes:
    # Opened each time: threads read side by side, and nothing is left open.
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def _read_color(path: Path, frame: SensFrame, fit: tuple[int, int], place: str) -> np.ndarray:
    return read_image(BytesIO(_read_bytes(path, frame.offset, frame.color_bytes)), place, fit)


def _read_depth(path: Path, frame: SensFrame, header: SensHeader, place: str) -> np.ndarray:
    data = _read_bytes(path, frame.offset + frame.color_bytes, frame.depth_bytes)
    if header.depth_type == "zlib_ushort":
        try:
            data = zlib.decompress(data)
        except zlib.error as error:
            raise InputError(
                f"{place}: its depth cannot be decompressed ({error}): copy or download the file"
                " again."
            ) from error
    height, width = header.depth_size
    if len(data) != 2 * height * width:
        raise InputError(
            f"{place}: its depth has {len(data)} bytes, and {size_text(header.depth_size)} pixels"
            f" have {2 * height * width}: copy or download the file again."
        )
    return to_metres(np.frombuffer(data, "<u2").reshape(height, width), header.depth_shift)
