"""The picture of a result: frames, frames with instances, the cloud, the cloud with instances."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from moonseg_jax.structs import Recording
from moonseg_jax.viz.overlay import overlay_instances
from moonseg_jax.viz.palette import tint_instances
from moonseg_jax.viz.render import doll_house_camera, render, top_camera
from moonseg_jax.viz.sheet import beside, cell_width, line, stack
from moonseg_jax.viz.upright import NEIGHBOURS, stand_up

if TYPE_CHECKING:
    from moonseg_jax.eval.predictions import Predictions

_CLOUD_HEIGHT = 620
_FRAMES = 6


def write_contact_sheet(path: str | Path, predictions: "Predictions", recording: Recording) -> None:
    """Draws a result as one PNG.

    Args:
        path: file to write.
        predictions: the result.
        recording: of which it is the result, for the frames' colours.
    """
    rows = [_title(predictions), *_frame_rows(predictions, recording)]
    if len(predictions.points) >= NEIGHBOURS:
        rows += _cloud_rows(predictions)
    stack(rows).save(path)


def _title(predictions: "Predictions") -> Image.Image:
    info, count = predictions.info, len(predictions.scores)
    words = [info.scene, f"{count} instances", f"{len(info.frame_names)} frames"]
    words.append(f"{info.geometry.name} geometry, {info.semantics.name} features")
    return line(words)


def _frame_rows(
    predictions: "Predictions", recording: Recording
) -> tuple[Image.Image, Image.Image]:
    """Colour images above, instances below, of frames evenly chosen."""
    total = len(predictions.info.frame_names)
    chosen = np.unique(np.linspace(0, total - 1, _FRAMES).round().astype(int))
    height, width = predictions.info.image_size
    across = cell_width(len(chosen))
    cell = (across, round(across * height / width))
    images, overlays = [], []
    for i in chosen:
        image = Image.fromarray(recording.colors(int(i)))
        image = image.resize(cell, Image.Resampling.BICUBIC)
        labels = Image.fromarray(predictions.label_map(int(i))).resize(
            cell, Image.Resampling.NEAREST
        )
        images.append(image)
        overlays.append(Image.fromarray(overlay_instances(np.asarray(image), np.asarray(labels))))
    return beside(images), beside(overlays)


def _cloud_rows(predictions: "Predictions") -> list[Image.Image]:
    """The room from above a corner, and its plan, in colour and by instance."""
    cloud = stand_up(predictions.points.astype(np.float64), predictions.T_world_from_cam)
    by_instance = tint_instances(predictions.colors, predictions.instance)
    house = doll_house_camera(cloud, predictions.instance > 0)
    size = (_CLOUD_HEIGHT, cell_width(2))
    return [
        beside(render(cloud, (predictions.colors, by_instance), camera, size))
        for camera in (house, top_camera())
    ]
