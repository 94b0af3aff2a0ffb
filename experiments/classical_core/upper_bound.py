"""AP where every mask is put on the object that most of it lies on: what the masks allow.

    python -m experiments.classical_core.upper_bound --results RESULT [RESULT ...] \
        --recordings ROOM [ROOM ...]

Masks and cameras are those of the results' caches. Masks of nothing are left out, larger masks are
under smaller ones, everything else is `moonseg eval`, Protocol A.
"""

import argparse
from pathlib import Path

import numpy as np

from experiments.classical_core.separability import objects_of, read_labels
from moonseg_cli.measured import open_measured
from moonseg_jax.cache import CacheReader
from moonseg_jax.eval import average_precision, count_overlaps, load_ground_truth, read_predictions
from moonseg_jax.eval.associate import unproject_instances
from moonseg_jax.eval.overlaps import SceneOverlaps
from moonseg_jax.eval.views import measured_views
from moonseg_jax.structs import Frame, unpack_masks


def true_map(frame: Frame, labels: np.ndarray) -> np.ndarray:
    """``[Hm Wm]`` true object of the smallest mask over each pixel; 0 = none."""
    masks = np.asarray(unpack_masks(frame.masks))
    objects = objects_of(frame, labels, least=0.0)
    painted = np.zeros(masks.shape[1:], int)
    for i in np.argsort(-masks.sum(axis=(1, 2))):
        if objects[i]:
            painted[masks[i]] = objects[i]
    return painted


def overlaps_of(result: Path, recording: Path) -> SceneOverlaps:
    predictions, truth = read_predictions(result), load_ground_truth(recording)
    reader = CacheReader(predictions.cache)
    names = predictions.info.frame_names
    maps = [true_map(f, read_labels(recording, names[i])) for i, f in enumerate(reader.frames())]
    found = np.unique(np.concatenate([np.unique(m) for m in maps]))
    order = np.zeros(found.max() + 1, int)
    order[found] = np.cumsum(found > 0)
    order[0] = 0
    views = measured_views(predictions, open_measured(None, recording))
    points, size = truth.require_points(), predictions.info.image_size
    labels = unproject_instances(points, views, lambda i: order[maps[i]], size)
    return count_overlaps(truth.instance, labels, np.ones(order.max(), np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", nargs="+", type=Path, required=True)
    parser.add_argument("--recordings", nargs="+", type=Path, required=True)
    args = parser.parse_args()
    pairs = zip(args.results, args.recordings, strict=True)
    metrics = average_precision([overlaps_of(*pair) for pair in pairs], "nine", "constant")
    print(" ".join(f"{name.upper()} {100 * metrics[name]:.1f}" for name in ("ap", "ap50", "ap25")))


if __name__ == "__main__":
    main()
