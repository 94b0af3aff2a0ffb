"""A result in pictures, on a machine without a display: one, or a film around the scene."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from PIL import Image

from moonseg_jax.structs import InputError
from moonseg_jax.viz.palette import tint_instances
from moonseg_jax.viz.render import Camera, doll_house_camera, render
from moonseg_jax.viz.upright import NEIGHBOURS, UprightCloud, stand_up

if TYPE_CHECKING:
    from moonseg_jax.eval.predictions import Predictions

_PICTURE_SIZE = (720, 960)
_FILM_SIZE = (480, 640)
_PER_SECOND = 18


class Turntable:
    """A result, standing upright, to be drawn from around.

    Args:
        predictions: the result.

    Raises:
        InputError: it has next to no points.
    """

    def __init__(self, predictions: "Predictions"):
        if len(predictions.points) < NEIGHBOURS:
            raise InputError(
                f"{predictions.path} has {len(predictions.points)} points, too few to draw"
            )
        points = predictions.points.astype(np.float64)
        self._cloud: UprightCloud = stand_up(points, predictions.T_world_from_cam)
        self._colors = tint_instances(predictions.colors, predictions.instance)
        self._first = doll_house_camera(self._cloud, predictions.instance > 0)

    def picture(self) -> Image.Image:
        """From above the corner that shows most instances."""
        return self._draw(self._first, _PICTURE_SIZE)

    def turn(self, frames: int) -> Iterator[Image.Image]:
        """Pictures for `write_film`, once around the scene, from the first picture's side on."""
        for turned in np.arange(frames) * 360 / frames:
            camera = replace(self._first, azimuth=self._first.azimuth + turned)
            yield self._draw(camera, _FILM_SIZE)

    def _draw(self, camera: Camera, size: tuple[int, int]) -> Image.Image:
        return render(self._cloud, [self._colors], camera, size)[0]


def write_film(path: str | Path, pictures: Iterator[Image.Image]) -> None:
    """An H.264 film in MP4, which browsers and slides play.

    Args:
        path: file to write.
        pictures: as `Turntable.turn` gives them.
    """
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(_PER_SECOND))
        stream.height, stream.width = _FILM_SIZE
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "20"}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode(None))
