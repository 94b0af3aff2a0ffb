"""CUT3R's step for any number of images and scenes."""

import logging
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Tensor

from bridges.backbones.batch_graphs import batch_for, pad_rows
from bridges.backbones.cut3r import Cut3r, Cut3rOutput, Cut3rState, GraphedCut3r, UpdateRule

log = logging.getLogger(__name__)
T = TypeVar("T", Cut3rOutput, Cut3rState)


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


class Cut3rRunner:
    """The model, for any number of images and scenes at once.

    A GPU runs steps that were captured for a batch. Capturing and compiling take long, so what is
    smaller than a batch that is known already is padded to it.

    Args:
        model: to run.
        image_size: ``(H, W)``.
        settings: how.
    """

    def __init__(self, model: Cut3r, image_size: tuple[int, int], settings: Cut3rSettings) -> None:
        self.model = model
        self.image_size = image_size
        self.settings = settings
        self.on_gpu = model.initial_tokens.device.type == "cuda"
        self._encoded: set[int] = set()
        self._steps: dict[int, GraphedCut3r] = {}

    def init_state(self, batch: int = 1) -> Cut3rState:
        """As `Cut3r.init_state`."""
        return self.model.init_state(batch)

    def prepare(self, scenes: int, room: int = 1) -> int:
        """Captures what a step of so many scenes takes, on a GPU, unless that was done.

        Before the first image is encoded, so that it goes through the same graph as all others: the
        libraries' kernels, and with them the last bits, may be others outside of one.

        Args:
            scenes: in the step.
            room: how many will come at most.

        Returns:
            The batch that the step is padded to.
        """
        if not self.on_gpu:
            return scenes
        size = batch_for(scenes, self._steps, room)
        if size not in self._steps:
            self._steps[size] = self._capture(size)
        return size

    @torch.no_grad()
    def encode(self, images: Tensor, room: int = 1) -> Tensor:
        """As `Cut3r.encode`; ``room`` is how many images will come at most."""
        if not self.on_gpu:
            return self.model.encode(images)
        size = batch_for(len(images), self._encoded, room)
        self._encoded.add(size)
        step = self._steps.get(size)
        encode = self.model.encode if step is None else step.encode
        return encode(pad_rows(images, size))[: len(images)]

    @torch.no_grad()
    def step_encoded(
        self,
        tokens: Tensor,
        state: Cut3rState,
        masks: Tensor | None = None,
        with_attention: bool = False,
        update_rule: UpdateRule = "cut3r",
        room: int = 1,
    ) -> tuple[Cut3rOutput, Cut3rState]:
        """As `Cut3r.step_encoded`; ``room`` is how many scenes will come at most."""
        if not self.on_gpu:
            return self.model.step_encoded(tokens, state, masks, with_attention, update_rule)
        size = self.prepare(len(tokens), room)
        padded = Cut3rState(*(pad_rows(getattr(state, f.name), size) for f in fields(state)))
        told, after = self._steps[size].step_encoded(
            pad_rows(tokens, size), padded, None, with_attention, update_rule
        )
        return rows(told, 0, len(tokens)), rows(after, 0, len(tokens))

    def _capture(self, batch: int) -> GraphedCut3r:
        height, width = self.image_size
        log.info("compiling cut3r for %dx%d images of %d scenes at once", width, height, batch)
        return GraphedCut3r(
            self.model,
            self.image_size,
            batch,
            with_attention=self.settings.state_attention,
            update_rule=self.settings.update_rule,
        )


def make_runner(model: Cut3r, image_size: tuple[int, int], settings: Cut3rSettings) -> Cut3rRunner:
    """The model as scenes of one image size share it."""
    return Cut3rRunner(model, image_size, settings)


def rows(x: T, start: int, stop: int) -> T:
    """Scenes ``start .. stop - 1`` of a batch."""
    values = {f.name: getattr(x, f.name) for f in fields(x)}
    return replace(x, **{n: v[start:stop] for n, v in values.items() if v is not None})
