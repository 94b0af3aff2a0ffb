"""Greedy merging of adjacent regions, cheapest pair first."""

import heapq

import numpy as np

from bridges.backbones.region_borders import Borders

# Shading changes lightness more than it changes colour.
LAB_WEIGHT = np.array([0.5, 1.0, 1.0], np.float32)


def merge_regions(
    labels: np.ndarray, lab: np.ndarray, borders: Borders, color_scale: float, min_width: float
) -> tuple[np.ndarray, np.ndarray]:
    """Merges adjacent regions while the cost of a pair is below 1.

    The cost is the Lab distance of the mean colours over ``color_scale`` plus the mean cost
    along the border; a merged region's are computed anew.

    Args:
        labels: ``[H W]`` int, 0..n-1.
        lab: ``[H W 3]``.
        borders: of ``labels``.
        color_scale: Lab distance that keeps two regions apart on its own.
        min_width: pixels; what is thinner after merging is the blur of an edge rather than a
            thing, and joins its cheapest neighbour.

    Returns:
        ``[H W]`` int, 0..m-1, and ``[m]``: mean cost of a region's remaining borders, how well
        it stands out (at least 1; 0 where it is the whole image).
    """
    graph = _RegionGraph(labels, lab * (LAB_WEIGHT / color_scale), borders)
    graph.merge_below(1.0)
    graph.absorb_thin(min_width)
    roots, compact = np.unique(graph.parent, return_inverse=True)
    return compact[labels], np.array([graph.mean_cost(int(root)) for root in roots])


class _RegionGraph:
    """Regions with size and mean colour; borders as ``neighbours[a][b] = (length, cost)``."""

    def __init__(self, labels: np.ndarray, color: np.ndarray, borders: Borders) -> None:
        flat = labels.ravel()
        self.size = np.bincount(flat)
        sums = [np.bincount(flat, color[..., c].ravel()) for c in range(color.shape[-1])]
        self.color = np.stack(sums, axis=-1) / self.size[:, None]
        self.parent = np.arange(len(self.size))
        # Heap entries name the versions they were computed for; older ones are passed over.
        self.version = [0] * len(self.size)
        self.neighbours: list[dict[int, np.ndarray]] = [{} for _ in self.size]
        values = np.stack([borders.length, borders.cost], axis=-1)
        for (a, b), value in zip(borders.pairs.tolist(), values, strict=True):
            self.neighbours[a][b] = self.neighbours[b][a] = value

    def cost(self, a: int, b: int) -> float:
        length, cost = self.neighbours[a][b]
        return float(np.linalg.norm(self.color[a] - self.color[b]) + cost / length)

    def mean_cost(self, a: int) -> float:
        """Mean of the costs of a region's borders, by their length."""
        total = sum(value[0] for value in self.neighbours[a].values())
        costs = (self.cost(a, b) * value[0] for b, value in self.neighbours[a].items())
        return sum(costs) / total if total else 0.0

    def merge_below(self, limit: float) -> None:
        heap = [
            self._entry(a, b) for a in range(len(self.size)) for b in self.neighbours[a] if a < b
        ]
        heapq.heapify(heap)
        while heap and heap[0][0] < limit:
            _, a, b, version_a, version_b = heapq.heappop(heap)
            if (self.version[a], self.version[b]) != (version_a, version_b):
                continue
            self._merge(a, b)
            for other in self.neighbours[a]:
                heapq.heappush(heap, self._entry(min(a, other), max(a, other)))

    def absorb_thin(self, min_width: float) -> None:
        """Merges regions of a mean width (twice the area over the border) below ``min_width``."""
        for a in np.argsort(self.size, kind="stable").tolist():
            around = self.neighbours[a]
            border = sum(value[0] for value in around.values())
            if around and 2 * self.size[a] < min_width * border:
                self._merge(min(around, key=lambda b: self.cost(a, b)), a)

    def _entry(self, a: int, b: int) -> tuple[float, int, int, int, int]:
        return self.cost(a, b), a, b, self.version[a], self.version[b]

    def _merge(self, a: int, b: int) -> None:
        """Makes region b part of region a."""
        size = self.size[a] + self.size[b]
        share = self.size[b] / size
        self.color[a] += share * (self.color[b] - self.color[a])
        self.size[a] = size
        self.parent[self.parent == b] = a
        self.version[a] += 1
        self.version[b] = -1
        for other, value in self.neighbours[b].items():
            del self.neighbours[other][b]
            if other != a:
                joined = self.neighbours[a].get(other, 0.0) + value
                self.neighbours[a][other] = self.neighbours[other][a] = joined
        self.neighbours[b] = {}
