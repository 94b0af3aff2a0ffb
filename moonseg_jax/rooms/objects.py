"""Builders of small things: on tables, in shelves, on the floor."""

import numpy as np

from moonseg_jax.rooms import appearance as look
from moonseg_jax.rooms.furniture import lampshade
from moonseg_jax.rooms.parts import Item, box, ellipsoid, frustum

Rng = np.random.Generator


def book(rng: Rng) -> Item:
    """A closed book lying down: pages between covers."""
    w, d, h = rng.uniform(0.13, 0.24), rng.uniform(0.18, 0.3), rng.uniform(0.012, 0.05)
    cover, paper = look.decorated(rng), look.plain((0.75, 0.72, 0.62))
    sheet = min(0.004, h / 4)
    parts = (
        box((w, d, sheet), (0, 0, 0), cover),
        box((w - 0.008, d - 0.01, h - 2 * sheet), (0.002, 0, sheet), paper),
        box((w, d, sheet), (0, 0, h - sheet), cover),
    )
    return Item("book", parts, (w, d, h))


def open_book(rng: Rng) -> Item:
    """An open book or a sheet of print."""
    w, d = rng.uniform(0.28, 0.42), rng.uniform(0.2, 0.3)
    print_ = look.Material(2, (0.8, 0.8, 0.77), (0.4, 0.4, 0.4), (0.0, 90.0, 0.0), (1, 0.3, 1))
    leaf = [box((w / 2, d, 0.012), (x, 0, 0), print_) for x in (-w / 4 - 0.002, w / 4 + 0.002)]
    return Item("open book", tuple(leaf), (w, d, 0.012))


def standing_book(rng: Rng) -> Item:
    """A book upright, spine to the front."""
    w, d, h = rng.uniform(0.02, 0.06), rng.uniform(0.14, 0.2), rng.uniform(0.18, 0.28)
    return Item("book", (box((w, d, h), (0, 0, 0), look.decorated(rng)),), (w, d, h))


def cup(rng: Rng) -> Item:
    """A mug with a handle."""
    r, h, glaze = rng.uniform(0.035, 0.05), rng.uniform(0.07, 0.12), look.decorated(rng)
    parts = (
        frustum(r * rng.uniform(0.75, 1.0), r, h, (0, 0, 0), glaze),
        frustum(r * 0.85, r * 0.85, 0.002, (0, 0, h), look.plain((0.06, 0.04, 0.03))),
        box((0.03, 0.01, h * 0.6), (r + 0.01, 0, h * 0.2), glaze),
    )
    return Item("cup", parts, (2 * r + 0.04, 2 * r, h))


def bottle(rng: Rng) -> Item:
    """Body, shoulder, neck and cap."""
    r, h = rng.uniform(0.03, 0.045), rng.uniform(0.13, 0.2)
    glass, cap = look.plain(look.color(rng), 0.5), look.painted(rng)
    parts = (
        frustum(r, r, h, (0, 0, 0), glass if rng.random() < 0.5 else look.decorated(rng)),
        frustum(r, r * 0.35, h * 0.25, (0, 0, h), glass),
        frustum(r * 0.35, r * 0.35, h * 0.25, (0, 0, h * 1.25), cap),
    )
    return Item("bottle", parts, (2 * r, 2 * r, h * 1.5))


def vase(rng: Rng, height: tuple[float, float] = (0.15, 0.35)) -> Item:
    """Foot, belly and lip."""
    h, glaze = rng.uniform(*height), look.decorated(rng)
    r = h * rng.uniform(0.18, 0.35)
    parts = (
        frustum(r * 0.6, r * 0.8, h * 0.3, (0, 0, 0), glaze),
        ellipsoid((2 * r, 2 * r, h * 0.75), (0, 0, h * 0.08), glaze),
        frustum(r * 0.4, r * 0.65, h * 0.28, (0, 0, h * 0.72), glaze),
    )
    return Item("vase", parts, (2 * r, 2 * r, h))


def floor_vase(rng: Rng) -> Item:
    """A vase of half a metre and more."""
    return vase(rng, (0.45, 0.95))


def bowl(rng: Rng) -> Item:
    """A bowl, often with fruit."""
    r, h = rng.uniform(0.09, 0.16), rng.uniform(0.05, 0.09)
    parts = [frustum(r * 0.5, r, h, (0, 0, 0), look.decorated(rng))]
    fruit = look.plain(look.color(rng, (0.0, 0.3), (0.6, 0.9), (0.5, 0.9)), 0.2)
    for angle in rng.uniform(0, 6.28, int(rng.integers(0, 4))):
        at = (np.cos(angle) * r * 0.45, np.sin(angle) * r * 0.45, h - 0.03)
        parts.append(ellipsoid((0.075, 0.075, 0.075), at, fruit))
    return Item("bowl", tuple(parts), (2 * r, 2 * r, h + 0.045))


def plate(rng: Rng) -> Item:
    """A plate or a round tray."""
    r, h = rng.uniform(0.09, 0.15), rng.uniform(0.012, 0.025)
    return Item(
        "plate", (frustum(r * 0.7, r, h, (0, 0, 0), look.decorated(rng)),), (2 * r, 2 * r, h)
    )


