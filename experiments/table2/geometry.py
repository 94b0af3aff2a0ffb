"""What of predicted geometry costs how much in space: Protocol B with true parts in its place.

python -m experiments.table2.geometry --results RESULTS --caches CACHES --ground-truth ROOMS \
    --scenes LIST --weights mini_cut3r.safetensors --out OUT

Results are predictions folders of caches that the small CUT3R made. Their label maps stay as they
are; the cloud is made anew, with points from elsewhere. Beside each row stands the same with the
recording's own masks: what a perfect segmentation would get in that geometry.
"""

import argparse
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from bridges.backbones.cut3r import Cut3r
from bridges.backbones.cut3r.config import MINI
from experiments.dataset import add_data_flags, open_dataset, run_script
from experiments.table2.geometry_rows import ALL_TRUE, AS_IT_IS, geometries, moved
from experiments.table2.geometry_scene import MASKS, OwnPoints, own_points, read_sequence
from moonseg_jax.eval import (
    SceneFiles,
    average_precision,
    count_overlaps,
    load_ground_truth,
    place_of,
)
from moonseg_jax.eval.associate import RADIUS
from moonseg_jax.eval.overlaps import SceneOverlaps
from moonseg_jax.online.surface import SurfaceVotes

VOXEL = 0.02  # Metres: as `moonseg_jax.online.results.SceneResult` has it.
RADII = (0.05, 0.2, 0.4)
APS = ("ap", "ap50", "ap25")


def main() -> None:
    parser = argparse.ArgumentParser(description="Protocol B with true parts of the geometry.")
    add_data_flags(parser)
    parser.add_argument("--results", required=True, help="root, or a path with {scene}")
    parser.add_argument("--weights", type=Path, required=True, help="of the small CUT3R")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    dataset = open_dataset(args, args.results)
    own = partial(own_points, Cut3r.from_checkpoint(args.weights, MINI))
    tables: dict[str, dict[str, list[SceneOverlaps]]] = {}
    errors: dict[str, list[float]] = {}
    for scene in dataset.scenes:
        cache = place_of(args.caches, scene.scene)
        for name, error, masks in try_geometries(scene, cache, own, args.gt_mode):
            row = tables.setdefault(name, {kind: [] for kind in MASKS})
            for kind in MASKS:
                row[kind].append(masks[kind])
            errors.setdefault(name, []).append(error)
        print(scene.scene, flush=True)
    rows = [
        {
            "row": name,
            "error": float(np.mean(errors[name])),
            **{kind: average_precision(tables[name][kind]) for kind in MASKS},
        }
        for name in tables
    ]
    write_table(args.out, rows, len(dataset.scenes))


def try_geometries(
    scene: SceneFiles, cache: Path, own: OwnPoints, gt_mode: str
) -> Iterator[tuple[str, float, dict[str, SceneOverlaps]]]:
    """Of one scene: name of a row, median distance of points from the true ones, overlaps."""
    truth = load_ground_truth(scene.ground_truth, gt_mode)
    vertices = truth.require_points().astype(np.float64)
    seen = read_sequence(scene, cache, own)
    exact = moved(seen.T_true, seen.true)
    for name, points in geometries(seen, vertices).items():
        away = float(np.nanmedian(np.linalg.norm(points - exact, axis=-1)))
        cloud, labels = cloud_of(points, seen.labels)
        distance, nearest = KDTree(cloud).query(vertices, distance_upper_bound=max(RADII))
        radii = (RADIUS, *RADII) if name in (AS_IT_IS, ALL_TRUE) else (RADIUS,)
        for radius in radii:
            told = {
                kind: np.where(distance <= radius, np.append(labels[kind], 0)[nearest], 0)
                for kind in MASKS
            }
            title = name if radius == RADIUS else f"{name}, nearest within {100 * radius:g} cm"
            yield title, away, {k: overlaps(truth.instance, told[k]) for k in MASKS}


def cloud_of(
    points: np.ndarray, labels: dict[str, np.ndarray]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The voxel cloud of a scene, and its labels by the frames' votes."""
    told = {}
    for kind, maps in labels.items():
        surface = SurfaceVotes(VOXEL)
        for frame, label in zip(points, maps, strict=True):
            there = np.isfinite(frame).all(axis=-1)
            black = np.zeros((there.sum(), 3), np.uint8)
            surface.add(frame[there], black, label[there] - 1)
        cloud, _, told[kind] = surface.cloud(np.arange(1, maps.max() + 2, dtype=np.int32))
    return cloud, told


def overlaps(truth: np.ndarray, labels: np.ndarray) -> SceneOverlaps:
    """Ids as `count_overlaps` takes them."""
    ids, compact = np.unique(np.append(labels, 0), return_inverse=True)
    return count_overlaps(truth, compact[:-1], np.ones(len(ids) - 1))


def write_table(out: Path, rows: list[dict[str, Any]], scenes: int) -> None:
    """``geometry.md`` and ``geometry.json``."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "geometry.json").write_text(json.dumps(rows, indent=1) + "\n")
    lines = [
        "| geometry | points off by, cm | masks as found: AP / AP50 / AP25 | true masks |",
        "|---|---|---|---|",
    ]
    for row in rows:
        cells = (" / ".join(f"{100 * row[kind][ap]:.1f}" for ap in APS) for kind in MASKS)
        lines.append(f"| {row['row']} | {100 * row['error']:.1f} | {' | '.join(cells)} |")
    text = "\n".join([*lines, "", f"{scenes} scenes pooled, nearest point within {RADIUS:g} m."])
    (out / "geometry.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    run_script(main)
