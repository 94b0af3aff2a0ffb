"""Figure 3: what was found in rooms, ours beside other methods on the same caches.

python -m experiments.figures.qualitative --caches CACHES --ground-truth ROOMS --scenes LIST \
    --methods sam3d features ours --out OUT

A row for each scene: the reconstruction in colour, and the ground truth's vertices by true instance
and by those of each method, in the colour of the object that each has most in common with. Leaves
``figure.png`` and, as `experiments.table1.run` does, ``METHOD/SCENE`` predictions folders, which
are taken as they are where they are there already.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.optimize import linear_sum_assignment

from experiments.dataset import add_data_flags, open_dataset, run_script, settings_of
from experiments.figures.panels import write_sheet
from experiments.table1.run import TITLES, segment, title_of
from moonseg_cli.measured import open_measured
from moonseg_jax.eval import (
    EvalSettings,
    Predictions,
    SceneFiles,
    load_ground_truth,
    place_of,
    pool_scores,
    read_predictions,
    score_scene,
)
from moonseg_jax.eval.align import align_trajectories
from moonseg_jax.eval.associate import associate
from moonseg_jax.eval.views import folder_of, measured_poses
from moonseg_jax.viz.palette import tint_instances
from moonseg_jax.viz.render import doll_house_camera, render
from moonseg_jax.viz.upright import UprightCloud, stand_up

SIZE = (330, 420)
UNTINTED = 200  # Grey of ground truth, which has no colours.


def main() -> None:
    parser = argparse.ArgumentParser(description="Results in rooms, as Figure 3.")
    add_data_flags(parser)
    parser.add_argument("--methods", nargs="+", default=["sam3d", "ours"], choices=TITLES)
    parser.add_argument("--checkpoint", help="of ours; default: the shipped weights that fit")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    dataset, settings = open_dataset(args), settings_of(args)
    rows, below = [], []
    for scene in dataset.scenes:
        results = {method: args.out / method / scene.scene for method in args.methods}
        for method, result in results.items():
            if not result.exists():
                checkpoint = "none" if method == "features" else args.checkpoint
                segment(method, checkpoint, place_of(args.caches, scene.scene), result)
        pictures, words = draw_scene(scene, list(results.values()), settings)
        rows.append(pictures)
        below.append(words)
        print(scene.scene, *words[2:], sep="   ", flush=True)
    last = read_predictions(args.out / args.methods[-1] / dataset.scenes[-1].scene)
    methods = (title_of(method, last.info.poses == "predicted") for method in args.methods)
    titles = ("reconstruction", "ground truth", *methods)
    names = [scene.scene for scene in dataset.scenes]
    write_sheet(args.out / "figure.png", rows, titles, names, below)
    print(args.out / "figure.png")


def draw_scene(
    scene: SceneFiles, results: list[Path], settings: EvalSettings
) -> tuple[list[Image.Image], list[str]]:
    """A scene's pictures, from one place, and what to say below each."""
    measured = open_measured(scene.recording, scene.ground_truth)
    truth = load_ground_truth(scene.ground_truth, settings.gt_mode, folder_of(measured))
    found = [read_predictions(result) for result in results]
    vertices = truth.require_points().astype(np.float64)
    colorings, words = (
        [_tinted(truth.instance)],
        [f"{len(np.unique(truth.instance[truth.instance > 0]))} objects"],
    )
    for predictions in found:
        labels = associate(predictions, truth, settings.association, measured=measured)
        colorings.append(_tinted(alike(labels, truth.instance)))
        score = score_scene(predictions.path, scene.ground_truth, settings, measured)
        numbers = pool_scores([score], settings)
        aps = " / ".join(f"{100 * numbers[name]:.1f}" for name in ("ap", "ap50", "ap25"))
        words.append(f"AP {aps}, {predictions.num_instances} found")
    poses = measured_poses(found[-1], measured)
    cloud = stand_up(vertices, np.stack(list(poses.values())).astype(np.float64))
    camera = doll_house_camera(cloud, truth.instance > 0)
    own = _reconstruction(found[-1], poses, vertices, cloud)
    pictures = [
        *render(own, [found[-1].colors], camera, SIZE),
        *render(cloud, colorings, camera, SIZE),
    ]
    return pictures, [f"{found[-1].info.geometry.name} geometry", *words]


def alike(labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Instances with the ids of the objects they are, by intersection over union; others follow.

    Args:
        labels: ``[v]`` found, 0 = none.
        truth: ``[v]``, 0 = none.
    """
    most = int(truth.max(initial=0))
    common = np.zeros((most + 1, int(labels.max(initial=0)) + 1), int)
    np.add.at(common, (truth, labels), 1)
    union = common.sum(axis=0)[None] + common.sum(axis=1)[:, None] - common
    share = (common / np.maximum(union, 1))[1:, 1:]
    fresh = np.concatenate([[0], most + 1 + np.arange(share.shape[1])])
    for i, j in zip(*linear_sum_assignment(-share), strict=True):
        if share[i, j] > 0:
            fresh[j + 1] = i + 1
    return fresh[labels]


def _tinted(instance: np.ndarray) -> np.ndarray:
    return tint_instances(np.full((len(instance), 3), UNTINTED, np.uint8), instance)


def _reconstruction(
    predictions: Predictions, poses: dict[int, np.ndarray], truth: np.ndarray, upright: UprightCloud
) -> UprightCloud:
    """A result's own cloud, turned as the ground truth was."""
    points = predictions.points.astype(np.float64)
    if predictions.info.poses == "predicted":
        own = predictions.T_world_from_cam[list(poses), :3, 3].astype(np.float64)
        measured = np.stack([T[:3, 3] for T in poses.values()])
        points = align_trajectories(own, measured, str(predictions.path)).apply(points)
    cloud = stand_up(points, np.stack(list(poses.values())).astype(np.float64))
    wanted = points @ np.linalg.lstsq(truth, upright.points)[0]
    turn = np.linalg.lstsq(cloud.points, wanted)[0]
    return UprightCloud(wanted, cloud.normals @ turn, cloud.spacing)


if __name__ == "__main__":
    run_script(main)