def laptop(rng: Rng) -> Item:
    """Keyboard half and lid."""
    w, d = rng.uniform(0.3, 0.38), rng.uniform(0.21, 0.26)
    shell, screen = look.painted(rng), look.picture(rng)
    lean = rng.uniform(0.1, 0.4)
    hinge = -d / 2 - 0.5 * d * np.sin(lean)
    low = 0.018 - d * (1 - np.cos(lean)) / 2
    shift = 0.006
    parts = (
        box((w, d, 0.018), (0, 0, 0), shell),
        box((w * 0.85, d * 0.5, 0.002), (0, -d * 0.15, 0.018), look.plain((0.03, 0.03, 0.03))),
        box((w, 0.008, d), (0, hinge, low), shell, tilt=lean),
        box((w * 0.94, 0.002, d * 0.9), (0, hinge + shift, low + d * 0.05), screen, tilt=lean),
    )
    return Item("laptop", parts, (w, d * 1.5, d))


def monitor(rng: Rng, width: tuple[float, float] = (0.45, 0.7)) -> Item:
    """A screen on a foot."""
    w = rng.uniform(*width)
    h, foot, shell = w * 0.58, w * 0.16, look.plain((0.03, 0.03, 0.035), 0.3)
    parts = (
        box((w * 0.45, w * 0.18, 0.015), (0, 0, 0), shell),
        box((w * 0.08, 0.03, foot + 0.05), (0, -0.02, 0.0), shell),
        box((w, 0.035, h), (0, 0, foot), shell),
        box((w - 0.03, 0.002, h - 0.03), (0, 0.0185, foot + 0.015), look.picture(rng)),
    )
    return Item("monitor", parts, (w, w * 0.18, h + foot))


def television(rng: Rng) -> Item:
    """A wide screen."""
    return monitor(rng, (0.8, 1.2))


def table_lamp(rng: Rng) -> Item:
    """Foot, body and shade."""
    h, r, body = rng.uniform(0.32, 0.55), rng.uniform(0.1, 0.17), look.decorated(rng)
    parts = [
        frustum(0.08, 0.06, 0.02, (0, 0, 0), body),
        frustum(0.012, 0.012, h * 0.6, (0, 0, 0.02), look.metal(rng)),
        frustum(r, r * rng.uniform(0.4, 0.9), h * 0.45, (0, 0, h * 0.55), lampshade(rng)),
    ]
    if rng.random() < 0.6:
        parts.append(ellipsoid((r * 1.2, r * 1.2, h * 0.45), (0, 0, 0.01), body))
    return Item("table lamp", tuple(parts), (2 * r, 2 * r, h))


def carton(rng: Rng, side: tuple[float, float] = (0.06, 0.22)) -> Item:
    """A closed box."""
    w, d, h = rng.uniform(*side, 3)
    return Item("box", (box((w, d, h * 0.8), (0, 0, 0), look.decorated(rng)),), (w, d, h * 0.8))


def big_carton(rng: Rng) -> Item:
    """A moving box."""
    return carton(rng, (0.28, 0.55))


def ball(rng: Rng, radius: tuple[float, float] = (0.04, 0.08)) -> Item:
    """A ball."""
    side = 2 * rng.uniform(*radius)
    size = (side, side, side)
    return Item("ball", (ellipsoid(size, (0, 0, 0), look.decorated(rng)),), size)


def big_ball(rng: Rng) -> Item:
    """A football or a gymnastics ball."""
    return ball(rng, (0.11, 0.28))


def remote(rng: Rng) -> Item:
    """A remote control or a telephone."""
    w, d, h = rng.uniform(0.045, 0.08), rng.uniform(0.13, 0.2), rng.uniform(0.01, 0.025)
    pad = box((w * 0.7, d * 0.75, 0.003), (0, 0, h), look.painted(rng))
    return Item("remote", (box((w, d, h), (0, 0, 0), look.painted(rng)), pad), (w, d, h))


def speaker(rng: Rng) -> Item:
    """A cylinder or a box with a dark front."""
    h, body = rng.uniform(0.12, 0.3), look.painted(rng)
    if rng.random() < 0.5:
        r = rng.uniform(0.04, 0.07)
        return Item("speaker", (frustum(r, r, h, (0, 0, 0), body),), (2 * r, 2 * r, h))
    w, d = h * 0.6, h * 0.55
    front = box((w * 0.85, 0.004, h * 0.9), (0, d / 2, h * 0.05), look.plain((0.02, 0.02, 0.02)))
    return Item("speaker", (box((w, d, h), (0, 0, 0), body), front), (w, d + 0.01, h))


def bin_(rng: Rng) -> Item:
    """A waste-paper bin."""
    r, h = rng.uniform(0.11, 0.17), rng.uniform(0.25, 0.4)
    parts = (
        frustum(r * 0.8, r, h, (0, 0, 0), look.painted(rng)),
        frustum(r * 0.9, r * 0.9, 0.003, (0, 0, h), look.plain((0.03, 0.03, 0.03))),
    )
    return Item("bin", parts, (2 * r, 2 * r, h))


def small_plant(rng: Rng) -> Item:
    """A pot plant."""
    r, h = rng.uniform(0.05, 0.09), rng.uniform(0.07, 0.12)
    green = look.color(rng, (0.22, 0.4), (0.4, 0.85), (0.25, 0.6))
    leaves = look.Material(3, green, look.shade(green, 0.4), (50.0, 50.0, 50.0))
    parts = [frustum(r * 0.7, r, h, (0, 0, 0), look.decorated(rng))]
    for angle in rng.uniform(0, 6.28, 3):
        at = (np.cos(angle) * r * 0.6, np.sin(angle) * r * 0.6, h - 0.01)
        parts.append(ellipsoid((r * 1.5, r * 1.5, rng.uniform(0.08, 0.18)), at, leaves))
    return Item("plant", tuple(parts), (r * 2.4, r * 2.4, h + 0.15))
