"""Curves of several runs in one picture."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from moonseg_jax.viz import instance_colors

WIDTH, HEIGHT, MARGIN, LINE = 900, 320, 56, 16


def draw_curves(
    path: Path, runs: Mapping[str, Sequence[Mapping[str, Any]]], quantities: Sequence[str]
) -> None:
    """Draws one panel a quantity, over the steps, with a logarithmic height; a colour a run.

    Args:
        path: of the picture.
        runs: lines of ``metrics.jsonl`` by name.
        quantities: names in those lines; a line without one has no point.
    """
    legend = LINE * (len(runs) + 1)
    image = Image.new("RGB", (WIDTH, HEIGHT * len(quantities) + legend), "white")
    draw = ImageDraw.Draw(image)
    colors = [tuple(c) for c in instance_colors(np.arange(1, len(runs) + 1)).tolist()]
    for panel, name in enumerate(quantities):
        points = [
            [(line["step"], line[name]) for line in lines if line.get(name, 0) > 0]
            for lines in runs.values()
        ]
        _panel(draw, panel * HEIGHT, name, points, colors)
    for i, (name, color) in enumerate(zip(runs, colors, strict=True)):
        y = HEIGHT * len(quantities) + LINE * i
        draw.line([(MARGIN, y + LINE // 2), (MARGIN + 24, y + LINE // 2)], color, 3)
        draw.text((MARGIN + 32, y), name, "black")
    image.save(path)


def _panel(
    draw: ImageDraw.ImageDraw,
    top: int,
    name: str,
    curves: list[list[tuple[int, float]]],
    colors: list[tuple[int, ...]],
) -> None:
    everything = [point for curve in curves for point in curve]
    if not everything:
        return
    last = max(step for step, _ in everything) or 1
    low, high = (math.log(f(value for _, value in everything)) for f in (min, max))
    left, right, upper, lower = MARGIN, WIDTH - MARGIN, top + 24, top + HEIGHT - 28

    def place(step: float, height: float) -> tuple[float, float]:
        share = (height - low) / (high - low) if high > low else 0.5
        return left + step / last * (right - left), lower - share * (lower - upper)

    draw.rectangle([left, upper, right, lower], outline="lightgray")
    draw.text((left, top + 6), name, "black")
    for share in (0.0, 0.5, 1.0):
        height = low + share * (high - low)
        draw.text((4, place(0, height)[1] - 6), f"{math.exp(height):.4g}", "black")
        draw.text((place(share * last, low)[0] - 8, lower + 6), f"{share * last:.0f}", "black")
    for curve, color in zip(curves, colors, strict=True):
        at = [place(step, math.log(value)) for step, value in curve]
        draw.line(at, color, 2)
