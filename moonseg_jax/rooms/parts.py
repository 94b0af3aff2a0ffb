"""Objects on the host, before they are placed: parts of primitives, and surfaces to put things on.

Local frame of an item: x to its right, y to its front, z up; it stands on z = 0 around the origin.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from moonseg_jax.rooms.appearance import Material
from moonseg_jax.rooms.scene import BOX, ELLIPSOID, FRUSTUM

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Part:
    """One primitive: kind, centre, half extents, rotation (outer from local), taper, material."""

    kind: int
    centre: np.ndarray
    half: np.ndarray
    material: Material
    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    taper: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Support:
    """A horizontal rectangle things can stand on: centre, half sides, free height above."""

    centre: Vector
    half: tuple[float, float]
    clearance: float = 1.0


@dataclass(frozen=True)
class Item:
    """One object instance: parts, size of its bounding box (width, depth, height), supports."""

    name: str
    parts: tuple[Part, ...]
    size: Vector
    supports: tuple[Support, ...] = ()


def box(size: Vector, at: Vector, material: Material, yaw: float = 0.0, tilt: float = 0.0) -> Part:
    """A box of full extents ``size`` whose bottom centre, before turning, is ``at``.

    Args:
        size: extents, metres.
        at: bottom centre.
        material: of all its faces.
        yaw: about z, radians.
        tilt: about its own x axis through its centre, radians; > 0 leans the top backwards.
    """
    half = np.array(size) / 2
    centre = np.array(at) + np.array((0.0, 0.0, half[2]))
    return Part(BOX, centre, half, material, about_z(yaw) @ about_x(tilt))


def frustum(
    bottom: float, top: float, height: float, at: Vector, material: Material, squash: float = 1.0
) -> Part:
    """An upright cone stump of radii ``bottom`` and ``top``; ``squash`` scales its depth."""
    radius = max(bottom, top)
    half = np.array([radius, radius * squash, height / 2])
    centre = np.array(at) + np.array((0.0, 0.0, height / 2))
    return Part(FRUSTUM, centre, half, material, np.eye(3), (bottom / radius, top / radius))


def ellipsoid(size: Vector, at: Vector, material: Material) -> Part:
    """An ellipsoid of full extents ``size`` whose lowest point is ``at``."""
    half = np.array(size) / 2
    return Part(ELLIPSOID, np.array(at) + np.array((0.0, 0.0, half[2])), half, material)


def about_z(angle: float) -> np.ndarray:
    """Rotation about z, ``[3 3]``."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def about_x(angle: float) -> np.ndarray:
    """Rotation about x, ``[3 3]``; moves +z towards -y."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def moved(item: Item, at: np.ndarray, yaw: float) -> Item:
    """The item turned by ``yaw`` about z and shifted by ``at``; supports stay in its own frame."""
    turn = about_z(yaw)
    parts = tuple(
        replace(part, centre=turn @ part.centre + at, rotation=turn @ part.rotation)
        for part in item.parts
    )
    return replace(item, parts=parts)
