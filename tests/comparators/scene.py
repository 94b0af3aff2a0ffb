"""A small room of tiles seen by a turning camera, with masks that split and merge tiles."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from comparators.views import View, make_view
from moonseg_jax.cache import CacheWriter
from moonseg_jax.structs import Frame, SceneInfo, pack_masks
from tests.reference.box_room import BoxRoom

TURN = np.eye(4)
TURN[:3, :3] = Rotation.from_rotvec([0.4, -0.5, 0.6]).as_matrix()


class TiledRoom:
    """Reads like a cache: walls of 30 cm tiles. ``spoil``: masks split, merge and go missing."""

    def __init__(self, frames: int = 24, spoil: bool = True):
        self._room = BoxRoom(
            size=(1.5, 1.2, 0.9), tile=0.3, image_size=(96, 128), state_tokens=0, max_masks=64,
            noise=0.4,
        )  # fmt: skip
        self._frames, self._spoil = frames, spoil

    @property
    def info(self) -> SceneInfo:
        names = tuple(f"{i:06d}" for i in range(self._frames))
        return dataclasses.replace(self._room.info, frame_names=names)

    def frames(self) -> Iterator[Frame]:
        for i in range(self._frames):
            frame = turned(self._room.frame(i))
            yield spoiled(frame, np.random.default_rng(1000 + i)) if self._spoil else frame

    def views(self) -> Iterator[View]:
        for i, frame in enumerate(self.frames()):
            yield make_view(i, frame, self.info)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """A cache of it, and the ground truth: the points of every tile."""
        with CacheWriter(folder / "cache", self._room.info) as writer:
            for name, frame in zip(self.info.frame_names, self.frames(), strict=True):
                writer.append(name, frame)
        seen = [self._room._cast(i, self._room.mask_stride) for i in range(self._frames)]
        points, tiles = (np.concatenate([x.reshape(-1, *x.shape[2:]) for x in part])
                         for part in zip(*seen, strict=True))  # fmt: skip
        np.savez(
            folder / "gt.npz",
            points=(points @ TURN[:3, :3].T).astype(np.float32),
            instance=np.unique(tiles, return_inverse=True)[1].astype(np.int32) + 1,
        )
        return folder / "cache", folder / "gt.npz"


def turned(frame: Frame) -> Frame:
    """The room out of line with the axes, as real ones are."""
    points = (frame.points @ TURN[:3, :3].T).astype(np.float32)
    pose = (TURN @ frame.T_world_from_cam).astype(np.float32)
    return dataclasses.replace(frame, points=points, T_world_from_cam=pose)


def spoiled(frame: Frame, rng: np.random.Generator) -> Frame:
    """Splits some masks in two, merges some with the next, drops a few."""
    bits = np.unpackbits(np.ascontiguousarray(frame.masks).view(np.uint8), -1, bitorder="little")
    masks = [m.astype(bool) for m in np.moveaxis(bits, -1, 0)[np.asarray(frame.mask_valid)]]
    result: list[np.ndarray] = []
    for mask in masks:
        what = rng.random()
        column = int(np.median(np.nonzero(mask)[1]))
        left = mask & (np.arange(mask.shape[1]) < column)
        if what < 0.1 and result:
            result[-1] = result[-1] | mask
        elif what < 0.3 and left.any():
            result += [left, mask & ~left]
        elif what < 0.9:
            result.append(mask)
    result = result[:64]
    planes = pack_masks(np.stack(result))
    words = frame.masks.shape[-1]
    planes = np.pad(planes, ((0, 0), (0, 0), (0, words - planes.shape[-1])))
    valid = np.arange(words * 32) < len(result)
    scores = np.where(valid, rng.permutation(words * 32) / 64 + 0.1, 0)
    return dataclasses.replace(
        frame, masks=planes, mask_valid=valid, mask_scores=scores.astype(np.float32)
    )
