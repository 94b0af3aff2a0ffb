"""Recordings: posed RGB-D folders, 7-Scenes folders, folders of images, videos."""

from pathlib import Path

from bridges.sources.folder import FolderSource
from bridges.sources.layouts import find_layout
from bridges.sources.source import Source
from bridges.sources.video import VIDEO_SUFFIXES, VideoSource
from moonseg_jax.structs import InputError

__all__ = ["Source", "open_source"]


def open_source(path: str | Path, stride: int = 1, max_frames: int = 0) -> Source:
    """Opens a recording, whatever its layout.

    Args:
        path: a posed RGB-D folder (``color/ depth/ pose/ intrinsics.txt``), a 7-Scenes folder
            (``frame-000000.color.jpg`` ...), a folder of images, or a video file.
        stride: takes every ``stride``-th frame; the others of a folder are never decoded.
        max_frames: then takes the first ``max_frames`` of those; 0 = all. Frames skipped for
            their pose count among them.

    Raises:
        InputError: when there is nothing there that can be read.
    """
    path = Path(path).expanduser()
    if stride < 1 or max_frames < 0:
        raise InputError(
            f"stride={stride}, max_frames={max_frames}: give a stride of 1 or more and a"
            " max_frames of 0 (all) or more."
        )
    if not path.exists():
        raise InputError(f"{path} does not exist: give a recording's folder or a video file.")
    if path.is_dir():
        return FolderSource(path, find_layout(path), stride=stride, max_frames=max_frames)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return VideoSource(path, stride=stride, max_frames=max_frames)
    raise InputError(
        f"{path} is neither a folder nor a video ({' '.join(sorted(VIDEO_SUFFIXES))}):"
        " give a recording's folder or a video file."
    )
