"""Network and optimiser: one step of training, and its state as files."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bridges.backbones.mini_mask_net import MiniMaskNet
from bridges.checkpoints import read_tensors
from experiments.mini_backbones.masks.loss import mask_loss
from experiments.mini_backbones.masks.recipe import Recipe
from experiments.mini_backbones.masks.views import cell_objects, cropped_views, pick_cells
from experiments.mini_backbones.single_frames.feed import Chunk
from experiments.mini_backbones.single_frames.state import (
    adamw,
    moments,
    read_moments,
    read_state,
    recipe_fields,
    write_state,
)

WEIGHTS = "network"


class Learner:
    """All state of a run; the step's randomness follows from its number.

    Attributes:
        step: steps done.
        network: what is shipped.

    Args:
        recipe: of the run.
        device: of everything.
        compiled: whether network and loss are compiled, once a size of images.
    """

    def __init__(self, recipe: Recipe, device: str, compiled: bool = False) -> None:
        self.recipe, self.device, self.step = recipe, device, 0
        torch.manual_seed(recipe.seed)
        network = MiniMaskNet(recipe.network).to(device)
        self.network = network.to(memory_format=torch.channels_last)  # pyright: ignore
        self.optimizer = adamw(self.network, recipe)
        self._look, self._loss = self.network, mask_loss
        if compiled:
            self._look = torch.compile(self.network, dynamic=False)
            self._loss = torch.compile(mask_loss, dynamic=False)

    def learn(self, chunk: Chunk, progress: float) -> dict[str, Tensor]:
        """One step on the group of cameras whose turn it is; numbers stay on the device.

        Args:
            chunk: that the step's number asks for.
            progress: of the training, from 0 to 1.
        """
        recipe = self.recipe
        random = torch.Generator(self.device).manual_seed((recipe.seed << 32) + self.step)
        frames = recipe.frames_of(self.step)
        for settings in self.optimizer.param_groups:
            settings["lr"] = recipe.rate_of(self.step, progress)
        views = cropped_views(chunk, frames, recipe, random)
        objects = cell_objects(views.ids, recipe.least)
        picked = pick_cells(objects, recipe.picked, random)
        pixels = views.pixels.contiguous(memory_format=torch.channels_last)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, self.device != "cpu"):
            told = self._look(pixels)
        losses = self._loss(told, views.ids, objects, picked)
        losses.loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        return {**losses._asdict(), "loss": losses.loss.detach(), "gradient": norm}


def begin(given: dict[str, Any], device: str, compiled: bool = False) -> Learner:
    """A new run, of fields of its recipe."""
    return Learner(Recipe(**given), device, compiled)


def save(learner: Learner, folder: Path, about: dict[str, Any]) -> None:
    """Writes the whole state: three files of the weights' size, the recipe, and ``about``."""
    named = dict(learner.network.named_parameters())
    content = {WEIGHTS: learner.network.state_dict(), **moments(named, learner.optimizer)}
    told = {"step": learner.step, "recipe": asdict(learner.recipe), **about}
    write_state(folder, content, told)


def load(folder: Path, device: str, compiled: bool = False) -> tuple[Learner, dict[str, Any]]:
    """The state that `save` wrote, and what else it told."""
    told = read_state(folder)
    learner = Learner(Recipe(**recipe_fields(told)), device, compiled)
    learner.step = told["step"]
    learner.network.load_state_dict(read_tensors(folder / f"{WEIGHTS}.safetensors"))
    read_moments(folder, dict(learner.network.named_parameters()), learner.optimizer, learner.step)
    return learner, told


def network_tensors(folder: Path) -> dict[str, Tensor]:
    """The network, what is shipped, in float16."""
    tensors = read_tensors(folder / f"{WEIGHTS}.safetensors")
    # All but how many batches the norms have seen, which counts for nothing.
    return {name: tensor.half() for name, tensor in tensors.items() if tensor.is_floating_point()}
