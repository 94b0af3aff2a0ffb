"""What is done for one scene, as a stream of events; the same in whichever process it runs."""

import copy
import dataclasses
import threading
import time
from collections.abc import Callable, Generator

import numpy as np

from bridges.bridge import Bridge, BridgeConfig, load_backbones
from bridges.loading import Backbones
from bridges.lockstep import Lockstep, frames_at_once
from bridges.sources import open_source
from moonseg_cli.caching.events import Described, Done, Event, Progress, Ready, failure
from moonseg_cli.caching.jobs import Job
from moonseg_cli.caching.resume import difference
from moonseg_jax.cache import CacheReader, CacheWriter, bytes_per_frame
from moonseg_jax.structs import InputError, SceneInfo
from moonseg_jax.structs.arrays import on_host

EXPECTED_WORDS = 2  # Up to 64 masks a frame, as in training; compressed, they hardly count.
REPORT_EVERY = 0.2  # Seconds between two reports of progress.
_OPENING = threading.Lock()  # What backbones keep for an image size, one scene at a time makes.

Models = Backbones | Lockstep
Task = Callable[[Job, Models], Generator[Event]]


def describe(job: Job, models: Models) -> Generator[Event]:
    """Opens a scene and says what caching it will take; writes nothing."""
    info = _bridge(job, models).info
    frames = _count(job, info)
    size = frames * bytes_per_frame(info, EXPECTED_WORDS)
    old = sum(f.stat().st_size for f in job.out.rglob("*") if f.is_file())
    yield Described(frames, info.image_size, size, old, difference(job.out, info))


def cache_scene(job: Job, models: Models) -> Generator[Event]:
    """Runs the backbones over a scene and commits its cache, replacing an older one."""
    bridge = _bridge(job, models)
    names, total = [], _count(job, bridge.info)
    yield Progress(0, total)
    reported, placed = time.monotonic(), False
    with CacheWriter(job.out, bridge.info) as writer:
        for name, frame in bridge.frames():
            frame = on_host(frame)
            writer.append(name, frame)
            names.append(name)
            placed = placed or bool(np.any(frame.confidence))
            if time.monotonic() - reported > REPORT_EVERY:
                reported = time.monotonic()
                yield Progress(len(names), total)
        for name, reason in (*bridge.skipped, *_unread(bridge, names)):
            writer.skip(name, reason)
        if names and not placed:
            raise InputError(
                f"{job.source}: not one of {len(names)} frames has a point in space: depth maps"
                " hold millimetres, 0 = not measured; or find geometry with --rfm=cut3r or mini."
            )
    reader = CacheReader(job.out)
    yield Progress(len(names), len(names))
    yield Done(
        frames=len(reader),
        num_bytes=reader.num_bytes,
        num_masks=reader.num_masks,
        skipped=reader.info.skipped,
        seconds={str(stage): spent for stage, spent in bridge.seconds.items()},
    )


class Worker:
    """Holds the backbones of a process, for one scene after the other or for several at once.

    Args:
        config: of the backbones.
        frames: that the models are given at a time; 0 = as suits the device.
        scenes: that will be worked on at once, each in a thread of its own.
    """

    def __init__(self, config: BridgeConfig, frames: int = 0, scenes: int = 1) -> None:
        self._config = config
        self._frames = frames
        self._scenes = scenes
        self._models: Models | None = None

    def load(self) -> Models:
        """The backbones, loaded when first asked for.

        Raises:
            InputError: weights or packages are missing.
        """
        if self._models is None:
            backbones = load_backbones(self._config)
            frames = self._frames or frames_at_once(self._config)
            self._models = Lockstep(backbones, frames, self._scenes) if frames > 1 else backbones
        return self._models

    def close(self) -> None:
        """Ends what runs in the background; no scene may be worked on."""
        if isinstance(self._models, Lockstep):
            self._models.close()

    def begin(self) -> Generator[Event]:
        """Loads the backbones; `Ready`, or `Failed`."""
        try:
            self.load()
            yield Ready()
        except Exception as error:
            yield failure(error)

    def run(self, task: Task, job: Job) -> Generator[Event]:
        """Runs a task; what it raises becomes its last event."""
        try:
            yield from task(job, self.load())
        except Exception as error:
            yield failure(error)


def _bridge(job: Job, models: Models) -> Bridge:
    lockstep = models if isinstance(models, Lockstep) else None
    backbones = models.backbones if isinstance(models, Lockstep) else models
    source = open_source(job.source, stride=job.stride, max_frames=job.max_frames)
    # What is heavy is shared; the folder of masks is the scene's own.
    of_scene = copy.copy(backbones)
    of_scene.config = dataclasses.replace(backbones.config, masks=job.masks)
    with _OPENING:
        return Bridge(source, of_scene, lockstep)


def _count(job: Job, info: SceneInfo) -> int:
    """Frames to come; a camera's have no names beforehand."""
    return len(info.frame_names) or job.max_frames


def _unread(bridge: Bridge, names: list[str]) -> list[tuple[str, str]]:
    """Frames that the source announced and never gave: a video's index may hold too many."""
    known = {*names, *(name for name, _ in bridge.skipped)}
    unread = (name for name in bridge.info.frame_names if name not in known)
    return [(name, "the recording ends before it") for name in unread]
