"""A recording in, frames out: runs geometry, semantics and masks on every frame of a source."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from bridges.backbones.classical import ClassicalSemantics
from bridges.backbones.felzenszwalb import FelzenszwalbMasks
from bridges.backbones.masks import MASK_STRIDE, LabelMapFolder, Masks, MaskSource
from bridges.backbones.sensor import POINT_STRIDE, SensorGeometry
from bridges.ordered import in_order
from bridges.preprocess import PATCH, ImageTransform, plan_transform
from bridges.sources import Source
from moonseg_jax import __version__
from moonseg_jax.structs import Backbone, Frame, InputError, SceneInfo, SourceFrame, pack_masks

THREADS = 2


class Bridge:
    """Runs the frozen backbones over a source.

    Args:
        source: what to read.
        rfm: geometry; ``sensor`` is what this version has.
        semantic: ``classical`` is what this version has.
        masks: ``felzenszwalb``, or a folder of label maps.

    Attributes:
        info: describes the scene; ``frame_names`` and ``skipped`` are those of the source.

    Raises:
        InputError: a backbone that is not installed, or a source that lacks what one needs; and
            while iterating, whatever is wrong with a frame.
    """

    def __init__(
        self,
        source: Source,
        rfm: str = "sensor",
        semantic: str = "classical",
        masks: str | Path = "felzenszwalb",
    ) -> None:
        _check_choice("rfm", rfm, here="sensor", later=("cut3r", "mini"))
        _check_choice("semantic", semantic, here="classical", later=("dinov3", "mini"))
        _check_sensor(source)
        self.source = source
        self.transform = plan_transform(source.image_size)
        self._geometry = SensorGeometry(self.transform)
        self._semantics = ClassicalSemantics()
        self._masks = _open_masks(masks, self.transform, source)
        self.info = self._describe()

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """``(name, reason)`` of each source frame left out."""
        return self.source.skipped

    def frames(self) -> Iterator[tuple[str, Frame]]:
        """Yields ``(name, frame)`` in order; frames are worked on in threads."""
        yield from in_order(self._tasks(), THREADS, ahead=2 * THREADS)

    def _tasks(self) -> Iterator[partial[tuple[str, Frame]]]:
        T_world_from_first = None
        for frame in self.source:
            if T_world_from_first is None:
                T_world_from_first = frame.T_world_from_cam
            yield partial(self._run, frame, T_world_from_first)

    def _run(self, source: SourceFrame, T_world_from_first: np.ndarray | None) -> tuple[str, Frame]:
        image = self.transform.image(source.image)
        geometry = self._geometry(source, T_world_from_first)
        masks = self._masks(source, image)
        planes = pack_masks(masks.masks)
        valid, scores = _pad(masks, planes.shape[-1] * 32)
        half = POINT_STRIDE // 2
        frame = Frame(
            features_3d=geometry.features_3d,
            features_2d=self._semantics(image),
            points=geometry.points,
            confidence=geometry.confidence,
            colors=np.ascontiguousarray(image[half::POINT_STRIDE, half::POINT_STRIDE]),
            T_world_from_cam=geometry.T_world_from_cam,
            intrinsics=geometry.intrinsics,
            masks=planes,
            mask_valid=valid,
            mask_scores=scores,
            timestamp=np.array(source.timestamp, np.float64),
        )
        return source.name, frame

    def _describe(self) -> SceneInfo:
        return SceneInfo(
            scene=self.source.path.resolve().stem,
            image_size=self.transform.image_size,
            patch=PATCH,
            point_stride=POINT_STRIDE,
            mask_stride=MASK_STRIDE,
            units="metre",
            poses="sensor",
            stride=self.source.stride,
            geometry=_backbone(self._geometry, self._geometry.channels),
            semantics=_backbone(self._semantics, self._semantics.channels),
            masks=_backbone(self._masks, 0),
            image_transform=self.transform.affine,
            frame_names=self.source.names,
            source=f"{self.source.kind}: {self.source.path}",
            skipped=tuple(self.source.skipped),
        )


def _check_choice(option: str, value: str, here: str, later: tuple[str, ...]) -> None:
    if value != here:
        state = "not installed in this version" if value in later else "unknown"
        raise InputError(f"--{option}={value} is {state}: use --{option}={here}.")


def _check_sensor(source: Source) -> None:
    if source.lacks:
        raise InputError(
            f"{source.path} has no {' and no '.join(source.lacks)}, and --rfm=sensor needs depth,"
            " poses and intrinsics: give a posed RGB-D folder (color/ depth/ pose/"
            " intrinsics.txt) or a 7-Scenes folder."
        )


def _open_masks(masks: str | Path, transform: ImageTransform, source: Source) -> MaskSource:
    if masks == "felzenszwalb":
        return FelzenszwalbMasks(transform)
    if masks in ("fastsam", "sam2"):
        raise InputError(
            f"--masks={masks} is not installed in this version: use --masks=felzenszwalb, or a"
            " folder of label maps made with it."
        )
    return LabelMapFolder(Path(masks).expanduser(), transform, source)


def _backbone(made_by: SensorGeometry | ClassicalSemantics | MaskSource, channels: int) -> Backbone:
    return Backbone(made_by.name, channels, made_by.config, code_version=__version__)


def _pad(masks: Masks, capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """``mask_valid`` and ``mask_scores`` of bit planes with room for ``capacity`` masks."""
    scores = np.zeros(capacity, np.float32)
    scores[: len(masks.scores)] = masks.scores
    return np.arange(capacity) < len(masks.scores), scores
