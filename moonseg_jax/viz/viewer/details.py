"""What the viewer tells of single instances and frames."""

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from moonseg_jax.structs import Recording
from moonseg_jax.viz.overlay import overlay_instances

if TYPE_CHECKING:
    from moonseg_jax.eval.predictions import Predictions

_WIDTH = 480
_BEST_FRAMES = 4
_MOST_RANGES = 10
_NO_PICTURE = 225


class Details:
    """A result's instances and frames, for people.

    Reads every label map once.

    Args:
        predictions: the result.
        recording: for the frames' colours; without it they are grey.

    Attributes:
        order: ids, surest first.
    """

    def __init__(self, predictions: "Predictions", recording: Recording | None = None):
        self.predictions = predictions
        self._recording = recording
        ids = predictions.num_instances + 1
        frames = range(len(predictions.info.frame_names))
        self._pixels = np.stack(
            [np.bincount(predictions.label_map(i).ravel(), minlength=ids) for i in frames]
        )
        self.order = 1 + np.argsort(-predictions.scores, kind="stable")

    def frames(self, instance: int) -> np.ndarray:
        """The frames an instance is marked in."""
        return np.flatnonzero(self._pixels[:, instance])

    def label(self, instance: int) -> str:
        """One line, for a list."""
        i = instance - 1
        observations = int(self.predictions.observations[i])
        return f"{instance}  ·  {self.predictions.scores[i]:.2f}  ·  {observations} frames"

    def text(self, instance: int) -> str:
        """Markdown: everything known about an instance."""
        result, i = self.predictions, instance - 1
        metres = " m" if result.info.units == "metre" else ""
        sides = " × ".join(f"{side:.2f}" for side in result.boxes[i, 1] - result.boxes[i, 0])
        return (
            f"**Instance {instance}**, score {result.scores[i]:.3f}  \n"
            f"frames {result.first_frame[i]} to {result.last_frame[i]},"
            f" observed in {result.observations[i]}  \n"
            f"box {sides}{metres}  \n"
            f"in frames {_ranges(self.frames(instance))}"
        )

    def picture(self, frame: int) -> np.ndarray | None:
        """``[Hp Wp 3]`` uint8 of a frame as it was recorded; None without a recording."""
        return None if self._recording is None else self._recording.colors(frame)

    def labelled(self, frame: int, width: int = _WIDTH, only: int = 0) -> np.ndarray:
        """A frame with its instances drawn on, or with only one of them.

        Returns:
            ``[_ width 3]`` uint8.
        """
        labels = self.predictions.label_map(frame)
        if only:
            labels = np.where(labels == only, labels, 0).astype(labels.dtype)
        height, full_width = self.predictions.info.image_size
        size = (width, round(width * height / full_width))
        picture = self.picture(frame)
        if picture is None:
            picture = np.full((1, 1, 3), _NO_PICTURE, np.uint8)
        image = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
        shown = Image.fromarray(labels).resize(size, Image.Resampling.NEAREST)
        return overlay_instances(np.asarray(image), np.asarray(shown))

    def best_frames(self, instance: int) -> np.ndarray | None:
        """The frames that show most of an instance, two by two; None where none does."""
        best = np.argsort(-self._pixels[:, instance], kind="stable")[:_BEST_FRAMES]
        best = np.sort(best[self._pixels[best, instance] > 0])
        tiles = [self._tile(int(frame), instance) for frame in best]
        if not tiles:
            return None
        tiles += [np.full_like(tiles[0], 255)] * (len(tiles) % 2)
        pairs = zip(tiles[::2], tiles[1::2], strict=True)
        return np.concatenate([np.concatenate(pair, axis=1) for pair in pairs])

    def _tile(self, frame: int, instance: int) -> np.ndarray:
        image = Image.fromarray(self.labelled(frame, _WIDTH // 2, only=instance))
        font = ImageFont.load_default(size=15)
        draw = ImageDraw.Draw(image)
        draw.text((5, 3), str(frame), "white", font, stroke_width=2, stroke_fill="black")
        return np.asarray(image)


def _ranges(frames: np.ndarray) -> str:
    """``3-5, 8, 10-12``, the first so many."""
    starts = np.flatnonzero(np.diff(frames, prepend=-2) != 1)
    runs = [frames[a:b] for a, b in pairwise([*starts, len(frames)])]
    words = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    more = ", …" if len(words) > _MOST_RANGES else ""
    return ", ".join(words[:_MOST_RANGES]) + more or "none"
