"""Segmentation straight from a source: the backbones and the online loop, frame after frame."""

import contextvars
import dataclasses
import time
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moonseg_jax.structs import Frame, InputError, SceneInfo

if TYPE_CHECKING:
    from bridges.bridge import Bridge


_Ready = tuple[str, Frame, bytes]  # Name, frame, compressed picture.


class LiveRecording:
    """A bridge's frames as the online loop takes them, and what a result needs of them afterwards.

    Of each frame a camera and a compressed picture of some ten kilobytes are kept, nothing else.

    Args:
        bridge: over the source.
        ahead: how many frames of a recording the backbones, in a thread of their own, may be ahead
            of whoever takes them; of a live source none.
    """

    cache: Path | None = None

    def __init__(self, bridge: "Bridge", ahead: int = 1) -> None:
        self._bridge = bridge
        self._ahead = ahead if bridge.source.names else 0
        self._names: list[str] = []
        self._cameras: list[tuple[np.ndarray, np.ndarray]] = []
        self._colors: list[bytes] = []

    @property
    def info(self) -> SceneInfo:
        """With the frames so far."""
        skipped = tuple(self._bridge.skipped)
        names = tuple(self._names)
        return dataclasses.replace(self._bridge.info, frame_names=names, skipped=skipped)

    @property
    def cameras(self) -> tuple[np.ndarray, np.ndarray]:
        """``T_world_from_cam [t 4 4]`` and ``intrinsics [t 3 3]``."""
        T, K = zip(*self._cameras, strict=True)
        return np.stack(T), np.stack(K)

    def colors(self, index: int) -> np.ndarray:
        """``[Hp Wp 3]`` uint8 of a frame."""
        flat = np.frombuffer(zlib.decompress(self._colors[index]), np.uint8)
        return flat.reshape(*self._bridge.info.point_size, 3)

    def frames(self) -> Iterator[Frame]:
        """Runs the backbones on the next frame, and the next."""
        with closing(self._ready()) as ready:
            for name, frame, colors in self._made_ahead(ready) if self._ahead else ready:
                self._names.append(name)
                self._colors.append(colors)
                camera = frame.T_world_from_cam, frame.intrinsics
                self._cameras.append((np.asarray(camera[0]), np.asarray(camera[1])))
                yield frame
        if not self._names:
            raise InputError(f"{self._bridge.source.path} gave no frame that can be used.")

    def _made_ahead(self, ready: Generator[_Ready]) -> Iterator[_Ready]:
        from bridges.ordered import in_order

        # PyTorch's compiler keeps its settings by context, which a thread does not inherit.
        make = partial(contextvars.copy_context().run, lambda: next(ready, None))
        with closing(in_order(repeat(make), threads=1, ahead=self._ahead + 1)) as made:
            while (item := next(made)) is not None:
                yield item

    def _ready(self) -> Generator[_Ready]:
        from moonseg_jax.structs.arrays import for_jax

        for name, frame in self._bridge.frames():
            colors = zlib.compress(np.asarray(frame.colors).tobytes(), level=1)
            yield name, for_jax(frame), colors


class Stopwatch:
    """Frames per second of a run, and where its time went.

    Compilation falls on the first frames: what the first `WARM_UP` took is told apart.
    """

    WARM_UP = 3

    def __init__(self) -> None:
        self._laps = [time.perf_counter()]

    def lap(self) -> None:
        """A frame is through."""
        self._laps.append(time.perf_counter())

    def line(self) -> str:
        """Median time of a frame, and frames per second over all after the first ones."""
        laps = np.diff(self._laps)
        steady = laps[self.WARM_UP :] if len(laps) > self.WARM_UP else laps
        first = len(laps) - len(steady)
        apart = f" (the first {first} took {laps[:first].sum():.1f} s)" if first else ""
        rate = len(steady) / steady.sum()
        return f"{rate:.3g} frames/s, median {1e3 * np.median(steady):.1f} ms{apart}"
