"""OnlineAnySeg frame by frame: masks in, every few frames a round of merging."""

import numpy as np

from comparators.clouds import density_clusters, voxel_keys
from comparators.onlineanyseg.config import OnlineAnySegConfig
from comparators.onlineanyseg.graph import MaskGraph
from comparators.onlineanyseg.voxels import mask_voxels, without_shared
from comparators.results import LabelledCloud, one_label_each
from comparators.run import add_surface
from comparators.views import View
from moonseg_jax.online.surface import SurfaceVotes


class OnlineAnySeg:
    """The state between frames.

    Attributes:
        graph: the merged masks.
        rounds: merging rounds that merged something.
    """

    def __init__(self, config: OnlineAnySegConfig):
        self.config = config
        self.graph = MaskGraph(config)
        self.rounds = 0
        self._surface = SurfaceVotes(config.voxel)
        self._frame = -1
        self._updated = -1

    @property
    def nbytes(self) -> int:
        """Of the masks, their matrix and the voxel table."""
        return self.graph.nbytes

    def add(self, view: View) -> None:
        """Takes in a frame; every `OnlineAnySegConfig.merge_every` frames masks merge."""
        self._frame = view.index
        add_surface(self._surface, view)
        kept, keys = mask_voxels(view, self.config)
        self.add_masks(view.index, keys, view.semantics[kept], view.geometry[kept])
        if view.index and view.index % self.config.merge_every == 0:
            self.update(view.index)

    def add_masks(
        self, frame: int, keys: list[np.ndarray], semantic: np.ndarray, geometric: np.ndarray
    ) -> None:
        """New masks, as sets of voxel keys that may overlap."""
        voxels = [self.graph.table.numbers(k) for k in keys]
        for v in voxels:
            self.graph.table.see(frame, v)
        voxels = without_shared(voxels)
        kept = [i for i, v in enumerate(voxels) if len(v) > self.config.min_voxels]
        own = [np.sort(voxels[i]) for i in kept]
        self.graph.add(frame, own, semantic[kept], geometric[kept])

    def update(self, frame: int) -> None:
        """One round: merge by similarity or support, let masks absorb others, forget loose ones."""
        self._updated = frame
        if not self.graph.masks:
            return
        if self.graph.merge(frame, self.similar() | self.supported()):
            threshold = self.min_weight()
            self.rounds += 1
            self._absorb(frame, threshold)
        last = np.array([m.changed for m in self.graph.masks])
        loose = (self.graph.weights <= 1) & (frame - last >= self.config.forget_after)
        if loose.any():
            self.graph.remove(np.flatnonzero(loose))

    def similar(self) -> np.ndarray:
        """``[m m]`` bool: enough overlap both ways, and alike in overlap and features together."""
        config, contain = self.config, self.graph.contain
        semantic = cosines(np.stack([m.semantic for m in self.graph.masks]))
        geometric = cosines(np.stack([m.geometric for m in self.graph.masks]))
        overlap = (contain + contain.T) / 2
        score = overlap + stretch(semantic, config.least_semantic) + geometric
        both = (contain > config.merge_overlap) & (config.merge_overlap < contain.T)
        return np.tril((score > config.similarity) & both, -1)

    def supported(self) -> np.ndarray:
        """``[m m]`` bool: enough other masks contain most of both."""
        config, contain = self.config, self.graph.contain
        held = (config.containing < contain.T) & (contain > config.contained)
        held = (held & ~np.eye(len(contain), dtype=bool)).astype(float)
        return np.tril((held * self.graph.weights) @ held.T >= config.supporters, -1)

    def min_weight(self) -> int:
        """2D masks that an instance needs: fewer as long as little was merged."""
        return min(self.rounds + 2, self.config.min_weight)

    def instances(self) -> list[int]:
        """Merged masks of enough weight."""
        return np.flatnonzero(self.graph.weights >= self.min_weight()).tolist()

    def finish(self) -> LabelledCloud:
        """Where the sequence ends between two rounds, one more; then instances on the surface.

        The public code leaves the last frames unmerged, which costs little at its lengths.
        """
        if self._updated < self._frame:
            self.update(self._frame)
        points, colors, _ = self._surface.cloud(np.zeros(0, np.int32))
        # The public code takes each point's lower corner of the grid. That leaves holes, which its
        # evaluation fills from labelled points up to 15 cm away; the nearest corner leaves none.
        keys = voxel_keys(np.round(points.astype(np.float64) / self.config.voxel))
        named = self.graph.table.keys()
        members, views = [], []
        for i in self.instances():
            mask = self.graph.masks[i]
            inside = np.flatnonzero(np.isin(keys, named[mask.voxels]))
            inside = inside[_largest(points[inside], self.config.split_radius)]
            if len(inside) > self.config.min_instance:
                members.append(inside)
                views.append(mask.weight)
        instance = one_label_each(members, len(points))
        return LabelledCloud(points, colors, instance, np.array(views, np.int32), self.config.reach)

    def _absorb(self, frame: int, threshold: int) -> None:
        """Masks of enough weight are swallowed by the one that contains most of them.

        The public code also has a rule with features here; as the pairs that it looks at are those
        that merge anyway, it has no effect.
        """
        for _ in range(self.config.absorb_rounds):
            firm = self.graph.weights >= threshold
            contain = self.graph.contain * firm[:, None] * firm
            np.fill_diagonal(contain, 0)
            contain[contain <= self.config.absorb] = 0
            swallowed = np.flatnonzero(contain.any(axis=0))
            linked = np.zeros(contain.shape, bool)
            linked[contain.argmax(axis=0)[swallowed], swallowed] = True
            if not self.graph.merge(frame, linked):
                return
            threshold = self.min_weight()


def cosines(features: np.ndarray) -> np.ndarray:
    """``[m m]`` of ``[m c]``."""
    features = features / (np.linalg.norm(features, axis=1, keepdims=True) + 1e-7)
    return features @ features.T


def stretch(x: np.ndarray, least: float, rate: float = 0.1) -> np.ndarray:
    """``least``…1 to 0…1, slightly bent: ``(1 - exp(-rate (x - least))) / (1 - exp(...))``."""
    x = np.clip(x, least, 1.0)
    return (1 - np.exp(-rate * (x - least))) / (1 - np.exp(-rate * (1 - least)))


def _largest(points: np.ndarray, radius: float) -> np.ndarray:
    """``[n]`` bool: the largest part that hangs together."""
    clusters = density_clusters(points, radius, min_points=1)
    return clusters == np.argmax(np.bincount(clusters, minlength=1))
