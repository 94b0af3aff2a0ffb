"""Builders of furniture: items of 0.4-2.2 m that stand on the floor."""

import numpy as np

from moonseg_jax.rooms import appearance as look
from moonseg_jax.rooms.parts import Item, Part, Support, box, ellipsoid, frustum

Rng = np.random.Generator


def table(
    rng: Rng,
    width: tuple[float, float] = (1.1, 2.0),
    depth: tuple[float, float] = (0.7, 1.0),
    height: tuple[float, float] = (0.7, 0.78),
) -> Item:
    """A top on four legs, on two side panels, or (round) on one column."""
    w, d, h = rng.uniform(*width), rng.uniform(*depth), rng.uniform(*height)
    top, frame = look.wood(rng), look.wood(rng) if rng.random() < 0.5 else look.metal(rng)
    thick = rng.uniform(0.02, 0.05)
    style = rng.random()
    if style < 0.2:
        return _round_table(d, h, thick, top, frame)
    board = box((w, d, thick), (0, 0, h - thick), top)
    if style < 0.4:
        panel = (0.04, d * 0.9, h - thick)
        base = [box(panel, (x, 0, 0), frame) for x in (-w / 2 + 0.08, w / 2 - 0.08)]
    else:
        base = legs(rng, w - 0.05, d - 0.05, h - thick, rng.uniform(0.03, 0.08), frame)
    support = Support((0, 0, h), (w / 2 - 0.04, d / 2 - 0.04))
    return Item("table", (board, *base), (w, d, h), (support,))


def _round_table(
    d: float, h: float, thick: float, top: look.Material, frame: look.Material
) -> Item:
    parts = (
        frustum(d / 2, d / 2, thick, (0, 0, h - thick), top),
        frustum(0.04, 0.04, h - thick, (0, 0, 0), frame),
        frustum(d * 0.3, d * 0.25, 0.03, (0, 0, 0), frame),
    )
    inner = d / 2 * 0.65
    return Item("table", parts, (d, d, h), (Support((0, 0, h), (inner, inner)),))


def legs(
    rng: Rng, w: float, d: float, height: float, side: float, material: look.Material
) -> list[Part]:
    """Four legs under a board of ``w`` by ``d``, square or tapered."""
    at = [(x, y, 0.0) for x in (-w / 2 + side, w / 2 - side) for y in (-d / 2 + side, d / 2 - side)]
    if rng.random() < 0.5:
        return [box((side, side, height), a, material) for a in at]
    return [frustum(side * 0.35, side * 0.6, height, a, material) for a in at]


def coffee_table(rng: Rng) -> Item:
    """A low table."""
    return table(rng, (0.8, 1.3), (0.5, 0.8), (0.35, 0.48))


def side_table(rng: Rng) -> Item:
    """A small table beside a sofa or a bed."""
    return table(rng, (0.4, 0.55), (0.38, 0.5), (0.45, 0.6))


def desk(rng: Rng) -> Item:
    """A table against a wall."""
    return table(rng, (1.1, 1.7), (0.6, 0.8), (0.72, 0.76))


def shelf(rng: Rng) -> Item:
    """Sides, back and boards, open at the front."""
    w, d, h = rng.uniform(0.6, 1.3), rng.uniform(0.26, 0.4), rng.uniform(0.9, 2.0)
    material = look.wood(rng) if rng.random() < 0.7 else look.painted(rng)
    boards = max(3, round(h / rng.uniform(0.32, 0.42)) + 1)
    thick = 0.025
    parts = [box((thick, d, h), (x, 0, 0), material) for x in ((thick - w) / 2, (w - thick) / 2)]
    parts.append(box((w, 0.012, h), (0, -d / 2 + 0.006, 0), material))
    levels = np.linspace(0.05, h - thick, boards)
    inner = (w / 2 - thick - 0.03, d / 2 - 0.03)
    supports = []
    for level in levels:
        parts.append(box((w - 2 * thick, d, thick), (0, 0, level), material))
        free = 0.5 if level == levels[-1] else levels[1] - levels[0] - thick
        supports.append(Support((0, 0, level + thick), inner, free))
    return Item("shelf", tuple(parts), (w, d, h), tuple(supports))


