"""What is said about a scene while it is looked at or cached; plain data, for any process."""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from moonseg_jax.cache import DiskFullError
from moonseg_jax.structs import InputError


class Cause(Enum):
    """Why a scene failed."""

    INPUT = "input"
    DISK = "disk"
    CRASH = "crash"
    LOST = "lost"


@dataclass(frozen=True)
class Ready:
    """A worker has loaded its backbones."""


@dataclass(frozen=True)
class Died:
    """A worker is gone, and what it was at is given up."""

    reason: str


@dataclass(frozen=True)
class Progress:
    """So many of a scene's frames are done; a video may turn out to hold fewer."""

    frames: int
    total: int


@dataclass(frozen=True)
class Described:
    """What a scene will take.

    Attributes:
        frames: of the recording, after stride and limit.
        image_size: ``(H, W)`` of the processed images.
        num_bytes: estimate for the disk.
        old_bytes: what a cache that is there already takes.
        difference: what the cache that is there already was made with instead; empty where it
            fits, None where there is none.
    """

    frames: int
    image_size: tuple[int, int]
    num_bytes: int
    old_bytes: int = 0
    difference: str | None = None


@dataclass(frozen=True)
class Done:
    """A scene is cached.

    Attributes:
        frames: number of them.
        num_bytes: on disk.
        num_masks: the most in a frame.
        skipped: ``(name, reason)`` of each frame left out.
        seconds: by stage of the bridge, of all threads together.
    """

    frames: int
    num_bytes: int
    num_masks: int
    skipped: tuple[tuple[str, str], ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """A scene is not cached, and nothing of it is left on the disk.

    Attributes:
        sentence: why, for people.
        cause: what kind of failure.
        details: the traceback of a crash.
    """

    sentence: str
    cause: Cause
    details: str = ""


Result = Described | Done | Failed
Event = Ready | Died | Progress | Result


def failure(error: Exception) -> Failed:
    """An exception that is being handled, as an event that any process understands."""
    if isinstance(error, InputError):
        full = isinstance(error, DiskFullError)
        return Failed(str(error), Cause.DISK if full else Cause.INPUT)
    return Failed(f"{type(error).__name__}: {error}", Cause.CRASH, traceback.format_exc())
