"""Geometry as CUT3R predicts it, from images alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bridges.backbones.cut3r import (
    Cut3r,
    Cut3rOutput,
    Cut3rStream,
    GraphedCut3r,
    UpdateRule,
    normalise_images,
)
from bridges.backbones.interfaces import POINT_STRIDE, Geometry
from moonseg_jax.structs import SourceFrame


@dataclass(frozen=True)
class Cut3rSettings:
    """How CUT3R is run.

    Attributes:
        update_rule: of its state.
        reset_every: frames after which the state starts anew; 0 = never.
        state_attention: whether A is given.
    """

    update_rule: UpdateRule = "cut3r"
    reset_every: int = 0
    state_attention: bool = False


class Cut3rGeometry:
    """One scene, frame by frame: the world is the first camera's frame, lengths in scene units.

    Points and confidences are those of the world-view head (the paper's X_t), taken at the centres
    of cells; features are D1, state attention D2.

    Args:
        runner: the model, or its captured step for the size of these images.
        weights_sha256: of its tensors.
        settings: how to run it.
    """

    name = "cut3r"
    threaded = False
    units = "scene"
    poses = "predicted"

    def __init__(
        self,
        runner: Cut3r | GraphedCut3r,
        weights_sha256: str,
        settings: Cut3rSettings,
    ) -> None:
        self._model = runner.model if isinstance(runner, GraphedCut3r) else runner
        self.weights_sha256 = weights_sha256
        self.channels = self._model.config.width
        self.state_tokens = self._model.config.state_tokens if settings.state_attention else 0
        self.settings = settings
        self._stream = Cut3rStream(runner, settings.update_rule, settings.reset_every)

    @property
    def config(self) -> dict[str, Any]:
        """What defines the numbers, for the cache's provenance."""
        return {
            "variant": self._model.config.name,
            "dtype": str(self._model.decoder.embed.weight.dtype).removeprefix("torch."),
            "points": "world",
            "update_rule": self.settings.update_rule,
            "reset_every": self.settings.reset_every,
        }

    def begin(self, first: SourceFrame) -> None:
        """Forgets what was."""
        self._stream.begin()

    def __call__(self, frame: SourceFrame, image: np.ndarray) -> Geometry:
        """Reconstructs the next frame; tensors on the model's device."""
        pixels = normalise_images(image[None], self._model.initial_tokens.device)
        return _at_cells(self._stream(pixels, with_attention=self.settings.state_attention))


def make_runner(
    model: Cut3r, image_size: tuple[int, int], settings: Cut3rSettings
) -> Cut3r | GraphedCut3r:
    """On a GPU the step captured for one image size; the model itself elsewhere."""
    if model.initial_tokens.device.type != "cuda":
        return model
    attention = settings.state_attention
    return GraphedCut3r(
        model, image_size, with_attention=attention, update_rule=settings.update_rule
    )


def _at_cells(output: Cut3rOutput) -> Geometry:
    """The first scene of a batch, at the pointmap's stride, in the cache's precisions."""
    half = POINT_STRIDE // 2
    cells = (slice(half, None, POINT_STRIDE),) * 2
    attention = output.state_attention
    return Geometry(
        points=output.points_world[0][cells].float().contiguous(),
        confidence=output.conf_world[0][cells].float().contiguous(),
        features_3d=output.features[0].to(torch.float16).contiguous(),
        T_world_from_cam=output.T_world_from_cam[0].float(),
        intrinsics=output.intrinsics[0].float(),
        state_attention=None if attention is None else attention[0].to(torch.float16).contiguous(),
    )
