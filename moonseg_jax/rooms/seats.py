"""Builders of what people sit and lie on."""

import numpy as np

from moonseg_jax.rooms import appearance as look
from moonseg_jax.rooms.furniture import legs
from moonseg_jax.rooms.parts import Item, Support, box, ellipsoid, frustum

Rng = np.random.Generator


def chair(rng: Rng) -> Item:
    """Seat, back and legs."""
    w, d, seat = rng.uniform(0.42, 0.5), rng.uniform(0.42, 0.5), rng.uniform(0.43, 0.48)
    top = rng.uniform(0.78, 1.0)
    cover = look.fabric(rng) if rng.random() < 0.6 else look.painted(rng)
    frame = look.wood(rng) if rng.random() < 0.5 else look.metal(rng)
    thick = rng.uniform(0.03, 0.08)
    lean = rng.uniform(0.05, 0.2)
    pedestal = rng.random() < 0.25
    low = seat - thick if pedestal else seat + rng.uniform(0.0, 0.2)
    back = box((w * 0.95, 0.04, top - low), (0, -d / 2 + 0.02, low), cover, tilt=lean)
    parts = [box((w, d, thick), (0, 0, seat - thick), cover), back]
    if pedestal:
        parts += [
            frustum(0.03, 0.03, seat - thick, (0, 0, 0), frame),
            frustum(w * 0.5, w * 0.2, 0.06, (0, 0, 0), frame),
        ]
    else:
        parts += legs(rng, w, d, seat - thick, rng.uniform(0.025, 0.045), frame)
        if low > seat + 0.06:
            posts = (-w * 0.42, w * 0.42)
            parts += [
                box((0.03, 0.03, low - seat + 0.1), (x, -d / 2 + 0.03, seat), frame, tilt=lean)
                for x in posts
            ]
    return Item("chair", tuple(parts), (w, d + 0.08, top))


def sofa(rng: Rng, seats: int = 0) -> Item:
    """Base, back, arms and one cushion pair a seat; one seat makes an armchair."""
    seats = seats or int(rng.integers(2, 4))
    cover = look.fabric(rng)
    cushion = cover if rng.random() < 0.7 else look.fabric(rng)
    pitch, arm = rng.uniform(0.55, 0.7), rng.uniform(0.1, 0.22)
    w, d = seats * pitch + 2 * arm, rng.uniform(0.8, 0.95)
    seat, top = rng.uniform(0.4, 0.46), rng.uniform(0.72, 0.9)
    base = seat - 0.14
    parts = [
        box((w - 2 * arm, d, base - 0.06), (0, 0, 0.06), cover),
        box((w - 2 * arm, 0.18, top - 0.06), (0, -d / 2 + 0.09, 0.06), cover),
    ]
    side = (w - arm) / 2
    height = rng.uniform(0.55, 0.66)
    parts += [box((arm, d, height), (x, 0, 0), cover) for x in (-side, side)]
    for i in range(seats):
        x = (i - (seats - 1) / 2) * pitch
        parts.append(box((pitch - 0.015, d - 0.2, 0.14), (x, 0.11, base), cushion))
        back = (pitch - 0.03, 0.16, top - seat - 0.02)
        parts.append(box(back, (x, -d / 2 + 0.27, seat), cushion, tilt=0.18))
    return Item("sofa", tuple(parts), (w, d, top))


def bed(rng: Rng) -> Item:
    """Frame, head board, mattress, blanket and pillows."""
    w, length = rng.uniform(0.9, 1.7), rng.uniform(1.95, 2.1)
    timber, sheet = look.wood(rng), look.plain(look.color(rng, saturation=(0, 0.2), value=(0.7, 1)))
    blanket, level = look.fabric(rng), rng.uniform(0.22, 0.32)
    parts = [
        box((w, length, level - 0.08), (0, 0, 0.08), timber),
        box((w, 0.06, rng.uniform(0.75, 1.1)), (0, -length / 2 + 0.03, 0), timber),
        box((w - 0.04, length - 0.1, 0.2), (0, 0.03, level), sheet),
        box((w + 0.02, length * 0.66, 0.22), (0, length * 0.17, level), blanket),
    ]
    pillows = 1 if w < 1.2 else 2
    for i in range(pillows):
        x = (i - (pillows - 1) / 2) * w / 2
        pillow = (min(0.6, w / pillows - 0.1), 0.38, 0.16)
        parts.append(ellipsoid(pillow, (x, -length / 2 + 0.3, level + 0.18), sheet))
    support = Support((0, length * 0.17, level + 0.22), (w / 2 - 0.1, length * 0.25))
    return Item("bed", tuple(parts), (w + 0.02, length, 1.0), (support,))


def bench(rng: Rng) -> Item:
    """A stool, a pouffe or a bench."""
    cover, h = look.fabric(rng), rng.uniform(0.38, 0.48)
    if rng.random() < 0.4:
        r = rng.uniform(0.2, 0.32)
        return Item("pouffe", (frustum(r, r, h, (0, 0, 0), cover),), (2 * r, 2 * r, h))
    w, d = rng.uniform(0.4, 1.1), rng.uniform(0.35, 0.42)
    under = legs(rng, w, d, h - 0.08, 0.04, look.wood(rng))
    return Item("bench", (box((w, d, 0.08), (0, 0, h - 0.08), cover), *under), (w, d, h))
