"""Figure 4: principal components of ψ(F), trained without and with distillation.

python -m experiments.figures.distillation --cache CACHE --without W --with W --out FIGURE.png

A row for each kind of features, with one basis for all frames; those of ψ(F) say L_dist (Eq. 6).
"""

import argparse
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from experiments.dataset import run_script
from experiments.figures.panels import enlarged, evenly, write_sheet
from moonseg_jax import LoadedCore, load_core
from moonseg_jax.cache import CacheReader
from moonseg_jax.losses import dist_loss
from moonseg_jax.structs import Frame

WIDTH = 240


def main() -> None:
    parser = argparse.ArgumentParser(description="Principal components of ψ(F), as Figure 4.")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--without", required=True, help="weights trained without distillation")
    parser.add_argument("--with", dest="distilled", required=True, help="weights trained with it")
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True, help="PNG")
    args = parser.parse_args()

    reader = CacheReader(args.cache, state_attention=False)
    chosen = evenly(len(reader), args.frames)
    frames = [reader.frame(i) for i in chosen]
    words, rows = [""], [[enlarged(np.asarray(f.colors), WIDTH) for f in frames]]
    kinds = {
        "F2d": [np.asarray(f.features_2d, np.float32) for f in frames],
        "F3d": [np.asarray(f.features_3d, np.float32) for f in frames],
    }
    for name, weights in {"without": args.without, "with": args.distilled}.items():
        features, loss = reference_features(load_core(reader.info, weights), frames)
        print(f"{name:8} L_dist {loss:.4f}  {weights}")
        kinds[f"psi(F) {name}\nL_dist {loss:.3f}"] = features
    for name, features in kinds.items():
        words.append(name)
        colors = principal_colors(np.stack(features))
        rows.append([enlarged(c, WIDTH, smooth=False) for c in colors])
    write_sheet(args.out, rows, [reader.info.frame_names[i] for i in chosen], words)
    print(args.out)


def reference_features(core: LoadedCore, frames: list[Frame]) -> tuple[list[np.ndarray], float]:
    """ψ(F) of frames, each ``[h w d]``, and their mean L_dist."""
    module, found, losses = core.module, [], []
    for frame in frames:
        f3, f2 = jnp.asarray(frame.features_3d), jnp.asarray(frame.features_2d)
        psi = module.reference(module.tokens(f3, f2))
        flat = (f.reshape(-1, f.shape[-1]) for f in (f3, f2))
        losses.append(float(dist_loss(psi, *flat)))
        found.append(np.asarray(psi, np.float32).reshape(*f3.shape[:2], -1))
    return found, float(np.mean(losses))


def principal_colors(features: np.ndarray) -> np.ndarray:
    """Three principal components of patches of length one as red, green and blue.

    Args:
        features: ``[t h w c]``.

    Returns:
        ``[t h w 3]`` uint8.
    """
    flat = features.reshape(-1, features.shape[-1])
    flat = flat / np.maximum(np.linalg.norm(flat, axis=-1, keepdims=True), 1e-6)
    flat = flat - flat.mean(axis=0)
    axes = np.linalg.svd(flat.T @ flat)[0][:, :3]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    parts = flat @ axes
    low, high = np.quantile(parts, (0.02, 0.98), axis=0)
    shades = np.clip((parts - low) / np.maximum(high - low, 1e-6), 0, 1)
    return (255 * shades).astype(np.uint8).reshape(*features.shape[:3], -1)


if __name__ == "__main__":
    run_script(main)
