"""A recording in, frames out: runs geometry, semantics and masks on every frame of a source."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from bridges.backbones.interfaces import MASK_STRIDE, POINT_STRIDE, Made, Masks
from bridges.loading import Backbones, BridgeConfig, load_backbones
from bridges.ordered import in_order
from bridges.preprocess import PATCH
from bridges.sources import Source, scene_name
from moonseg_jax import __version__
from moonseg_jax.structs import Backbone, Frame, SceneInfo, SourceFrame, pack_masks

__all__ = ["Bridge", "BridgeConfig", "load_backbones"]

THREADS = 2
STAGES = ("geometry", "semantics", "masks")


class Bridge:
    """Runs the frozen backbones over one source.

    What may run in threads does, ahead of what must see the frames in order.

    Args:
        source: what to read.
        backbones: as `load_backbones` gives them.

    Attributes:
        info: describes the scene; ``frame_names`` and ``skipped`` are those of the source.
        seconds: time spent in each stage so far, of all threads together.

    Raises:
        InputError: a source that lacks what a backbone needs; and while iterating, whatever is
            wrong with a frame.
    """

    def __init__(self, source: Source, backbones: Backbones) -> None:
        self.source = source
        self.transform = backbones.transform(source)
        self._stages: dict[str, Any] = {
            "geometry": backbones.geometry(source, self.transform),
            "semantics": backbones.semantics,
            "masks": backbones.masks(source, self.transform),
        }
        self.seconds: dict[str, float] = dict.fromkeys(("image", *STAGES), 0.0)
        self.info = self._describe()

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """``(name, reason)`` of each source frame left out."""
        return self.source.skipped

    def frames(self) -> Iterator[tuple[str, Frame]]:
        """Yields ``(name, frame)`` in order.

        Arrays are NumPy's, or tensors on the device of the backbone that made them.
        """
        for source, image, done in in_order(self._tasks(), THREADS, ahead=2 * THREADS):
            for stage in STAGES:
                if stage not in done:
                    done[stage] = self._run(stage, source, image)
            yield source.name, _assemble(source, image, **done)

    def _tasks(self) -> Iterator[partial]:
        for index, frame in enumerate(self.source):
            if index == 0:
                self._stages["geometry"].begin(frame)
            yield partial(self._run_threaded, frame)

    def _run_threaded(self, source: SourceFrame) -> tuple[SourceFrame, np.ndarray, dict[str, Any]]:
        image = self._timed("image", self.transform.image, source.image)
        threaded = [stage for stage in STAGES if self._stages[stage].threaded]
        return source, image, {stage: self._run(stage, source, image) for stage in threaded}

    def _run(self, stage: str, source: SourceFrame, image: np.ndarray) -> Any:
        arguments = (image,) if stage == "semantics" else (source, image)
        return self._timed(stage, self._stages[stage], *arguments)

    def _timed(self, stage: str, function: Callable, *arguments: Any) -> Any:
        start = time.perf_counter()
        result = function(*arguments)
        self.seconds[stage] += time.perf_counter() - start
        return result

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
            geometry=_backbone(geometry, geometry.channels),
            semantics=_backbone(semantics, semantics.channels),
            masks=_backbone(masks, 0),
            image_transform=self.transform.affine,
            state_tokens=geometry.state_tokens,
            frame_names=self.source.names,
            source=f"{self.source.kind}: {self.source.path}",
            skipped=tuple(self.source.skipped),
        )


def _assemble(
    source: SourceFrame, image: np.ndarray, geometry: Any, semantics: Any, masks: Masks
) -> Frame:
    planes = pack_masks(masks.masks)
    valid, scores = _pad(masks, planes.shape[-1] * 32)
    half = POINT_STRIDE // 2
    return Frame(
        features_3d=geometry.features_3d,
        features_2d=semantics,
        points=geometry.points,
        confidence=geometry.confidence,
        colors=np.ascontiguousarray(image[half::POINT_STRIDE, half::POINT_STRIDE]),
        T_world_from_cam=geometry.T_world_from_cam,
        intrinsics=geometry.intrinsics,
        masks=planes,
        mask_valid=valid,
        mask_scores=scores,
        timestamp=np.array(source.timestamp, np.float64),
        state_attention=geometry.state_attention,
    )


def _backbone(made_by: Made, channels: int) -> Backbone:
    return Backbone(
        made_by.name, channels, made_by.config, made_by.weights_sha256, code_version=__version__
    )


def _pad(masks: Masks, capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """``mask_valid`` and ``mask_scores`` of bit planes with room for ``capacity`` masks."""
    scores = np.zeros(capacity, np.float32)
    scores[: len(masks.scores)] = masks.scores
    return np.arange(capacity) < len(masks.scores), scores
