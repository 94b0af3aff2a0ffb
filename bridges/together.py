"""Frames through the models as one batch, and what was told of each put together."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridges.backbones.interfaces import POINT_STRIDE, Geometry, Masks
from bridges.stage_times import StageTimes, cuda, timed
from moonseg_jax.structs import Frame, SourceFrame, pack_masks

STAGES = ("geometry", "semantics", "masks")

Finish = Callable[[], tuple[str, Frame]]


@dataclass(frozen=True)
class Item:
    """A frame on its way.

    Attributes:
        source: as it was read.
        image: the processed one, ``[H W 3]`` uint8.
        told: by stage, what threads have found already.
        stages: by name, those of the frame's scene.
        times: of the frame's scene.
    """

    source: SourceFrame
    image: np.ndarray
    told: dict[str, Any]
    stages: dict[str, Any]
    times: StageTimes


def run_together(
    items: Sequence[Item], room: tuple[int, int] = (1, 1), to_host: bool = False
) -> list[Finish]:
    """Runs the stages that are left as one batch.

    Args:
        items: images of one size, of scenes of the same models.
        room: the most images, and the most scenes, that will ever come at once.
        to_host: whether what lies on a GPU is fetched, while the next batch is computed.

    Returns:
        What makes each frame of what was told, in whichever thread has time for it.
    """
    left = [stage for stage in STAGES if stage not in items[0].told]
    images = np.stack([item.image for item in items]) if left else None
    pixels = _pinned(images)
    for stage in left:
        ours = [item.stages[stage] for item in items]
        with timed(stage, [item.times for item in items], on_gpu=True):
            if stage == "geometry":
                results = ours[0].batch(ours, pixels, room)
            else:
                results = ours[0].batch(images if stage == "masks" else pixels)
            for item, result in zip(items, results, strict=True):
                item.told[stage] = result
    fetched = _start_to_fetch(items) if to_host else None
    return [_finisher(item, fetched) for item in items]


def _pinned(images: np.ndarray | None) -> Any:
    """In memory that a GPU copies from without anybody waiting; as they are where there is none."""
    if images is None or cuda() is None:
        return images
    import torch

    return torch.from_numpy(images).pin_memory()


def _start_to_fetch(items: Sequence[Item]) -> Any:
    """Replaces tensors on a GPU by ones on the host; what is returned tells when they are there."""
    device = cuda()
    if device is None:
        return None
    for item in items:
        geometry = item.told["geometry"]
        values = {f.name: getattr(geometry, f.name) for f in dataclasses.fields(geometry)}
        fetched = {name: _fetch(value) for name, value in values.items()}
        item.told["geometry"] = Geometry(**fetched)
        item.told["semantics"] = _fetch(item.told["semantics"])
    # Who waits for it sleeps: the threads of many scenes, spinning, would take the cores away.
    event = device.Event(blocking=True)
    event.record()
    return event


def _fetch(x: Any) -> Any:
    if not getattr(x, "is_cuda", False):
        return x
    import torch

    return torch.empty(x.shape, dtype=x.dtype, pin_memory=True).copy_(x, non_blocking=True)


def _finisher(item: Item, fetched: Any) -> Finish:
    def finish() -> tuple[str, Frame]:
        if fetched is not None:
            fetched.synchronize()
        return item.source.name, _assemble(item.source, item.image, **item.told)

    return finish


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


def _pad(masks: Masks, capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """``mask_valid`` and ``mask_scores`` of bit planes with room for ``capacity`` masks."""
    scores = np.zeros(capacity, np.float32)
    scores[: len(masks.scores)] = masks.scores
    return np.arange(capacity) < len(masks.scores), scores
