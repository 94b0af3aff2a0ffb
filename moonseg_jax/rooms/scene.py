"""A room as fixed-size arrays: what the ray caster reads, batchable over rooms by `vmap`."""

from dataclasses import dataclass

import jax
import numpy as np
from flax import struct

BOX, FRUSTUM, ELLIPSOID = range(3)
"""Kinds of primitives, in the order in which their slots follow each other in `Primitives`."""

PLAIN, CHECKER, STRIPES, SPECKLE, WOOD, PLANKS, TILES, PAINTING = range(8)
"""Patterns of `Materials`."""


@dataclass(frozen=True)
class RoomConfig:
    """What rooms are sampled from; rooms of one config can be stacked and rendered by one program.

    Attributes:
        width: least and greatest side of the floor, metres.
        height: least and greatest height, metres.
        instances: least and greatest number of object instances.
        capacity: slots for boxes, frustums and ellipsoids, multiples of 32.
    """

    width: tuple[float, float] = (4.0, 8.0)
    height: tuple[float, float] = (2.4, 3.0)
    instances: tuple[int, int] = (8, 25)
    capacity: tuple[int, int, int] = (128, 64, 64)


@struct.dataclass
class Primitives:
    """Affine images of three unit solids, slots ordered by kind, unused slots last in each kind.

    The solids are the cube |x|,|y|,|z| <= 1, the frustum |z| <= 1 whose radius goes linearly from
    ``taper[0]`` at z = -1 to ``taper[1]`` at z = +1, and the unit ball.

    Attributes:
        centre: ``[n 3]`` in the world frame, metres.
        half: ``[n 3]`` half extents along the local axes, metres.
        rotation: ``[n 3 3]`` world from local.
        taper: ``[n 2]``, the greater of the two is 1.
        instance: ``[n]`` int32 id, 0 for the room's own parts (windows, doors).
        used: ``[3]`` int32, slots in use of each kind.
        capacity: slots of each kind; static.
    """

    centre: jax.Array
    half: jax.Array
    rotation: jax.Array
    taper: jax.Array
    instance: jax.Array
    used: jax.Array
    capacity: tuple[int, int, int] = struct.field(pytree_node=False)

    def kinds(self) -> tuple[tuple[int, slice], ...]:
        """Each kind with the slice of its slots."""
        ends = np.cumsum(self.capacity)
        starts = ends - np.array(self.capacity)
        return tuple((kind, slice(int(starts[kind]), int(ends[kind]))) for kind in range(3))


@struct.dataclass
class Materials:
    """Procedural 3D textures in local coordinates, one a primitive and one a face of the room.

    Attributes:
        pattern: ``[m]`` int32.
        color_a: ``[m 3]`` linear albedo, one of the two colours that a pattern mixes.
        color_b: ``[m 3]``, the other.
        frequency: ``[m 3]`` pattern cells per metre along each local axis.
        grain: ``[m 3]`` noise cells per pattern cell along each axis.
        emission: ``[m]`` radiance of ``color_a``; > 0 for window panes and lamp shades.
        gloss: ``[m]`` strength of the highlight.
    """

    pattern: jax.Array
    color_a: jax.Array
    color_b: jax.Array
    frequency: jax.Array
    grain: jax.Array
    emission: jax.Array
    gloss: jax.Array


@struct.dataclass
class Lighting:
    """Area lights, ambient light and the camera's response.

    Attributes:
        position: ``[l 3]`` centres of the lights, world frame.
        extent: ``[l 3]`` half extents of the lights, metres.
        color: ``[l 3]`` radiant intensity; falls with the distance.
        ambient_up: ``[3]`` ambient irradiance on surfaces that face up.
        ambient_down: ``[3]``, on those that face down.
        white_balance: ``[3]`` gains of the camera's channels, exposure included.
        noise: ``[]`` standard deviation of the sensor noise at mid grey, in 0..1.
    """

    position: jax.Array
    extent: jax.Array
    color: jax.Array
    ambient_up: jax.Array
    ambient_down: jax.Array
    white_balance: jax.Array
    noise: jax.Array


@struct.dataclass
class Room:
    """A furnished room: x, y along the walls, z up, origin in the middle of the floor.

    Attributes:
        size: ``[3]`` extents, metres.
        primitives: the parts of the objects.
        materials: of every primitive slot, then of the six faces (-x, +x, -y, +y, floor, ceiling).
        lighting: lights and camera response.
        count: ``[]`` int32, instances have ids 1..count.
    """

    size: jax.Array
    primitives: Primitives
    materials: Materials
    lighting: Lighting
    count: jax.Array


@struct.dataclass
class RenderedFrame:
    """What the camera sees.

    Attributes:
        image: ``[H W 3]`` uint8, sRGB.
        depth: ``[H W]`` float32 along z, metres; exact.
        instance: ``[H W]`` int32, 0 = walls, floor, ceiling, windows and doors.
    """

    image: jax.Array
    depth: jax.Array
    instance: jax.Array
