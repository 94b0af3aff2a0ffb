"""Weights and images that anyone can make again: parity runs and the golden file share them."""

import math
import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch

SHARP = 1.5  # Of queries and keys: attention that is far from uniform.
CALM = 0.3  # Of the last layer before points: exponentials stay moderate, most z positive.
LAST = re.compile(r"dpt_(self|cross)\.head\.4\.|downstream_head\.(cross_)?proj\.fc2\.")


def formula_tensors(shapes: Mapping[str, Sequence[int]]) -> dict[str, torch.Tensor]:
    """Uniform numbers by published name: variance 1/fan-in, norms near one, tokens near unit."""
    return {name: torch.from_numpy(_numbers(name, tuple(shape))) for name, shape in shapes.items()}


def formula_images(frames: int, batch: int, size: tuple[int, int]) -> torch.Tensor:
    """``[frames batch 3 H W]`` in -1..1: smooth patterns that move, with noise."""
    v, u = np.meshgrid(np.linspace(0, 6, size[0]), np.linspace(0, 8, size[1]), indexing="ij")
    noise = np.random.Generator(np.random.PCG64(7))
    images = np.empty((frames, batch, 3, *size), np.float32)
    for f, b, c in np.ndindex(frames, batch, 3):
        wave = np.sin(u * (1 + 0.3 * c) + 0.4 * f + b) * np.cos(v * (1 + b) - 0.2 * f + c)
        images[f, b, c] = 0.8 * wave + 0.2 * (2 * noise.random(size) - 1)
    return torch.from_numpy(images)


def formula_points(size: tuple[int, int], focal: float) -> torch.Tensor:
    """``[1 H W 3]`` as a pinhole camera sees a wavy surface, with noise and a tenth of outliers."""
    height, width = size
    y, x = np.mgrid[:height, :width] + 0.5 - np.array([height, width])[:, None, None] / 2
    z = 2 + 0.5 * np.sin(x / 9) * np.cos(y / 7)
    noise = np.random.Generator(np.random.PCG64(3))
    points = np.stack([x / focal, y / focal, np.ones_like(x)], axis=-1) * z[..., None]
    points += 0.02 * (2 * noise.random(points.shape) - 1)
    points[noise.random(size) < 0.1] = [0.4, -0.6, 1.5]
    return torch.from_numpy(points.astype(np.float32))[None]


def _numbers(name: str, shape: tuple[int, ...]) -> np.ndarray:
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    numbers = 2 * generator.random(shape, dtype=np.float32) - 1
    if len(shape) == 1:
        centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        numbers = centre + 0.1 * numbers
        if LAST.search(name) and shape[0] % 4 == 0:
            numbers.reshape(4, -1)[2] += 1
        return numbers.astype(np.float32)
    if re.search(r"token|\.mem$", name):
        return numbers
    scale = math.sqrt(3 / math.prod(shape[1:]))
    if re.search(r"\.(qkv|projq|projk)\.", name):
        scale *= SHARP
    if LAST.search(name):
        scale *= CALM
    return (scale * numbers).astype(np.float32)
