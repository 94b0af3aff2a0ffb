"""Figure 5: how alike the state tokens of the masks of two consecutive frames are.

python -m experiments.figures.state_tokens --cache CACHE --recording ROOM --out FIGURE.png

Of each pair of frames: both with their masks, numbered; the cosines of state tokens (Eq. 11), and
beside them those of mean features. The recording's ``instance/`` says which masks are of one
object: their cells are framed, and the shares found are over all consecutive frames.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from experiments.classical_core.separability import FALSE_RATE, cosines, objects_of, read_labels
from experiments.dataset import run_script
from experiments.figures.panels import INK, enlarged, evenly, write_sheet
from experiments.table2.in_memory import sample_labels
from moonseg_jax import load_core
from moonseg_jax.cache import CacheReader
from moonseg_jax.models import mask_coverage
from moonseg_jax.online.observe import state_tokens
from moonseg_jax.structs import Frame, InputError, unpack_masks
from moonseg_jax.viz.overlay import overlay_instances

WIDTH, CELL = 320, 30
KINDS = ("state tokens", "mean features")
_FONT = ImageFont.load_default(size=12)


def main() -> None:
    parser = argparse.ArgumentParser(description="Likeness of state tokens, as Figure 5.")
    parser.add_argument("--cache", type=Path, required=True, help="with state attention")
    parser.add_argument("--recording", type=Path, required=True, help="with instance/")
    parser.add_argument("--pairs", type=int, default=3, help="pairs of frames to draw")
    parser.add_argument("--masks", type=int, default=12, help="largest masks of a frame to draw")
    parser.add_argument("--out", type=Path, required=True, help="PNG")
    args = parser.parse_args()

    reader = CacheReader(args.cache)
    if reader.info.state_tokens == 0:
        raise InputError(
            f"{args.cache} holds no state attention: cache it with --with-state-attention"
        )
    core = load_core(reader.info, "none").module
    frames, names = list(reader.frames()), reader.info.frame_names
    maps = [sample_labels(read_labels(args.recording, name), reader.info) for name in names]
    objects = [objects_of(frame, labels) for frame, labels in zip(frames, maps, strict=True)]
    vectors = {kind: [] for kind in KINDS}
    for frame in frames:
        for kind, found in zip(KINDS, mask_vectors(core, frame), strict=True):
            vectors[kind].append(found)
    for kind, found in vectors.items():
        print(f"{kind:14} {said(found, objects)}")
    rows = [
        draw_pair([frames[t], frames[t + 1]], [objects[t], objects[t + 1]],
                  {kind: found[t : t + 2] for kind, found in vectors.items()}, args.masks)
        for t in evenly(len(frames) - 1, args.pairs)
    ]  # fmt: skip
    beside = [f"{names[t]}, {names[t + 1]}" for t in evenly(len(frames) - 1, args.pairs)]
    write_sheet(args.out, rows, ("frame t", "frame t + 1", *KINDS), beside)
    print(args.out)


def mask_vectors(core, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """State tokens ``[q s]`` and mean features ``[q c]`` of all masks, of length one."""
    grid = frame.features_3d.shape[:2]
    coverage = mask_coverage(unpack_masks(jnp.asarray(frame.masks)), grid)
    tokens = core.tokens(jnp.asarray(frame.features_3d), jnp.asarray(frame.features_2d))
    attention = jnp.asarray(frame.state_attention, jnp.float32)
    found = state_tokens(attention, coverage), core.prototypes(tokens, coverage)
    both = (np.asarray(vectors) for vectors in found)
    one, other = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12) for v in both)
    return one, other


def said(vectors: Sequence[np.ndarray], objects: list[np.ndarray]) -> str:
    """Medians on one object and on two, and how many of the first are above nearly all others."""
    steps = range(len(objects) - 1)
    pairs = [cosines(np.stack(vectors[t : t + 2]), objects[t : t + 2], 0, 1) for t in steps]
    same, other = (np.concatenate(found) for found in zip(*pairs, strict=True))
    share = np.mean(same > np.quantile(other, 1 - FALSE_RATE))
    return (
        f"median cosine {np.median(same):.3f} on one object, {np.median(other):.3f} on two;"
        f" {100 * share:.1f} % of {len(same)} pairs found at {100 * FALSE_RATE:g} % false ones"
    )


def draw_pair(
    frames: Sequence[Frame],
    objects: Sequence[np.ndarray],
    vectors: dict[str, list[np.ndarray]],
    most: int,
) -> list[Image.Image]:
    """Two frames with masks, and a matrix for each kind of vectors."""
    shown = [largest(frame, ids, most) for frame, ids in zip(frames, objects, strict=True)]
    pictures = [
        numbered(frame, masks, ids[masks])
        for frame, masks, ids in zip(frames, shown, objects, strict=True)
    ]
    same = objects[0][shown[0]][:, None] == objects[1][shown[1]][None]
    for first, second in vectors.values():
        pictures.append(draw_matrix(first[shown[0]] @ second[shown[1]].T, same))
    return pictures


def largest(frame: Frame, objects: np.ndarray, most: int) -> np.ndarray:
    """Masks that lie on an object, the largest ones, in the order of the objects."""
    areas = np.asarray(unpack_masks(frame.masks)).sum(axis=(1, 2)) * (objects > 0)
    chosen = np.argsort(-areas, kind="stable")[:most]
    chosen = chosen[areas[chosen] > 0]
    return chosen[np.argsort(objects[chosen], kind="stable")]


def numbered(frame: Frame, masks: np.ndarray, objects: np.ndarray) -> Image.Image:
    """A frame with some masks in the colours of their objects, numbered as in the matrix."""
    picture = enlarged(np.asarray(frame.colors), WIDTH)
    planes = np.asarray(unpack_masks(frame.masks))[masks]
    labels = np.zeros(planes.shape[1:], np.uint16)
    for plane, label in zip(planes, objects, strict=True):
        labels[plane] = label
    labels = np.asarray(Image.fromarray(labels).resize(picture.size, Image.Resampling.NEAREST))
    picture = Image.fromarray(overlay_instances(np.asarray(picture), labels))
    draw, scale = ImageDraw.Draw(picture), WIDTH / planes.shape[2]
    for number, plane in enumerate(planes, start=1):
        pixels = np.argwhere(plane)
        y, x = pixels[np.abs(pixels - pixels.mean(axis=0)).sum(axis=1).argmin()] * scale
        draw.text((x, y), str(number), "white", _FONT, "mm", stroke_width=2, stroke_fill="black")
    return picture


def draw_matrix(values: np.ndarray, same: np.ndarray) -> Image.Image:
    """Cosines, darker where greater; rows are masks of the first frame."""
    rows, columns = values.shape
    picture = Image.new("RGB", ((columns + 1) * CELL, (rows + 1) * CELL), "white")
    draw = ImageDraw.Draw(picture)
    low, high = min(0.0, float(values.min(initial=0))), 1.0
    for number in range(max(rows, columns)):
        if number < rows:
            draw.text((CELL / 2, (number + 1.5) * CELL), str(number + 1), INK, _FONT, "mm")
        if number < columns:
            draw.text(((number + 1.5) * CELL, CELL / 2), str(number + 1), INK, _FONT, "mm")
    for (i, j), value in np.ndenumerate(values):
        x, y = (j + 1) * CELL, (i + 1) * CELL
        dark = (value - low) / (high - low)
        shade = tuple(int(255 - dark * (255 - c)) for c in (20, 70, 140))
        draw.rectangle((x, y, x + CELL - 1, y + CELL - 1), shade)
        ink = "white" if dark > 0.55 else INK
        words = f"{value:.2f}".replace("0.", ".")
        draw.text((x + CELL / 2, y + CELL / 2), words, ink, _FONT, "mm")
    for i, j in np.argwhere(same):
        x, y = (j + 1) * CELL, (i + 1) * CELL
        draw.rectangle((x, y, x + CELL - 1, y + CELL - 1), outline=(230, 80, 20), width=3)
    return picture


if __name__ == "__main__":
    run_script(main)
