"""Video files, decoded by PyAV."""

from collections.abc import Iterator
from functools import partial
from itertools import islice, repeat
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError

from bridges.ordered import in_order
from bridges.sources.source import Source
from moonseg_jax.structs import InputError, SourceFrame

VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts"}
FRAMES_AHEAD = 4


class VideoSource(Source):
    """Frames of a video, turned upright; names are frame numbers, times the stream's own.

    A codec must decode the frames between those taken; they are not converted to RGB.
    """

    kind = "video"
    lacks = ("depth", "poses", "intrinsics")

    def __init__(self, path: Path, stride: int = 1, max_frames: int = 0) -> None:
        self.path = path
        self.stride = stride
        self.skipped = []
        self.all_names = tuple(_name(i) for i in range(self._count_packets()))
        self.names = self.all_names[::stride][: max_frames or None]
        first = next(self._decode(), None)
        if first is None:
            raise InputError(f"{path} holds no frame that can be decoded: record or copy it again.")
        self.image_size = first.image.shape[:2]

    def __iter__(self) -> Iterator[SourceFrame]:
        # One thread: a codec gives its frames one after the other.
        decoder = self._decode()
        tasks = repeat(partial(next, decoder, None))
        for frame in in_order(tasks, threads=1, ahead=FRAMES_AHEAD):
            if frame is None:
                return
            yield frame

    def _open(self) -> InputContainer:
        try:
            container = av.open(str(self.path))
        except FFmpegError as error:
            raise self._unreadable(error) from error
        if not container.streams.video:
            container.close()
            raise InputError(f"{self.path} holds no video stream: give a video file.")
        return container

    def _count_packets(self) -> int:
        with self._open() as container:
            try:
                return sum(packet.size > 0 for packet in container.demux(video=0))
            except FFmpegError as error:
                raise self._unreadable(error) from error

    def _decode(self) -> Iterator[SourceFrame]:
        with self._open() as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            end = len(self.names) * self.stride
            try:
                for index, frame in enumerate(islice(container.decode(stream), end)):
                    if index % self.stride == 0:
                        at = index / float(stream.average_rate or 30)
                        at = at if frame.time is None else float(frame.time)
                        yield SourceFrame(_name(index), at, upright(frame))
            except FFmpegError as error:
                raise self._unreadable(error) from error

    def _unreadable(self, error: FFmpegError) -> InputError:
        return InputError(
            f"{self.path} cannot be read as a video ({error.strerror}): copy it again if it was cut"
            " short, or record or convert it again."
        )


def upright(frame: av.VideoFrame) -> np.ndarray:
    """``[H W 3]`` uint8 RGB; phones store how the camera was held as an angle."""
    turns = round(frame.rotation / 90)  # Counter-clockwise.
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))


def _name(index: int) -> str:
    return f"{index:06d}"
