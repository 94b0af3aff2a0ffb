"""From a seed to a room."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from moonseg_jax.rooms import appearance
from moonseg_jax.rooms.appearance import Material
from moonseg_jax.rooms.furnish import furnish
from moonseg_jax.rooms.parts import Part
from moonseg_jax.rooms.placement import FloorPlan, Placed
from moonseg_jax.rooms.scene import BOX, Lighting, Materials, Primitives, Room, RoomConfig

_FAR = 1e3  # Where unused slots are kept.
_PLANS = 5


def sample_room(seed: int, config: RoomConfig | None = None) -> Room:
    """A furnished room; the same for the same seed and config, on every machine.

    Args:
        seed: any integer >= 0.
        config: sizes and capacities; the defaults where None.

    Returns:
        A room with ``config.instances`` objects, within the bounds.
    """
    config = config or RoomConfig()
    rng = np.random.default_rng([seed, 0x52])
    least, most = config.instances
    best = 0
    for _ in range(_PLANS):
        # Small rooms are the most common ones, and larger rooms hold more.
        low, high = config.width
        width, depth = low + (high - low) * rng.beta(1.2, 2.2, 2)
        size = np.array([width, min(depth, 1.6 * width), rng.uniform(*config.height)])
        plan = FloorPlan(size, config.capacity, rng)
        wanted = round(rng.uniform(5, 12) + rng.uniform(0.2, 0.5) * width * depth)
        furnish(plan, int(np.clip(wanted, least, most)))
        best = max(best, plan.count)
        if plan.count >= least:
            return _room(plan, config)
    raise ValueError(f"{config} leaves no room for {least} instances, at best {best}")


def _room(plan: FloorPlan, config: RoomConfig) -> Room:
    slots = _slots(plan.placed, config.capacity)
    shell = _shell(plan.rng)
    parts = [(part, instance) for part, instance in slots if part is not None]
    used = np.bincount([part.kind for part, _ in parts], minlength=3)
    return Room(
        size=_floats(plan.size),
        primitives=_primitives(slots, used, config.capacity),
        materials=_materials([part.material if part else shell[0] for part, _ in slots] + shell),
        lighting=_lighting(plan),
        count=jnp.asarray(plan.count, jnp.int32),
    )


def _slots(placed: list[Placed], capacity: tuple[int, int, int]) -> list[tuple[Part | None, int]]:
    """Parts by kind, each kind filled up to its capacity."""
    slots: list[tuple[Part | None, int]] = []
    for kind, room in enumerate(capacity):
        mine = [(p, thing.instance) for thing in placed for p in thing.item.parts if p.kind == kind]
        slots += mine + [(None, 0)] * (room - len(mine))
    return slots


def _primitives(
    slots: list[tuple[Part | None, int]], used: np.ndarray, capacity: tuple[int, int, int]
) -> Primitives:
    empty = Part(BOX, np.full(3, _FAR), np.ones(3), appearance.plain((0.5, 0.5, 0.5)))
    parts = [part or empty for part, _ in slots]
    return Primitives(
        centre=_floats([part.centre for part in parts]),
        half=_floats([part.half for part in parts]),
        rotation=_floats([part.rotation for part in parts]),
        taper=_floats([part.taper for part in parts]),
        instance=jnp.asarray([instance for _, instance in slots], jnp.int32),
        used=jnp.asarray(used, jnp.int32),
        capacity=capacity,
    )


def _materials(rows: list[Material]) -> Materials:
    def column(name: str) -> jax.Array:
        return _floats([getattr(row, name) for row in rows])

    return Materials(
        pattern=jnp.asarray([row.pattern for row in rows], jnp.int32),
        color_a=column("color_a"),
        color_b=column("color_b"),
        frequency=column("frequency"),
        grain=column("grain"),
        emission=column("emission"),
        gloss=column("gloss"),
    )


def _shell(rng: np.random.Generator) -> list[Material]:
    """Materials of -x, +x, -y, +y, floor, ceiling; now and then one wall in another colour."""
    walls = [appearance.wall(rng)] * 4
    if rng.random() < 0.3:
        walls[rng.integers(4)] = appearance.wall(rng)
    white = appearance.color(rng, saturation=(0.0, 0.05), value=(0.85, 0.97))
    return [*walls, appearance.floor(rng), appearance.plain(white, 0.0)]


def _lighting(plan: FloorPlan) -> Lighting:
    """A lamp under the ceiling and the light of a window, or of a second lamp."""
    rng, size = plan.rng, plan.size
    lamp = np.array([*(rng.uniform(-0.25, 0.25, 2) * size[:2]), size[2] - 0.25])
    windows = [placed for placed in plan.placed if placed.item.name == "window"]
    if windows:
        middle = windows[0].item.parts[1].centre
        second = middle * (0.93, 0.93, 1.0) + (0.0, 0.0, 0.2)
    else:
        second = np.array(
            [*(rng.uniform(-0.4, 0.4, 2) * size[:2]), size[2] - rng.uniform(0.2, 0.8)]
        )
    warm, cool = rng.uniform(0.75, 1.0), rng.uniform(0.85, 1.05)
    tints = np.array([[1.0, (1 + warm) / 2, warm], [cool, 1.0, 2 - cool]])
    ambient = rng.uniform(0.28, 0.5)
    direct = np.array([1.0, rng.uniform(0.4, 1.0)]) * rng.uniform(0.8, 1.4)
    exposure = np.exp(rng.normal(0.0, 0.15)) / (ambient + 0.35 * direct.sum())
    balance = exposure * np.exp(rng.normal(0.0, 0.04, 3)) / tints.mean(axis=0)
    bounce = ambient * rng.uniform(0.55, 0.85) * np.array([1.0, 0.95, 0.88])
    return Lighting(
        position=_floats([lamp, second]),
        extent=_floats([[0.35, 0.35, 0.05], [0.45, 0.45, 0.35]]),
        color=_floats(tints * direct[:, None]),
        ambient_up=_floats([ambient] * 3),
        ambient_down=_floats(bounce),
        white_balance=_floats(balance),
        noise=_floats(rng.uniform(0.004, 0.016)),
    )


def _floats(values: ArrayLike) -> jax.Array:
    return jnp.asarray(np.asarray(values, np.float32))