def cabinet(
    rng: Rng,
    width: tuple[float, float] = (0.6, 1.4),
    height: tuple[float, float] = (0.6, 1.1),
) -> Item:
    """A closed body with drawer or door fronts and knobs."""
    w, d, h = rng.uniform(*width), rng.uniform(0.38, 0.5), rng.uniform(*height)
    body = look.wood(rng) if rng.random() < 0.6 else look.painted(rng)
    front, knob = (body if rng.random() < 0.5 else look.painted(rng)), look.metal(rng)
    foot = rng.choice([0.0, rng.uniform(0.05, 0.15)])
    parts = [box((w, d, h - foot), (0, 0, foot), body)]
    if foot:
        parts += legs(rng, w, d, foot, 0.04, knob)
    columns, rows = max(1, round(w / 0.5)), max(1, round((h - foot) / rng.uniform(0.25, 0.7)))
    cell_w, cell_h = w / columns, (h - foot) / rows
    for column in range(columns):
        for row in range(rows):
            x, z = (column + 0.5) * cell_w - w / 2, foot + row * cell_h
            parts.append(
                box((cell_w - 0.03, 0.02, cell_h - 0.03), (x, d / 2 + 0.01, z + 0.015), front)
            )
            parts.append(ellipsoid((0.03, 0.03, 0.03), (x, d / 2 + 0.03, z + cell_h * 0.6), knob))
    support = Support((0, 0, h), (w / 2 - 0.05, d / 2 - 0.05))
    return Item("cabinet", tuple(parts), (w, d + 0.06, h), (support,))


def low_board(rng: Rng) -> Item:
    """A long low cabinet, as under a television."""
    return cabinet(rng, (1.2, 1.9), (0.35, 0.5))


def nightstand(rng: Rng) -> Item:
    """A cabinet of one column."""
    return cabinet(rng, (0.4, 0.5), (0.45, 0.6))


def wardrobe(rng: Rng) -> Item:
    """A cabinet of a man's height."""
    return cabinet(rng, (0.8, 1.4), (1.7, 2.1))


def floor_lamp(rng: Rng) -> Item:
    """Foot, pole and shade."""
    h, r, tall = rng.uniform(1.35, 1.75), rng.uniform(0.14, 0.25), rng.uniform(0.2, 0.35)
    pole = look.metal(rng)
    parts = (
        frustum(0.15, 0.13, 0.03, (0, 0, 0), pole),
        frustum(0.014, 0.014, h - tall, (0, 0, 0.03), pole),
        frustum(r, r * rng.uniform(0.45, 0.9), tall, (0, 0, h - tall), lampshade(rng)),
    )
    return Item("floor lamp", parts, (2 * r, 2 * r, h))


def lampshade(rng: Rng) -> look.Material:
    """Cloth that glows a little."""
    base = look.color(rng, (0.05, 0.2), (0.0, 0.35), (0.8, 0.98))
    return look.Material(0, base, look.shade(base, 0.9), emission=rng.uniform(0.0, 0.5))


def big_plant(rng: Rng) -> Item:
    """A pot and foliage."""
    r, h = rng.uniform(0.13, 0.22), rng.uniform(0.22, 0.4)
    green = look.color(rng, (0.22, 0.38), (0.4, 0.85), (0.2, 0.55))
    leaves = look.Material(3, green, look.shade(green, 0.35), (25.0, 25.0, 25.0), gloss=0.1)
    parts = [frustum(r * 0.75, r, h, (0, 0, 0), look.decorated(rng))]
    reach = 0.0
    for _ in range(int(rng.integers(3, 6))):
        size = rng.uniform(0.2, 0.4, 3) * (1, 1, 1.3)
        x, y, z = rng.normal(0, 0.08), rng.normal(0, 0.08), h + rng.uniform(-0.03, 0.35)
        parts.append(ellipsoid((size[0], size[1], size[2]), (x, y, z), leaves))
        reach = max(reach, z + size[2])
    return Item("plant", tuple(parts), (0.5, 0.5, reach))


def rug(rng: Rng) -> Item:
    """A carpet of a few millimetres on the floor."""
    w, d = rng.uniform(1.2, 2.2), rng.uniform(0.9, 1.5)
    kind = int(rng.choice([1, 2, 3, 6, 7]))
    cells = rng.uniform(2.0, 9.0) if kind != 3 else 60.0
    cover = look.Material(kind, look.color(rng), look.color(rng), (cells, cells, 0.0), gloss=0.0)
    return Item("rug", (box((w, d, 0.012), (0, 0, 0), cover),), (w, d, 0.012))
