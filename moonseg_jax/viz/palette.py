"""One colour per instance id, the same in every picture, cloud and run."""

import colorsys

import numpy as np

NO_INSTANCE = (150, 150, 150)
_GOLDEN_ANGLE = 0.618033988749895
# Lightness and saturation change with the turn, so that neighbours in hue stay apart.
_TONES = ((0.55, 0.85), (0.42, 0.75), (0.68, 0.80), (0.50, 0.55))


def instance_colors(ids: np.ndarray) -> np.ndarray:
    """Colours of instance ids.

    Consecutive ids turn the hue by the golden ratio, so that any few ids are well apart.

    Args:
        ids: ``[*n]`` int, 0 = none (grey).

    Returns:
        ``[*n 3]`` uint8.
    """
    table = np.array([_color(i) for i in range(int(ids.max(initial=0)) + 1)], np.uint8)
    return table[ids]


def _color(instance: int) -> tuple[int, ...]:
    if instance == 0:
        return NO_INSTANCE
    lightness, saturation = _TONES[instance % len(_TONES)]
    rgb = colorsys.hls_to_rgb((instance * _GOLDEN_ANGLE) % 1.0, lightness, saturation)
    return tuple(round(255 * channel) for channel in rgb)


def tint_instances(colors: np.ndarray, instance: np.ndarray) -> np.ndarray:
    """Instances in their colours, textured a little; everything else in pale grey."""
    grey = colors.mean(axis=-1, keepdims=True)
    pale = 150 + 0.4 * grey
    tinted = instance_colors(instance) * (0.75 + 0.35 * grey / 255)
    return np.where((instance > 0)[:, None], tinted, pale).clip(0, 255).astype(np.uint8)
