"""Curves over a setting's values, a panel a quantity, from zero up."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from moonseg_jax.viz import instance_colors

WIDTH, HEIGHT, LEFT, ABOVE, BELOW, LINE = 300, 220, 44, 28, 28, 18
_FONT = ImageFont.load_default(size=13)


Curve = Sequence[tuple[float, Mapping[str, float]]]


def draw_chart(path: Path, curves: Mapping[str, Curve], quantities: Sequence[str]) -> None:
    """Draws panels side by side; values of the setting stand at equal distances.

    Args:
        path: of the PNG.
        curves: by name: values of the setting, each with numbers by name.
        quantities: names of numbers, a panel each.
    """
    places = sorted({x for curve in curves.values() for x, _ in curve})
    size = WIDTH * len(quantities), HEIGHT + LINE * len(curves) + LINE // 2
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    colors = [tuple(color) for color in instance_colors(np.arange(1, len(curves) + 1)).tolist()]
    for i, (name, color) in enumerate(zip(curves, colors, strict=True)):
        y = HEIGHT + LINE * i
        draw.line([(LEFT, y + LINE // 2), (LEFT + 24, y + LINE // 2)], color, 3)
        draw.text((LEFT + 32, y), name, "black", _FONT)
    for i, quantity in enumerate(quantities):
        lines = [
            [(places.index(x), numbers[quantity]) for x, numbers in curve]
            for curve in curves.values()
        ]
        _draw_panel(draw, i * WIDTH, quantity, places, lines, colors)
    picture.save(path, optimize=True)


def _draw_panel(
    draw: ImageDraw.ImageDraw,
    x0: int,
    title: str,
    places: Sequence[float],
    lines: Sequence[Sequence[tuple[int, float]]],
    colors: Sequence[tuple[int, ...]],
) -> None:
    top = max(value for line in lines for _, value in line) or 1.0
    left, right, upper, lower = x0 + LEFT, x0 + WIDTH - 12, ABOVE, HEIGHT - BELOW
    step = (right - left) / max(len(places) - 1, 1)

    def at(place: int, value: float) -> tuple[float, float]:
        return left + step * place, lower - value / top * (lower - upper)

    draw.text((left, 6), title, "black", _FONT)
    draw.rectangle([left, upper, right, lower], outline="lightgray")
    for value in (0, top / 2, top):
        draw.text((x0 + 4, at(0, value)[1] - 8), f"{value:.2g}", "black", _FONT)
    for place, x in enumerate(places):
        draw.text((at(place, 0)[0], lower + 6), f"{x:g}", "black", _FONT, anchor="mt")
    for line, color in zip(lines, colors, strict=True):
        dots = [at(*point) for point in sorted(line)]
        draw.line(dots, color, 2)
        for x, y in dots:
            draw.ellipse([x - 2.5, y - 2.5, x + 2.5, y + 2.5], color)
