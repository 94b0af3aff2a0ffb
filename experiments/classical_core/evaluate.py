"""AP of every row of the ablation on recordings with ground truth, for three kinds of masks.

python experiments/classical_core/evaluate.py --recordings ROOM [ROOM ...] --out=out/classical_core

Masks: "given" (the recording's own instance maps: an upper bound), "corrupted" (the same through
the corruptor, a stand-in for a 2D model) and "felzenszwalb" (no labels at all).
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from moonseg_cli.cache import cache_recording
from moonseg_cli.eval import evaluate_results
from moonseg_cli.segment import segment_cache
from moonseg_jax.rooms import CorruptionRates, corrupt_masks
from moonseg_jax.weights import FOLDER

ROWS = {
    "features only": "none",
    "+ refinement": "classical_refinement",
    "+ distillation": "classical_distillation",
    "+ memory": "classical",
}
SHIPPED = ["features only", "+ memory"]


def corrupted_masks(recording: Path, out: Path, seed: int) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for file in sorted((recording / "instance").glob("*.png")):
        labels = np.asarray(Image.open(file))
        Image.fromarray(corrupt_masks(labels, rng, CorruptionRates())).save(out / file.name)
    return out


def caches_of(recording: Path, out: Path, kinds: list[str], stride: int) -> dict[str, Path]:
    sources = {"given": recording / "instance", "felzenszwalb": "felzenszwalb"}
    caches = {}
    for kind in kinds:
        caches[kind] = out / recording.name / kind
        if caches[kind].exists():
            continue
        if kind == "corrupted":
            sources[kind] = corrupted_masks(recording, out / recording.name / "masks", seed=0)
        cache_recording(str(recording), caches[kind], masks=str(sources[kind]), stride=stride)
    return caches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", nargs="+", type=Path, required=True)
    parser.add_argument("--masks", nargs="+", default=["given", "corrupted", "felzenszwalb"])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=SHIPPED)
    parser.add_argument("--weights", type=Path, default=FOLDER, help="folder of weights files")
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args, overrides = parser.parse_known_args()

    caches = {r: caches_of(r, args.out, args.masks, args.stride) for r in args.recordings}
    table = []
    for kind in args.masks:
        for row in args.rows:
            weights = ROWS[row]
            checkpoint = weights if weights == "none" else args.weights / f"{weights}.safetensors"
            results = [args.out / r.name / f"{kind}_{weights}" for r in args.recordings]
            for recording, result in zip(args.recordings, results, strict=True):
                segment_cache(caches[recording][kind], result, checkpoint, overrides)
            metrics = evaluate_results(results, args.recordings)
            table.append({"masks": kind, "row": row, **metrics})
            scores = " ".join(f"{100 * metrics[m]:5.1f}" for m in ("ap", "ap50", "ap25"))
            print(f"{kind:14}{row:18}{scores}", flush=True)
    (args.out / "table.json").write_text(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
