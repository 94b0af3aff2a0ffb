"""Random materials: the colours and textures rooms are made of."""

import colorsys
from dataclasses import dataclass, replace

import numpy as np

from moonseg_jax.rooms.scene import (
    CHECKER,
    PAINTING,
    PLAIN,
    PLANKS,
    SPECKLE,
    STRIPES,
    TILES,
    WOOD,
)

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """One row of `scene.Materials`; colours are linear albedo."""

    pattern: int
    color_a: Color
    color_b: Color
    frequency: Color = (1.0, 1.0, 1.0)
    grain: Color = (1.0, 1.0, 1.0)
    emission: float = 0.0
    gloss: float = 0.05


def color(
    rng: np.random.Generator,
    hue: tuple[float, float] = (0.0, 1.0),
    saturation: tuple[float, float] = (0.1, 0.9),
    value: tuple[float, float] = (0.15, 0.95),
) -> Color:
    """A random linear colour from ranges of sRGB hue, saturation and value."""
    srgb = colorsys.hsv_to_rgb(
        rng.uniform(*hue) % 1.0, rng.uniform(*saturation), rng.uniform(*value)
    )
    return linear(srgb)


def linear(srgb: Color) -> Color:
    """Linear albedo of an sRGB colour (gamma 2.2)."""
    r, g, b = (max(channel, 0.01) ** 2.2 for channel in srgb)
    return r, g, b


def shade(base: Color, factor: float) -> Color:
    """A brighter or darker version of a colour."""
    r, g, b = (min(channel * factor, 0.9) for channel in base)
    return r, g, b


def plain(base: Color, gloss: float = 0.05) -> Material:
    """Almost uniform, with a faint mottle."""
    return Material(PLAIN, base, shade(base, 0.8), (15.0, 15.0, 15.0), gloss=gloss)


def wood(rng: np.random.Generator) -> Material:
    """Light to dark timber, grain along x."""
    base = color(rng, (0.03, 0.11), (0.25, 0.75), (0.2, 0.85))
    rings = rng.uniform(8.0, 30.0)
    frequency = (rings * 0.08, rings, rings)
    return Material(WOOD, base, shade(base, rng.uniform(0.55, 0.85)), frequency, gloss=0.15)


def painted(rng: np.random.Generator) -> Material:
    """Lacquer or plastic: white, black, grey or a colour."""
    kind = rng.random()
    if kind < 0.35:
        return plain(color(rng, saturation=(0.0, 0.06), value=(0.75, 0.95)), 0.2)
    if kind < 0.6:
        return plain(color(rng, saturation=(0.0, 0.1), value=(0.08, 0.5)), 0.25)
    return plain(color(rng), 0.2)


def metal(rng: np.random.Generator) -> Material:
    """Grey, black or brass."""
    hue, saturation = ((0.1, 0.14), (0.3, 0.6)) if rng.random() < 0.2 else ((0, 1), (0, 0.05))
    return plain(color(rng, hue, saturation, (0.1, 0.75)), 0.5)


def fabric(rng: np.random.Generator) -> Material:
    """Upholstery: mottled, striped or checked, mostly muted."""
    base = color(rng, saturation=(0.05, 0.75), value=(0.2, 0.85))
    pattern = rng.choice([SPECKLE, PLAIN, STRIPES, CHECKER], p=[0.55, 0.25, 0.12, 0.08])
    second = shade(base, rng.uniform(0.5, 0.8))
    cells = rng.uniform(60, 140) if pattern == SPECKLE else rng.uniform(8, 25)
    return Material(int(pattern), base, second, (cells, cells, cells), gloss=0.0)


def decorated(rng: np.random.Generator) -> Material:
    """Small things: any pattern, any colour."""
    pattern = rng.choice(
        [PLAIN, STRIPES, CHECKER, SPECKLE, PAINTING], p=[0.5, 0.14, 0.08, 0.2, 0.08]
    )
    base, second = color(rng), color(rng)
    if pattern == PLAIN:
        return plain(base, rng.uniform(0.0, 0.4))
    cells = rng.uniform(12, 50)
    stretch = rng.permutation([1.0, 1.0, rng.uniform(0.3, 1.0)])
    frequency = (cells * stretch[0], cells * stretch[1], cells * stretch[2])
    return Material(int(pattern), base, second, frequency, gloss=rng.uniform(0.0, 0.3))


def picture(rng: np.random.Generator) -> Material:
    """A painting or a screen: broad areas of several colours."""
    cells = rng.uniform(4.0, 14.0)
    return Material(PAINTING, color(rng), color(rng), (cells, cells, cells), gloss=0.1)


def pane() -> Material:
    """Bright daylight behind glass."""
    return replace(plain((0.85, 0.92, 1.0)), emission=1.0)


def wall(rng: np.random.Generator) -> Material:
    """Plaster or wallpaper in light, muted colours."""
    base = color(rng, saturation=(0.0, 0.25), value=(0.65, 0.95))
    pattern = rng.choice([SPECKLE, PLAIN, STRIPES], p=[0.6, 0.25, 0.15])
    cells = rng.uniform(3.0, 12.0)
    frequency = (cells, cells, 0.0 if pattern == STRIPES else cells)
    return Material(int(pattern), base, shade(base, rng.uniform(0.82, 0.95)), frequency, gloss=0.0)


def floor(rng: np.random.Generator) -> Material:
    """Planks, tiles or carpet."""
    kind = rng.choice([PLANKS, TILES, SPECKLE], p=[0.55, 0.25, 0.2])
    if kind == PLANKS:
        timber = wood(rng)
        across = rng.uniform(6.0, 12.0)
        along = rng.uniform(0.6, 1.2)
        axes = (along, across) if rng.random() < 0.5 else (across, along)
        grain = (3.0, 6.0, 1.0) if axes[0] < axes[1] else (6.0, 3.0, 1.0)
        return replace(timber, pattern=PLANKS, frequency=(*axes, 0.0), grain=grain, gloss=0.2)
    base = color(rng, saturation=(0.0, 0.35), value=(0.3, 0.85))
    if kind == TILES:
        cells = rng.uniform(1.6, 4.0)
        return Material(TILES, base, shade(base, 0.6), (cells, cells, 0.0), (3, 3, 1), gloss=0.25)
    cells = rng.uniform(30.0, 90.0)
    return Material(SPECKLE, base, shade(base, 0.7), (cells, cells, 0.0), gloss=0.0)
