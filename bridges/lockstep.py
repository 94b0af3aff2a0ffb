"""Scenes that advance together, so that models see their frames as one batch."""

import contextvars
import threading
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

from bridges.config import BridgeConfig
from bridges.loading import Backbones
from bridges.together import Finish, Item, run_together
from moonseg_jax.structs import Frame

AT_ONCE = 8  # Frames, on a GPU.


def frames_at_once(config: BridgeConfig) -> int:
    """How many frames a GPU is given at a time where nobody says; on a CPU batches gain nothing."""
    if not config.neural or config.device == "cpu":
        return 1
    try:
        import torch
    except ImportError:  # Loading the models says what to install.
        return 1
    return AT_ONCE if torch.cuda.is_available() else 1


class Lockstep:
    """Batches the frames of scenes that run in threads of their own.

    A batch takes a frame of every scene under way, and waits for the slowest; where few are under
    way it takes several frames of each. A scene reads, finishes and stores its frames itself, some
    frames before and after; one that fails just leaves. Scenes of another image size wait.

    Args:
        backbones: what all scenes share; loaded in the calling thread.
        frames: in a batch.
        scenes: the most that will be under way; up to ``frames``.
    """

    def __init__(self, backbones: Backbones, frames: int, scenes: int = 1) -> None:
        self.backbones = backbones
        self._frames = frames
        self._room = (frames, scenes)
        self._changed = threading.Condition()
        self._under_way: list[_Scene] = []
        self._closed = False
        # PyTorch's compiler keeps its settings by context, which a thread does not inherit.
        serve = partial(contextvars.copy_context().run, self._serve)
        self._thread = threading.Thread(target=serve, name="lockstep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends; no scene may be under way."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def run(self, items: Iterable[Item]) -> Generator[tuple[str, Frame]]:
        """The frames of one scene, in the calling thread; on the host.

        Raises:
            Exception: whatever is wrong with a frame, or with the batch it was in.
        """
        scene, pending = _Scene(), deque()
        try:
            for item in items:
                pending.append(self._submit(scene, item))
                if len(pending) == 2 * self._frames:
                    yield pending.popleft().result()()
            with self._changed:
                scene.ended = True
                self._changed.notify()
            while pending:
                yield pending.popleft().result()()
        finally:
            with self._changed:
                if scene in self._under_way:
                    self._under_way.remove(scene)
                self._changed.notify()

    def _submit(self, scene: "_Scene", item: Item) -> "Future[Finish]":
        future: Future[Finish] = Future()
        with self._changed:
            if scene not in self._under_way:
                scene.size = item.image.shape
                self._under_way.append(scene)
            scene.queue.append((item, future))
            self._changed.notify()
        return future

    def _serve(self) -> None:
        self.backbones.take_device()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._is_complete())
                if self._closed:
                    return
                taken = self._take()
            self._run([item for item, _ in taken], [future for _, future in taken])

    def _run(self, items: Sequence[Item], futures: Sequence["Future[Finish]"]) -> None:
        try:
            results = run_together(items, self._room, to_host=True)
        except Exception as error:  # Raised in the threads of the scenes.
            for future in futures:
                future.set_exception(error)
        else:
            for future, result in zip(futures, results, strict=True):
                future.set_result(result)

    def _group(self) -> tuple[list["_Scene"], int]:
        """Scenes of one image size that have frames or will have, and how many each gives."""
        live = [scene for scene in self._under_way if scene.queue or not scene.ended]
        group = [scene for scene in live if scene.size == live[0].size]
        return group, max(1, self._frames // max(1, len(group)))

    def _is_complete(self) -> bool:
        group, each = self._group()
        return bool(group) and all(s.ended or len(s.queue) >= each for s in group)

    def _take(self) -> list[tuple[Item, "Future[Finish]"]]:
        group, each = self._group()
        return [scene.queue.popleft() for _ in range(each) for scene in group if scene.queue]


@dataclass(eq=False)
class _Scene:
    queue: deque[tuple[Item, "Future[Finish]"]] = field(default_factory=deque)
    size: tuple[int, ...] = ()
    ended: bool = False
