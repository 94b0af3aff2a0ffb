"""Geometry as CUT3R predicts it, from images alone."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bridges.backbones.cut3r import (
    Cut3rConfig,
    Cut3rOutput,
    Cut3rState,
    Cut3rStream,
    normalise_images,
    shrink_images,
)
from bridges.backbones.cut3r_runner import Cut3rRunner, Cut3rSettings, make_runner, rows
from bridges.backbones.interfaces import POINT_STRIDE, Geometry
from bridges.preprocess import PATCH
from moonseg_jax.structs import SourceFrame

__all__ = ["Cut3rGeometry", "Cut3rSettings", "make_runner"]


class Cut3rGeometry:
    """One scene: the world is the first camera's frame, lengths in scene units.

    Points and confidences are those of the world-view head (the paper's X_t), taken at the centres
    of cells; features are D1, state attention D2.

    Args:
        runner: the model, shared by scenes of one image size.
        weights_sha256: of its tensors.
        settings: how to run it.
        name: as on the command line.
    """

    threaded = False
    units = "scene"
    poses = "predicted"

    def __init__(
        self,
        runner: Cut3rRunner,
        weights_sha256: str,
        settings: Cut3rSettings,
        name: str = "cut3r",
    ) -> None:
        self.name = name
        self.runner = runner
        self.weights_sha256 = weights_sha256
        self.channels = runner.model.config.width
        self.state_tokens = runner.model.config.state_tokens if settings.state_attention else 0
        self.settings = settings
        self.stream = Cut3rStream(runner, settings.update_rule, settings.reset_every)

    @property
    def config(self) -> dict[str, Any]:
        """What defines the numbers, for the cache's provenance."""
        model = self.runner.model
        return {
            "variant": model.config.name,
            "dtype": str(model.decoder.embed.weight.dtype).removeprefix("torch."),
            "points": "world",
            "update_rule": self.settings.update_rule,
            "reset_every": self.settings.reset_every,
        }

    def begin(self, first: SourceFrame) -> None:
        """Forgets what was."""
        self.stream.begin()

    def __call__(self, frame: SourceFrame, image: np.ndarray) -> Geometry:
        """Reconstructs the next frame; tensors on the model's device."""
        return self.batch([self], image[None])[0]

    @staticmethod
    def batch(
        scenes: Sequence["Cut3rGeometry"],
        images: np.ndarray | Tensor,
        room: tuple[int, int] = (1, 1),
    ) -> list[Geometry]:
        """Reconstructs the next frames of several scenes, or several frames of one.

        All images are encoded at once; then a step takes a frame of each scene.

        Args:
            scenes: of one runner; whose each image is. Images of one scene are in order.
            images: ``[n H W 3]`` uint8.
            room: the most images, and the most scenes, that will ever come.
        """
        runner = scenes[0].runner
        rounds = _rounds(scenes)
        runner.prepare(len(rounds[0]), room[1])
        pixels = normalise_images(images, runner.model.initial_tokens.device)
        tokens = runner.encode(shrink_images(pixels, runner.model.config), room[0])
        told: dict[int, Geometry] = {}
        for members in rounds:
            advanced = _step([scenes[i] for i in members], tokens[members], room[1])
            told |= dict(zip(members, advanced, strict=True))
        return [told[i] for i in range(len(scenes))]


def _step(scenes: Sequence[Cut3rGeometry], tokens: Tensor, room: int) -> list[Geometry]:
    """The next frame of each scene, as one batch; ``tokens [b h w c]``."""
    states = [scene.stream.state for scene in scenes]
    state = Cut3rState(
        *(torch.cat([getattr(s, f.name) for s in states]) for f in fields(Cut3rState))
    )
    settings = scenes[0].settings
    told, after = scenes[0].runner.step_encoded(
        tokens, state, None, settings.state_attention, settings.update_rule, room
    )
    told, geometry = _at_cells(told, scenes[0].runner.model.config), []
    for i, scene in enumerate(scenes):
        row = rows(told, i, i + 1)
        output = scene.stream.advance(tokens[i : i + 1], row, rows(after, i, i + 1))
        geometry.append(_geometry(output))
    return geometry


def _rounds(scenes: Sequence[Cut3rGeometry]) -> list[list[int]]:
    """Indices in rounds: the first of each scene, the second of each scene, ..."""
    seen: Counter[int] = Counter()
    rounds: defaultdict[int, list[int]] = defaultdict(list)
    for i, scene in enumerate(scenes):
        rounds[seen[id(scene)]].append(i)
        seen[id(scene)] += 1
    return list(rounds.values())


def _at_cells(output: Cut3rOutput, config: Cut3rConfig) -> Cut3rOutput:
    """On the processed image and its grids, in the cache's precisions."""
    stride = POINT_STRIDE // config.shrink
    cells = (slice(None), *(slice(stride // 2, None, stride),) * 2)
    finer = config.patch * config.shrink // PATCH  # Patches of the grid across one of the model's.
    attention = output.state_attention
    intrinsics = output.intrinsics.clone()
    intrinsics[:, :2] *= config.shrink
    return replace(
        output,
        points_world=output.points_world[cells].float().contiguous(),
        conf_world=output.conf_world[cells].float().contiguous(),
        features=_refined(output.features.float(), finer).to(torch.float16).contiguous(),
        intrinsics=intrinsics,
        state_attention=None if attention is None else _spread(attention, finer),
    )


def _refined(features: Tensor, finer: int) -> Tensor:
    """``[b h w c]`` on a grid so many times finer, bilinear."""
    if finer == 1:
        return features
    planes = features.movedim(-1, 1)
    return F.interpolate(planes, scale_factor=finer, mode="bilinear").movedim(1, -1)


def _spread(attention: Tensor, finer: int) -> Tensor:
    """``[b s h w]`` on a grid so many times finer: equal shares, so that sums over masks stay."""
    shares = attention.repeat_interleave(finer, 2).repeat_interleave(finer, 3) / finer**2
    return shares.to(torch.float16).contiguous()


def _geometry(output: Cut3rOutput) -> Geometry:
    """Of the only scene of a batch, as `_at_cells` left it."""
    attention = output.state_attention
    return Geometry(
        points=output.points_world[0],
        confidence=output.conf_world[0],
        features_3d=output.features[0],
        T_world_from_cam=output.T_world_from_cam[0].float(),
        intrinsics=output.intrinsics[0].float(),
        state_attention=None if attention is None else attention[0],
    )
