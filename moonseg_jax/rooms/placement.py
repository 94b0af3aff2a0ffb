"""Where things may stand: a floor plan that refuses overlaps and full capacities."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from moonseg_jax.rooms.parts import Item, Support, about_z, moved

Builder = Callable[[np.random.Generator], Item]

_ATTEMPTS = 12


@dataclass(frozen=True)
class Placed:
    """An item in the room: its own description, where it stands, and its instance id."""

    item: Item
    at: np.ndarray
    yaw: float
    instance: int


class FloorPlan:
    """The room while it is being furnished.

    Walls are numbered so that an item turned by ``wall · 90°`` has its back to it: 0 is -y, 1 is
    +x, 2 is +y, 3 is -x.
    """

    def __init__(
        self, size: np.ndarray, capacity: tuple[int, int, int], rng: np.random.Generator
    ) -> None:
        self.size, self.rng = size, rng
        self.placed: list[Placed] = []
        self.count = 0
        self._capacity = capacity
        self._used = np.zeros(3, int)
        self._footprints: list[np.ndarray] = []  # [4 2] corners of what stands on the floor.
        self._on_wall: list[tuple[int, np.ndarray]] = []  # wall, (along, z) box [2 2].
        self._on_support: dict[tuple[int, int], list[np.ndarray]] = {}

    def against_wall(self, build: Builder, gap: float = 0.03) -> Placed | None:
        """Back to a wall, somewhere along it."""
        item = build(self.rng)
        for _ in range(_ATTEMPTS):
            wall = int(self.rng.integers(4))
            room = self._wall_length(wall) / 2 - item.size[0] / 2 - 0.02
            if room < 0:
                continue
            along = self.rng.uniform(-room, room)
            placed = self._stand(item, *self._at_wall(wall, along, item.size[1] / 2 + gap))
            if placed:
                return placed
        return None

    def in_the_open(self, build: Builder, margin: float = 0.5) -> Placed | None:
        """Anywhere at least ``margin`` from the walls, turned at will."""
        item = build(self.rng)
        for _ in range(_ATTEMPTS):
            reach = self.size[:2] / 2 - margin - max(item.size[:2]) / 2
            if np.any(reach < 0):
                return None
            at = self.rng.uniform(-reach, reach)
            yaw = self.rng.integers(4) * np.pi / 2 + self.rng.normal(0, 0.15)
            placed = self._stand(item, at, yaw)
            if placed:
                return placed
        return None

    def beside(
        self,
        anchor: Placed,
        item: Item,
        offset: tuple[float, float],
        turn: float,
        tuck: bool = False,
    ) -> Placed | None:
        """At ``offset`` in the anchor's frame, turned by ``turn``; ``tuck`` may overlap it."""
        at = anchor.at[:2] + about_z(anchor.yaw)[:2, :2] @ np.array(offset)
        own = self._corners(anchor.item, anchor.at[:2], anchor.yaw) if tuck else None
        return self._stand(item, at, anchor.yaw + turn, own)

    def on_floor(self, item: Item, at: np.ndarray, yaw: float) -> Placed | None:
        """Flat on the floor, under everything: rugs."""
        return self._add(item, np.array([*at, 0.0]), yaw)

    def on_support(self, build: Builder, hosts: list[Placed]) -> Placed | None:
        """On some free spot of some surface of the hosts."""
        item = build(self.rng)
        for _ in range(_ATTEMPTS):
            host = hosts[self.rng.integers(len(hosts))]
            index = int(self.rng.integers(len(host.item.supports)))
            placed = self._rest(item, host, index, host.item.supports[index])
            if placed:
                return placed
        return None

    def on_wall(
        self, build: Builder, bottom: tuple[float, float], part_of_room: bool = False
    ) -> Placed | None:
        """Flat on a wall with its lower edge at some height, in front of nothing."""
        item = build(self.rng)
        w, _, h = item.size
        for _ in range(_ATTEMPTS):
            wall, low = int(self.rng.integers(4)), self.rng.uniform(*bottom)
            room = self._wall_length(wall) / 2 - w / 2 - 0.1
            if room < 0 or low + h > self.size[2] - 0.1:
                continue
            along = self.rng.uniform(-room, room)
            rectangle = np.array([[along - w / 2, low], [along + w / 2, low + h]])
            at, yaw = self._at_wall(wall, along, 0.0)
            if self._wall_is_free(wall, rectangle, at, yaw, item):
                placed = self._add(item, np.array([*at, low]), yaw, part_of_room)
                if placed:
                    self._on_wall.append((wall, rectangle))
                    if low < 0.1:  # Keep the way to a door free.
                        front = self._at_wall(wall, along, 0.35)[0]
                        self._footprints.append(self._corners_of((w, 0.7), front, yaw))
                return placed
        return None

    def covered(self) -> float:
        """Share of the floor that is taken."""
        areas = [np.prod(np.linalg.norm(c[1:3] - c[:2], axis=1)) for c in self._footprints]
        return float(np.sum(areas) / np.prod(self.size[:2]))

    def _wall_length(self, wall: int) -> float:
        return float(self.size[wall % 2])

    def _at_wall(self, wall: int, along: float, offset: float) -> tuple[np.ndarray, float]:
        yaw = wall * np.pi / 2
        local = np.array([along, offset - self.size[1 - wall % 2] / 2])
        return about_z(yaw)[:2, :2] @ local, yaw

    def _stand(
        self, item: Item, at: np.ndarray, yaw: float, ignored: np.ndarray | None = None
    ) -> Placed | None:
        corners = self._corners(item, at, yaw)
        if np.any(np.abs(corners) > self.size[:2] / 2 - 0.005):
            return None
        for other in self._footprints:
            if ignored is not None and np.allclose(other, ignored):
                continue
            if _overlap(corners, other):
                return None
        placed = self._add(item, np.array([*at, 0.0]), yaw)
        if placed:
            self._footprints.append(corners)
        return placed

    def _rest(self, item: Item, host: Placed, index: int, support: Support) -> Placed | None:
        turned = min(item.size[:2]) > 2 * support.half[1] * 0.6 or support.clearance < 0.6
        turn = self.rng.normal(0, 0.1) if turned else self.rng.uniform(-np.pi, np.pi)
        c, s = abs(np.cos(turn)), abs(np.sin(turn))
        half = (
            np.array([c * item.size[0] + s * item.size[1], s * item.size[0] + c * item.size[1]]) / 2
        )
        reach = np.array(support.half) - half
        if item.size[2] > support.clearance - 0.02 or np.any(reach < 0):
            return None
        local = self.rng.uniform(-reach, reach)
        taken = self._on_support.setdefault((id(host), index), [])
        rectangle = np.stack([local - half - 0.01, local + half + 0.01])
        if any(_rectangles_overlap(rectangle, other) for other in taken):
            return None
        at = host.at + about_z(host.yaw) @ (support.centre + np.append(local, 0.0))
        placed = self._add(item, at, host.yaw + turn)
        if placed:
            taken.append(rectangle)
        return placed

    def _wall_is_free(
        self, wall: int, rectangle: np.ndarray, at: np.ndarray, yaw: float, item: Item
    ) -> bool:
        for other_wall, other in self._on_wall:
            if other_wall == wall and _rectangles_overlap(rectangle, other, 0.08):
                return False
        strip = self._corners_of((item.size[0], 0.3), at, yaw)
        for placed in self.placed:
            high = placed.at[2] + placed.item.size[2]
            if high < rectangle[0, 1] or placed.item.size[2] < 0.05:
                continue
            if _overlap(strip, self._corners(placed.item, placed.at[:2], placed.yaw)):
                return False
        return True

    def _corners(self, item: Item, at: np.ndarray, yaw: float) -> np.ndarray:
        return self._corners_of(item.size[:2], at, yaw)

    @staticmethod
    def _corners_of(size: tuple[float, float], at: np.ndarray, yaw: float) -> np.ndarray:
        signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        return signs * np.array(size) / 2 @ about_z(yaw)[:2, :2].T + at

    def _add(
        self, item: Item, at: np.ndarray, yaw: float, part_of_room: bool = False
    ) -> Placed | None:
        need = np.bincount([part.kind for part in item.parts], minlength=3)
        if np.any(self._used + need > self._capacity):
            return None
        self._used += need
        self.count += not part_of_room
        instance = 0 if part_of_room else self.count
        placed = Placed(moved(item, at, yaw), at, yaw, instance)
        self.placed.append(placed)
        return placed


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two rectangles ``[4 2]`` overlap, by separating axes."""
    for corners in (a, b):
        for axis in (corners[1] - corners[0], corners[3] - corners[0]):
            pa, pb = a @ axis, b @ axis
            if pa.max() <= pb.min() or pb.max() <= pa.min():
                return False
    return True


def _rectangles_overlap(a: np.ndarray, b: np.ndarray, margin: float = 0.0) -> bool:
    """Whether two axis-aligned rectangles ``[2 2]`` come closer than ``margin``."""
    return bool(np.all(a[0] - margin < b[1]) and np.all(b[0] - margin < a[1]))
