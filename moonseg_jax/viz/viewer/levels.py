"""A cloud in levels of detail: each an even part of it, larger than all before."""

from dataclasses import dataclass, replace

import numpy as np

from moonseg_jax.viz.viewer.scene import ShownScene, View

_FIRST, _TIMES = 10_000, 10  # Points of the first level; what each further one multiplies them by.
_PIECE = 100_000  # Points that are sent together, at most.
_ARRAYS = ("points", "colors", "instance", "first_seen")


@dataclass(frozen=True)
class Piece:
    """Points of one level that came into view about the same time.

    Attributes:
        scene: with these points only, in the order in which they were seen.
        instances: ids they belong to.
    """

    scene: ShownScene
    instances: np.ndarray

    def look(self, view: View) -> tuple[object, ...]:
        """All of a view that these points depend on: as long as it stays, so do they."""
        seen = int(np.searchsorted(self.scene.first_seen, view.frame, side="right"))
        known = self.scene.first_frame[self.instances - 1] <= view.frame
        return seen, view.cut, view.color_by, view.selected, known.tobytes()


class Levels:
    """Cuts a scene's cloud into levels, each when it is asked for.

    A point's level is drawn by lot, so that the first levels are an even part of the cloud.

    Args:
        scene: of ``n`` points.

    Attributes:
        shares: of the cloud that the first level is, the first two are, ..., all are: 1.
    """

    def __init__(self, scene: ShownScene):
        self._scene = scene
        total = len(scene.points)
        self.shares, size = [], _FIRST
        while 2 * size <= total:
            self.shares.append(size / total)
            size *= _TIMES
        self.shares.append(1.0)
        self._lots = np.random.default_rng(0).random(total, np.float32)
        self._pieces: dict[int, list[Piece]] = {}

    def pieces(self, level: int) -> list[Piece]:
        """The points of a level, the first to be seen first."""
        if level not in self._pieces:
            low = self.shares[level - 1] if level else 0.0
            own = np.flatnonzero((self._lots >= low) & (self._lots < self.shares[level]))
            own = own[np.argsort(self._scene.first_seen[own], kind="stable")]
            parts = np.array_split(own, -(-len(own) // _PIECE)) if len(own) else []
            self._pieces[level] = [self._piece(part) for part in parts]
        return self._pieces[level]

    def _piece(self, part: np.ndarray) -> Piece:
        scene = replace(self._scene, **{name: getattr(self._scene, name)[part] for name in _ARRAYS})
        ids = np.unique(scene.instance)
        return Piece(scene, ids[ids > 0])
