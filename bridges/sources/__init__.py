"""Recordings and live cameras: whatever RGB or RGB-D frames people have."""

from pathlib import Path

from bridges.sources.camera import CameraSource, is_live
from bridges.sources.find import find_layout, list_scenes
from bridges.sources.recording import RecordingSource
from bridges.sources.source import Source, scene_name
from bridges.sources.video import VIDEO_SUFFIXES, VideoSource
from moonseg_jax.structs import InputError

__all__ = ["Source", "is_live", "list_scenes", "open_source", "scene_name"]


def open_source(path: str | Path, stride: int = 1, max_frames: int = 0) -> Source:
    """Opens a recording, whatever its layout, or a camera.

    Args:
        path: a ScanNet ``.sens`` file, or a folder with one; a ScanNet scene as exported
            (``color/ depth/ pose/ intrinsic/``); a SceneNN scene (``image/ depth/
            trajectory.log``); a posed RGB-D folder (``color/ depth/ pose/ intrinsics.txt``); a
            7-Scenes folder (``frame-000000.color.jpg`` ...); a folder of images; a video file; or
            a camera (``0``, ``camera:0``, ``camera:NAME``) or a stream's URL.
        stride: takes every ``stride``-th frame; the others of a folder or a ``.sens`` file are
            never read.
        max_frames: then takes the first ``max_frames`` of those; 0 = all. Frames skipped for
            their pose count among them.

    Raises:
        InputError: when there is nothing there that can be read.
    """
    if stride < 1 or max_frames < 0:
        raise InputError(
            f"stride={stride}, max_frames={max_frames}: give a stride of 1 or more and a"
            " max_frames of 0 (all) or more."
        )
    if is_live(path):
        return CameraSource(str(path), stride=stride, max_frames=max_frames)
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(
            f"{path} does not exist: give a recording's folder, a .sens or video file, a camera's"
            " number or a stream's URL."
        )
    if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
        return VideoSource(path, stride=stride, max_frames=max_frames)
    if path.is_dir() or path.suffix.lower() == ".sens":
        return RecordingSource(path, find_layout(path), stride=stride, max_frames=max_frames)
    raise InputError(
        f"{path} is neither a folder nor a .sens file nor a video"
        f" ({' '.join(sorted(VIDEO_SUFFIXES))}): give a recording's folder or file."
    )
