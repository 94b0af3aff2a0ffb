"""The result of a scene: instances, a labelled cloud, and a label map per frame."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import jax
import numpy as np
from ml_collections import ConfigDict

from moonseg_jax.online.state import OnlineState
from moonseg_jax.online.surface import SurfaceVotes, vote_of_neighbours
from moonseg_jax.structs import Frame, FrameResult, InputError

MAX_INSTANCES = 65535  # Label maps are 16-bit PNGs.
NEIGHBOURS = 32  # Voxels whose labels are voted over, about 6 voxels across on a surface.


@dataclass(frozen=True)
class Instance:
    """One object of a scene, on the host.

    Attributes:
        id: 1 and up.
        points: ``[m 3]`` float32, one per voxel, in the world frame.
        box: ``[2 3]`` in the world frame: least corner, greatest corner.
        score: 0..1, as `SegmentedScene.scores`.
        query: ``[d]``, the running mean of its refined queries.
        observations: frames in which it was seen.
        first_frame: in which it was seen, counting from 0.
        last_frame: in which it was seen.
    """

    id: int
    points: np.ndarray
    box: np.ndarray
    score: float
    query: np.ndarray
    observations: int
    first_frame: int
    last_frame: int


@dataclass(frozen=True)
class SegmentedScene:
    """A segmented scene, on the host. Instance ids are 1..n, in the order of their first frame.

    Attributes:
        points: ``[v 3]`` float32, one per voxel, in the world frame.
        colors: ``[v 3]`` uint8.
        instance: ``[v]`` int32 id of each point; 0 = none.
        scores: ``[n]`` float32 in 0..1: the mean score of the 2D masks, times
            ``observations / (observations + 1)``, as what was seen more often is surer.
        queries: ``[n d]``; row i is instance i + 1, here and below.
        tokens: ``[n s]``.
        boxes: ``[n 2 3]`` in the world frame.
        observations: ``[n]`` int32, frames in which it was seen.
        first_frame: ``[n]`` int32, in which it was seen, counting from 0.
        last_frame: ``[n]`` int32, in which it was seen.
        online_ids: ``[n]`` int32, the id each had in ``FrameResult.id_map``, where ids also go to
            what was seen too rarely to stay.
    """

    points: np.ndarray
    colors: np.ndarray
    instance: np.ndarray
    scores: np.ndarray
    queries: np.ndarray
    tokens: np.ndarray
    boxes: np.ndarray
    observations: np.ndarray
    first_frame: np.ndarray
    last_frame: np.ndarray
    online_ids: np.ndarray
    _id_maps: "list[_PackedMap]"
    _label_of_row: np.ndarray

    @property
    def num_instances(self) -> int:
        """``n``."""
        return len(self.scores)

    def instances(self, *, online_ids: bool = False) -> list[Instance]:
        """The instances one by one, in the order of their ids.

        Args:
            online_ids: call them as in ``FrameResult.id_map``, not 1..n.
        """
        ids = self.online_ids if online_ids else np.arange(1, self.num_instances + 1)
        order = np.argsort(self.instance, kind="stable")
        ends = np.cumsum(np.bincount(self.instance, minlength=self.num_instances + 1))
        return [
            Instance(
                id=int(ids[i]),
                points=self.points[order[ends[i] : ends[i + 1]]],
                box=self.boxes[i],
                score=float(self.scores[i]),
                query=self.queries[i],
                observations=int(self.observations[i]),
                first_frame=int(self.first_frame[i]),
                last_frame=int(self.last_frame[i]),
            )
            for i in range(self.num_instances)
        ]

    def label_maps(self) -> Iterator[np.ndarray]:
        """Instance id per pixel of each frame: ``[Hm Wm]`` uint16, 0 = none."""
        label_of_id = np.concatenate([np.zeros(1, np.int32), self._label_of_row])
        for packed in self._id_maps:
            yield label_of_id[packed.unpack()].astype(np.uint16)


class SceneResult:
    """Collects a scene on the host while it is segmented.

    The cloud is bounded by the surface seen. The label maps are kept compressed, some kilobytes a
    frame, since which instances stay is known at the end only.

    Args:
        config: as a whole; read is ``online.min_observations`` (D14).
        voxel: side of the output cloud's voxels in scene units.
        keep_label_maps: without them nothing grows with time, and the scene has none.
    """

    def __init__(self, config: ConfigDict, voxel: float = 0.02, *, keep_label_maps: bool = True):
        self._min_observations = config.online.min_observations
        self._keep_label_maps = keep_label_maps
        self._surface = SurfaceVotes(voxel)
        self._id_maps: list[_PackedMap] = []

    def add(self, frame: Frame, result: FrameResult) -> None:
        """Takes in one frame and what the step said about it."""
        id_map = np.asarray(result.id_map)
        if self._keep_label_maps:
            self._id_maps.append(_PackedMap.pack(id_map))
        points = np.asarray(frame.points)
        trusted = np.isfinite(points).all(axis=-1) & (np.asarray(frame.confidence) > 0)
        rows = _sample(id_map, trusted.shape) - 1
        self._surface.add(points[trusted], np.asarray(frame.colors)[trusted], rows[trusted])

    def finish(self, state: OnlineState) -> SegmentedScene:
        """Filters the instances (D14) and labels everything; more frames may follow.

        Args:
            state: after the last frame.

        Raises:
            InputError: more instances stay than a 16-bit label map can name.
        """
        used = int(state.num_rows)
        bank = jax.tree.map(lambda x: np.asarray(x)[:used], state.bank)
        rows = np.flatnonzero(bank.observations >= self._min_observations)
        if len(rows) > MAX_INSTANCES:
            raise InputError(
                f"{len(rows)} instances do not fit 16-bit label maps: raise "
                f"online.min_observations (now {self._min_observations})"
            )
        label_of_row = np.zeros(used, np.int32)
        label_of_row[rows] = np.arange(1, len(rows) + 1)
        points, colors, voted = self._surface.cloud(label_of_row)
        instance = vote_of_neighbours(points, voted, NEIGHBOURS)
        kept = jax.tree.map(lambda x: x[rows], bank)
        return SegmentedScene(
            points=points,
            colors=colors,
            instance=instance,
            scores=(kept.score_sum / (kept.observations + 1)).astype(np.float32),
            queries=kept.queries,
            tokens=kept.tokens,
            boxes=kept.boxes,
            observations=kept.observations,
            first_frame=kept.first_frame,
            last_frame=kept.last_frame,
            online_ids=(rows + 1).astype(np.int32),
            _id_maps=list(self._id_maps),
            _label_of_row=label_of_row,
        )


@dataclass(frozen=True)
class _PackedMap:
    data: bytes
    shape: tuple[int, ...]

    @classmethod
    def pack(cls, id_map: np.ndarray) -> "_PackedMap":
        return cls(zlib.compress(id_map.astype("<i4").tobytes(), level=1), id_map.shape)

    def unpack(self) -> np.ndarray:
        return np.frombuffer(zlib.decompress(self.data), "<i4").reshape(self.shape)


def _sample(id_map: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """The id under the centre of each cell of a ``size`` grid."""
    row, col = (
        ((np.arange(n) + 0.5) * full / n).astype(int)
        for n, full in zip(size, id_map.shape, strict=True)
    )
    return id_map[row[:, None], col[None]]
