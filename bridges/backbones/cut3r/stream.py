"""Frame after frame of a scene, without an end."""

from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from bridges.backbones.cut3r.output import Cut3rOutput
from bridges.backbones.cut3r.state import Cut3rState, UpdateRule


class Recurrent(Protocol):
    """What a stream runs: `Cut3r`, or `GraphedCut3r` in its place."""

    def init_state(self, batch: int = 1) -> Cut3rState:
        """As `Cut3r.init_state`."""
        ...

    def encode(self, images: Tensor) -> Tensor:
        """As `Cut3r.encode`."""
        ...

    def step_encoded(
        self,
        tokens: Tensor,
        state: Cut3rState,
        masks: Tensor | None = None,
        with_attention: bool = False,
        update_rule: UpdateRule = "cut3r",
    ) -> tuple[Cut3rOutput, Cut3rState]:
        """As `Cut3r.step_encoded`."""
        ...


class Cut3rStream:
    """Keeps the state of ``batch`` scenes that advance in step, and nothing else.

    With ``reset_every`` = n the state starts anew after every n frames: the n-th frame is taken
    once more, as the first of a fresh state, and ties the two: with T its pose before and T' after,
    what follows is moved by T·T'⁻¹. So poses and world points stay in the first camera's frame;
    drift of one state ends, drift from state to state adds up.

    Args:
        model: to run.
        update_rule: as in `Cut3r.step_encoded`.
        reset_every: frames; 0 never resets.
        batch: scenes.

    Source: resetting after TTT3R (Chen et al., 2025), which takes T' to be the identity.
    """

    def __init__(
        self,
        model: Recurrent,
        update_rule: UpdateRule = "cut3r",
        reset_every: int = 0,
        batch: int = 1,
    ) -> None:
        self.model = model
        self.update_rule: UpdateRule = update_rule
        self.reset_every = reset_every
        self.batch = batch
        self.begin()

    @torch.no_grad()
    def begin(self) -> None:
        """Forgets what was: the next frame is the first."""
        self.state = self.model.init_state(self.batch)
        self._T_first_from_world: Tensor | None = None
        self._age = 0

    @torch.no_grad()
    def __call__(
        self, image: Tensor, masks: Tensor | None = None, with_attention: bool = False
    ) -> Cut3rOutput:
        """The next frame ``[b 3 H W]``; see `Cut3r.step`."""
        return self.step_encoded(self.model.encode(image), masks, with_attention)

    @torch.no_grad()
    def step_encoded(
        self, tokens: Tensor, masks: Tensor | None = None, with_attention: bool = False
    ) -> Cut3rOutput:
        """The next frame, as `Cut3r.encode` gave it.

        ``pose_encoding`` stays as the model told it, in the frame of the present state.
        """
        told, after = self.model.step_encoded(
            tokens, self.state, masks, with_attention, self.update_rule
        )
        return self.advance(tokens, told, after)

    @torch.no_grad()
    def advance(self, tokens: Tensor, told: Cut3rOutput, after: Cut3rState) -> Cut3rOutput:
        """Goes on from a step on this stream's state that was run elsewhere, as `step_encoded`."""
        self.state = after
        output = self._chained(told)
        self._age += 1
        if self._age == self.reset_every:
            self._reset(tokens, output.T_world_from_cam)
        return output

    def _reset(self, tokens: Tensor, T_first_from_cam: Tensor) -> None:
        fresh = self.model.init_state(self.batch)
        again, self.state = self.model.step_encoded(tokens, fresh, update_rule=self.update_rule)
        self._T_first_from_world = T_first_from_cam @ rigid_inverse(again.T_world_from_cam)
        self._age = 0

    def _chained(self, output: Cut3rOutput) -> Cut3rOutput:
        T = self._T_first_from_world
        if T is None:
            return output
        turned = torch.einsum("bij,bhwj->bhwi", T[:, :3, :3], output.points_world)
        return replace(
            output,
            points_world=turned + T[:, None, None, :3, 3],
            T_world_from_cam=T @ output.T_world_from_cam,
        )


def rigid_inverse(T: Tensor) -> Tensor:
    """Inverse of rotations with translations, ``[... 4 4]``."""
    R = T[..., :3, :3].mT
    return torch.cat([torch.cat([R, -R @ T[..., :3, 3:]], dim=-1), T[..., 3:, :]], dim=-2)
