"""Cameras and network streams, live, through PyAV."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from queue import Empty, Full, Queue
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.error import BlockingIOError as NotReadyError
from av.error import FFmpegError

from bridges.sources.source import Source
from bridges.sources.video import upright
from moonseg_jax.structs import InputError, SourceFrame

# FFmpeg's input device of a platform, and what it calls a camera by number, or by name.
_DEVICES = {
    "linux": ("v4l2", "/dev/video{}", "{}"),
    "darwin": ("avfoundation", "{}", "{}"),
    "win32": ("dshow", "video={}", "video={}"),
}
STALL_SECONDS = 10.0


def is_live(source: str | Path) -> bool:
    """Whether a source is a camera (``0``, ``camera:0``, ``camera:NAME``) or a stream's URL."""
    if isinstance(source, Path) or Path(source).exists():  # SceneNN has scenes called 005.
        return False
    return source.isdigit() or source.startswith("camera:") or "://" in source


def open_live(address: str) -> InputContainer:
    """Opens a camera or a stream's URL (rtsp, http, udp: whatever FFmpeg reads)."""
    if "://" in address:
        return av.open(address, timeout=STALL_SECONDS)
    name = address.removeprefix("camera:")
    device, numbered, named = _DEVICES.get(sys.platform, _DEVICES["linux"])
    return av.open((numbered if name.isdigit() else named).format(name), format=device)


class CameraSource(Source):
    """Every ``stride``-th frame as it arrives, until the stream ends, or Ctrl-C.

    Who is slower than a live camera gets the newest frame, never one that waited: the delay stays
    under a frame, names (numbers of arrival) tell which were passed over, `passed_over` how many.
    Of a stream that knows its length, a recording on a server, every frame is waited for.

    The first Ctrl-C while iterating ends the recording after the frame in work, so that whatever
    is made of it is finished; the second one interrupts as usual.

    Args:
        address: as `is_live` knows them.
        stride: of arriving frames.
        max_frames: ends after so many; 0 = never.
        open_container: opens an address.

    Attributes:
        passed_over: frames whose turn it was, and which a newer one replaced.

    Raises:
        InputError: it cannot be opened, or breaks off.
    """

    lacks = ("depth", "poses", "intrinsics")
    all_names = names = ()

    def __init__(
        self,
        address: str,
        stride: int = 1,
        max_frames: int = 0,
        open_container: Callable[[str], InputContainer] = open_live,
    ) -> None:
        self.kind = "stream" if "://" in address else "camera"
        self.address = address
        self.path = _name(address)
        self.stride = stride
        self.max_frames = max_frames
        self.skipped = []
        self.passed_over = 0
        self._open_container = open_container
        with self._open() as container:
            first = next(self._decode(container), None)
        if first is None:
            raise InputError(f"{address} sends no frame that can be decoded: give another source.")
        self.image_size = upright(first).shape[:2]

    def __len__(self) -> int:
        """At most so many frames; 0 = not known."""
        return self.max_frames

    def __iter__(self) -> Iterator[SourceFrame]:
        stop = threading.Event()
        with self._open() as container, _first_interrupt_sets(stop):
            live = not container.duration
            arrived: Queue = Queue(maxsize=1)
            reader = threading.Thread(
                target=self._receive, args=(container, arrived, live, stop), daemon=True
            )
            reader.start()
            try:
                yield from islice(self._taken(arrived, stop), self.max_frames or None)
            finally:
                stop.set()
                reader.join()

    def _taken(self, arrived: Queue, stop: threading.Event) -> Iterator[SourceFrame]:
        start = None
        while not stop.is_set():
            try:
                item = arrived.get(timeout=0.1)
            except Empty:
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise self._unreadable(item) from item
            index, clock, frame = item
            start = clock if start is None else start
            yield SourceFrame(f"{index:06d}", clock - start, upright(frame))

    def _receive(
        self, container: InputContainer, arrived: Queue, live: bool, stop: threading.Event
    ) -> None:
        """Runs in a thread: hands over what arrives; None at the end, an error where it breaks."""
        last: Exception | None = None
        try:
            for index, frame in enumerate(self._decode(container)):
                if stop.is_set():
                    return
                if index % self.stride == 0:
                    clock = time.monotonic() if frame.time is None else float(frame.time)
                    self._hand_over(arrived, (index, clock, frame), live, stop)
        except Exception as error:  # Raised where the frames are taken, not in this thread.
            last = error
        self._hand_over(arrived, last, False, stop)

    def _hand_over(self, arrived: Queue, item: object, live: bool, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                arrived.put(item, timeout=0 if live else 0.1)
                return
            except Full:
                if live:
                    self.passed_over += _drop(arrived)

    def _decode(self, container: InputContainer) -> Iterator[av.VideoFrame]:
        while True:
            try:
                yield from container.decode(video=0)
                return
            except NotReadyError:  # AVFoundation has no frame yet, and says it so.
                time.sleep(0.005)

    def _open(self) -> InputContainer:
        try:
            container = self._open_container(self.address)
        except (FFmpegError, OSError, ValueError) as error:
            raise self._unreadable(error) from error
        if not container.streams.video:
            container.close()
            raise InputError(f"{self.address} sends no video: give another camera or stream.")
        return container

    def _unreadable(self, error: Exception) -> InputError:
        return InputError(
            f"{self.kind} {self.address} cannot be read ({error}): connect it and allow access to"
            " it, or give another number, camera:NAME or a stream's URL."
        )


def _name(address: str) -> Path:
    """What it is called in a cache: no file, and without the password a URL may have."""
    if "://" in address:
        parts = urlsplit(address)
        return Path(f"{parts.hostname}{parts.path}")
    return Path(f"camera{address.removeprefix('camera:')}")


def _drop(arrived: Queue) -> int:
    try:
        arrived.get_nowait()
    except Empty:  # It was taken just now.
        return 0
    return 1


@contextmanager
def _first_interrupt_sets(stop: threading.Event) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, stack: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
