"""How well the cosine of two queries tells whether their masks lie on one object.

    python -m experiments.classical_core.separability --recordings ROOM [ROOM ...] \
        --caches CACHE [CACHE ...] --checkpoints none moonseg_jax/weights/classical.safetensors

A steadier measure than AP, which moves by points from one threshold to the next. Masks are given
the object that most of their pixels lie on; those with less than 70 % on one are left out. Queries
are refined in clips of 16 frames, as in training.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from moonseg_cli.runtime import enable_compilation_cache
from moonseg_jax import LoadedCore, load_core
from moonseg_jax.cache import CacheReader
from moonseg_jax.losses import index_maps, refine_clip
from moonseg_jax.models import mask_coverage
from moonseg_jax.structs import Frame, SceneInfo, unpack_masks

CLIP = 16
GAPS = {"same frame": 0, "next frame": 1, "eight frames on": 8}
PURE = 0.7  # Least share of a mask on one object.
FALSE_RATE = 0.01


def clip_queries(loaded: LoadedCore, info: SceneInfo):
    """A compiled function from a clip to its queries ``[t q d]`` of length one."""
    core = loaded.module

    def queries(clip: Frame) -> jax.Array:
        coverage = mask_coverage(unpack_masks(clip.masks), info.grid)
        tokens = jax.vmap(core.tokens)(clip.features_3d, clip.features_2d)
        seen = index_maps(core, clip, coverage, info.grid, info.image_size, loaded.config)
        refined, _ = refine_clip(core, tokens, coverage, clip.mask_valid, seen, info.grid)
        return refined / jnp.linalg.norm(refined, axis=-1, keepdims=True)

    return jax.jit(queries)


def objects_of(frame: Frame, labels: np.ndarray, least: float = PURE) -> np.ndarray:
    """The object of each mask, ``[q]``; 0 for padding, background, and a lesser share of one."""
    masks = np.asarray(unpack_masks(frame.masks))
    step = labels.shape[0] // masks.shape[1]
    sampled = labels[step // 2 :: step, step // 2 :: step]
    found = np.zeros(len(masks), int)
    for i in np.flatnonzero(frame.mask_valid):
        counts = np.bincount(sampled[masks[i]])
        if counts.max() > least * counts.sum():
            found[i] = counts.argmax()
    return found


def collect(loaded: LoadedCore, recordings: list[Path], caches: list[Path]) -> dict[str, tuple]:
    """Cosines of pairs on one object, and on two, by the frames between them."""
    same, other, compiled = defaultdict(list), defaultdict(list), None
    for recording, cache in zip(recordings, caches, strict=True):
        reader = CacheReader(cache)
        compiled = compiled or clip_queries(loaded, reader.info)
        for start in range(0, len(reader) - CLIP + 1, CLIP):
            queries = np.asarray(compiled(reader.clip(start, CLIP)))
            objects = [
                objects_of(reader.frame(i), read_labels(recording, reader.info.frame_names[i]))
                for i in range(start, start + CLIP)
            ]
            for name, gap in GAPS.items():
                for t in range(CLIP - gap):
                    pairs = cosines(queries, objects, t, t + gap)
                    same[name].append(pairs[0])
                    other[name].append(pairs[1])
    return {name: (np.concatenate(same[name]), np.concatenate(other[name])) for name in GAPS}


def cosines(queries: np.ndarray, objects: list[np.ndarray], t: int, u: int) -> tuple:
    """Cosines between the queries of two frames (or of one): same object, different ones."""
    first, second = objects[t] > 0, objects[u] > 0
    cosine = queries[t][first] @ queries[u][second].T
    same = objects[t][first][:, None] == objects[u][second][None]
    counted = np.triu(np.ones_like(same), 1) if t == u else np.ones_like(same)
    return cosine[same & counted], cosine[~same & counted]


def read_labels(recording: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(recording / "instance" / f"{name}.png")).astype(int)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", nargs="+", type=Path, required=True)
    parser.add_argument("--caches", nargs="+", type=Path, required=True)
    parser.add_argument("--checkpoints", nargs="+", default=["none"])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    enable_compilation_cache()
    table = []
    for checkpoint in args.checkpoints:
        loaded = load_core(CacheReader(args.caches[0]).info, checkpoint)
        for name, (same, other) in collect(loaded, args.recordings, args.caches).items():
            found = float(np.mean(same > np.quantile(other, 1 - FALSE_RATE)))
            row = {"checkpoint": checkpoint, "pairs": name, "found": found, "count": len(same)}
            table.append(row | {"medians": [float(np.median(x)) for x in (same, other)]})
            if not args.json:
                print(f"{checkpoint[-40:]:42}{name:18}{found:.3f} of {len(same)}", flush=True)
    if args.json:
        print(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
