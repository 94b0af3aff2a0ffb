"""Builders of what hangs on walls; the back of each is the plane y = 0."""

import numpy as np

from moonseg_jax.rooms import appearance as look
from moonseg_jax.rooms.parts import Item, box, ellipsoid

Rng = np.random.Generator


def picture(rng: Rng) -> Item:
    """A framed picture."""
    w, h = rng.uniform(0.3, 1.1), rng.uniform(0.3, 0.8)
    edge = rng.uniform(0.02, 0.06)
    frame = look.wood(rng) if rng.random() < 0.5 else look.painted(rng)
    parts = (
        box((w, 0.025, h), (0, 0.0125, 0), frame),
        box((w - 2 * edge, 0.004, h - 2 * edge), (0, 0.027, edge), look.picture(rng)),
    )
    return Item("picture", parts, (w, 0.03, h))


def wall_clock(rng: Rng) -> Item:
    """A box clock: rim, face and hands."""
    side = rng.uniform(0.2, 0.36)
    hand, face = look.plain((0.02, 0.02, 0.02)), look.plain((0.8, 0.8, 0.76))
    parts = (
        box((side, 0.03, side), (0, 0.015, 0), look.painted(rng)),
        box((side * 0.85, 0.006, side * 0.85), (0, 0.032, side * 0.075), face),
        box((0.012, 0.004, side * 0.38), (0, 0.036, side * 0.48), hand),
        box((side * 0.28, 0.004, 0.012), (side * 0.12, 0.036, side * 0.5), hand),
    )
    return Item("clock", parts, (side, 0.04, side))


def window(rng: Rng) -> Item:
    """A window: frame, bright panes, bars. Part of the room, not an object."""
    w, h = rng.uniform(0.8, 1.6), rng.uniform(0.9, 1.3)
    white = look.plain((0.7, 0.7, 0.7))
    parts = [
        box((w, 0.04, h), (0, 0.02, 0), white),
        box((w - 0.12, 0.01, h - 0.12), (0, 0.04, 0.06), look.pane()),
        box((0.05, 0.05, h), (0, 0.025, 0), white),
        box((w, 0.05, 0.05), (0, 0.025, h / 2), white),
    ]
    return Item("window", tuple(parts), (w, 0.06, h))


def door(rng: Rng) -> Item:
    """A door in its frame. Part of the room, not an object."""
    w, h, leaf = rng.uniform(0.8, 0.95), rng.uniform(1.98, 2.1), look.wood(rng)
    parts = (
        box((w + 0.14, 0.03, h + 0.07), (0, 0.015, 0), look.painted(rng)),
        box((w, 0.035, h), (0, 0.0175, 0), leaf),
        box((w * 0.7, 0.045, h * 0.35), (0, 0.0225, h * 0.55), leaf),
        ellipsoid((0.06, 0.06, 0.06), (w * 0.42, 0.06, 1.0), look.metal(rng)),
    )
    return Item("door", parts, (w + 0.14, 0.08, h + 0.07))
