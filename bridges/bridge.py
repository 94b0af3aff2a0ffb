"""A recording in, frames out: runs geometry, semantics and masks on every frame of a source."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from bridges.backbones.interfaces import MASK_STRIDE, POINT_STRIDE, Made
from bridges.config import BridgeConfig
from bridges.loading import Backbones, load_backbones
from bridges.lockstep import Lockstep
from bridges.ordered import in_order
from bridges.preprocess import PATCH
from bridges.sources import Source, scene_name
from bridges.stage_times import StageTimes, timed
from bridges.together import STAGES, Item, run_together
from moonseg_jax import __version__
from moonseg_jax.structs import Backbone, Frame, SceneInfo, SourceFrame

__all__ = ["Bridge", "BridgeConfig", "load_backbones"]

THREADS = 2
AHEAD = 8  # Frames of a recording that threads have begun; of a live source, none.


class Bridge:
    """Runs the frozen backbones over one source.

    What may run in threads does, ahead of what must see the frames in order.

    Args:
        source: what to read.
        backbones: as `load_backbones` gives them.
        lockstep: batches the frames of a recording, and of other scenes that run beside it; None
            takes frame by frame, as a live source always does.

    Attributes:
        info: describes the scene; ``frame_names`` and ``skipped`` are those of the source.

    Raises:
        InputError: a source that lacks what a backbone needs; and while iterating, whatever is
            wrong with a frame.
    """

    def __init__(
        self, source: Source, backbones: Backbones, lockstep: Lockstep | None = None
    ) -> None:
        self.source = source
        self.transform = backbones.transform(source)
        self._lockstep = lockstep
        self._take_device = backbones.take_device
        self._align = backbones.config.aligns
        self._stages: dict[str, Any] = {
            "geometry": backbones.geometry(source, self.transform),
            "semantics": backbones.semantics,
            "masks": backbones.masks(source, self.transform),
        }
        self._times = StageTimes(("wait", "image", *STAGES, *(["align"] if self._align else [])))
        self.info = self._describe()

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """``(name, reason)`` of each source frame left out."""
        return self.source.skipped

    @property
    def seconds(self) -> dict[str, float]:
        """Time spent in each stage so far, of all threads together.

        ``wait`` is for frames to be read and prepared. A batch counts in equal shares.
        """
        return self._times.seconds

    def frames(self) -> Iterator[tuple[str, Frame]]:
        """Yields ``(name, frame)`` in order.

        Arrays are NumPy's, or tensors on the device of the backbone that made them; in lockstep,
        on the host.
        """
        with closing(self._told()) as frames:
            yield from self._aligned(frames) if self._align else frames

    def _aligned(self, frames: Iterator[tuple[str, Frame]]) -> Iterator[tuple[str, Frame]]:
        from bridges.backbones.direct_alignment import DirectAlignment

        align = DirectAlignment()
        for name, frame in frames:
            with timed("align", [self._times]):
                frame = align(frame)
            yield name, frame

    def _told(self) -> Generator[tuple[str, Frame]]:
        self._take_device()  # Of the thread that runs this.
        live = not self.source.names
        with closing(self._items(1 if live else AHEAD)) as items:
            if self._lockstep is not None and not live:
                yield from self._lockstep.run(items)
                return
            for item in items:
                (finish,) = run_together([item])
                yield finish()

    def _items(self, ahead: int) -> Generator[Item]:
        """Frames with what threads can tell of them."""
        with closing(in_order(self._tasks(), THREADS, ahead)) as prepared:
            while True:
                with timed("wait", [self._times]):
                    item = next(prepared, None)
                if item is None:
                    return
                yield item

    def _tasks(self) -> Iterator[partial[Item]]:
        for index, frame in enumerate(self.source):
            if index == 0:
                self._stages["geometry"].begin(frame)
            yield partial(self._prepare, frame)

    def _prepare(self, source: SourceFrame) -> Item:
        with timed("image", [self._times]):
            image = self.transform.image(source.image)
        told = {}
        for name, stage in self._stages.items():
            if stage.threaded:
                with timed(name, [self._times]):
                    told[name] = stage(image) if name == "semantics" else stage(source, image)
        return Item(source, image, told, self._stages, self._times)

    def _describe(self) -> SceneInfo:
        geometry, semantics, masks = (self._stages[stage] for stage in STAGES)
        return SceneInfo(
            scene=scene_name(self.source.path),
            image_size=self.transform.image_size,
            patch=PATCH,
            point_stride=POINT_STRIDE,
            mask_stride=MASK_STRIDE,
            units=geometry.units,
            poses=geometry.poses,
            stride=self.source.stride,
            geometry=self._corrected(_backbone(geometry, geometry.channels)),
            semantics=_backbone(semantics, semantics.channels),
            masks=_backbone(masks, 0),
            image_transform=self.transform.affine,
            state_tokens=geometry.state_tokens,
            frame_names=self.source.names,
            source=f"{self.source.kind}: {self.source.path}",
            skipped=tuple(self.source.skipped),
        )

    def _corrected(self, told: Backbone) -> Backbone:
        """Says it where poses are corrected, and only there: caches without it go on."""
        return replace(told, config={**told.config, "poses": "aligned"}) if self._align else told


def _backbone(made_by: Made, channels: int) -> Backbone:
    return Backbone(
        made_by.name, channels, made_by.config, made_by.weights_sha256, code_version=__version__
    )
