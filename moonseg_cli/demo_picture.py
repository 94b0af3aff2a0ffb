"""The demo's picture: what went in, what came out, and what is true, in the same colours."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.optimize import linear_sum_assignment

from moonseg_cli.demo_errors import onto_measured
from moonseg_cli.measured import RecordedFrames
from moonseg_jax.eval import load_ground_truth, read_predictions
from moonseg_jax.eval.associate import associate
from moonseg_jax.eval.predictions import Predictions
from moonseg_jax.eval.views import measured_poses
from moonseg_jax.viz.overlay import overlay_instances
from moonseg_jax.viz.palette import NO_INSTANCE, tint_instances
from moonseg_jax.viz.render import Camera, doll_house_camera, render, top_camera
from moonseg_jax.viz.sheet import beside, cell_width, line, stack
from moonseg_jax.viz.upright import UprightCloud, stand_up

FRAMES = 6
CLOUD_HEIGHT = 480
POINTS = 120_000  # Of a cloud, drawn.


def write_picture(path: Path, result: Path, room: Path, metrics: dict[str, dict[str, Any]]) -> None:
    """Draws input, prediction and truth.

    Args:
        path: of the PNG.
        result: predictions folder.
        room: the rendered room: images, label maps and ground truth.
        metrics: of the result, by association.
    """
    predictions, measured = read_predictions(result), RecordedFrames(room)
    with np.load(room / "gt.npz") as truth:
        vertices, instance = truth["points"], truth["instance"]
    votes = associate(predictions, load_ground_truth(room), "gt", measured=measured)
    ids = ids_of_truth(votes, instance, predictions.num_instances)
    rows = [line(_title(predictions, metrics))]
    rows += _frame_rows(predictions, room, ids)
    rows += [line(["reconstructed, its instances, and the true ones, each in the same colour"])]
    rows += _cloud_rows(predictions, measured, vertices, instance, ids)
    stack(rows).save(path)


def ids_of_truth(votes: np.ndarray, instance: np.ndarray, count: int) -> np.ndarray:
    """For predicted ids ``0..count`` the true one that each overlaps, one to one, most of all.

    Those that overlap none, or one that another overlaps more, get numbers that are not in use.

    Args:
        votes: ``[v]`` predicted ids of the ground truth's vertices, 0 = none.
        instance: ``[v]`` true ids, 0 = none.
        count: of predicted instances.
    """
    most = int(instance.max(initial=0))
    shared = np.zeros((count + 1, most + 1), np.int64)
    np.add.at(shared, (votes, instance), 1)
    told, true = linear_sum_assignment(-shared[1:, 1:])
    ids = np.concatenate([[0], most + 1 + np.arange(count)])
    found = shared[told + 1, true + 1] > 0
    ids[told[found] + 1] = true[found] + 1
    return ids


def _title(predictions: Predictions, metrics: dict[str, dict[str, Any]]) -> list[str]:
    info = predictions.info
    given = "RGB alone" if info.poses == "predicted" else "RGB, depth and poses"
    where = "in the frames", "in space"  # Protocols A and B.
    scores = [
        f"AP {100 * by['ap']:.1f} {name}" for name, by in zip(where, metrics.values(), strict=True)
    ]
    words = [f"{len(info.frame_names)} frames, {given}", f"{predictions.num_instances} instances"]
    return [*words, *scores, "seen, found, true"]


def _frame_rows(predictions: Predictions, room: Path, ids: np.ndarray) -> list[Image.Image]:
    """Images; instances found in them; true ones."""
    names = predictions.info.frame_names
    chosen = np.unique(np.linspace(0, len(names) - 1, FRAMES).round().astype(int))
    height, width = predictions.info.image_size
    across = cell_width(len(chosen))
    cell = (across, round(across * height / width))
    images, found, true = [], [], []
    for i in chosen:
        image = Image.fromarray(_read(room / "color" / f"{names[i]}.jpg")).resize(cell)
        images.append(image)
        found.append(_overlay(image, ids[predictions.label_map(int(i))]))
        true.append(_overlay(image, _read(room / "instance" / f"{names[i]}.png")))
    return [beside(row) for row in (images, found, true)]


def _read(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


def _overlay(image: Image.Image, labels: np.ndarray) -> Image.Image:
    fitted = Image.fromarray(labels.astype(np.int32)).resize(image.size, Image.Resampling.NEAREST)
    return Image.fromarray(overlay_instances(np.asarray(image), np.asarray(fitted)))


def _cloud_rows(
    predictions: Predictions,
    measured: RecordedFrames,
    vertices: np.ndarray,
    instance: np.ndarray,
    ids: np.ndarray,
) -> list[Image.Image]:
    """From above a corner and from above: the cloud, its instances, the true ones."""
    similarity = onto_measured(predictions, measured)
    poses = np.stack(list(measured_poses(predictions, measured).values()))
    some = slice(None, None, max(1, len(predictions.points) // POINTS))
    few = slice(None, None, max(1, len(vertices) // POINTS))
    told = stand_up(similarity.apply(predictions.points[some].astype(np.float64)), poses)
    true = stand_up(vertices[few].astype(np.float64), poses)
    colors = predictions.colors[some]
    colorings = colors, tint_instances(colors, ids[predictions.instance[some]])
    grey = np.full((len(true.points), 3), NO_INSTANCE, np.uint8)
    labelled = tint_instances(grey, instance[few])
    house = doll_house_camera(true, instance[few] > 0)
    return [_cloud_row(told, colorings, true, labelled, camera) for camera in (house, top_camera())]


def _cloud_row(
    told: UprightCloud,
    colorings: tuple[np.ndarray, np.ndarray],
    true: UprightCloud,
    labelled: np.ndarray,
    camera: Camera,
) -> Image.Image:
    size = (CLOUD_HEIGHT, cell_width(3))
    return beside([*render(told, colorings, camera, size), *render(true, [labelled], camera, size)])
