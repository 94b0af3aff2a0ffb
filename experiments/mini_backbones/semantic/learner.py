"""Student, teacher, optimiser: one step of training, and its state as files."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bridges.backbones.mini_vit import Block, MiniVit, MiniVitConfig
from bridges.checkpoints import read_tensors
from experiments.mini_backbones.compiling import compile_open
from experiments.mini_backbones.semantic.loss import point_contrast
from experiments.mini_backbones.semantic.recipe import Recipe
from experiments.mini_backbones.semantic.views import (
    Views,
    hidden_patches,
    student_views,
    teacher_views,
)
from experiments.mini_backbones.single_frames.feed import Chunk
from experiments.mini_backbones.single_frames.state import (
    adamw,
    moments,
    read_moments,
    read_state,
    recipe_fields,
    write_state,
)


class Projected(nn.Module):
    """The encoder and the projection that the loss sees."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.encoder = MiniVit(MiniVitConfig(recipe.width, recipe.depth))
        hidden, out = recipe.head
        self.head = nn.Sequential(
            nn.Linear(recipe.width, hidden), nn.GELU(), nn.Linear(hidden, out)
        )

    def forward(self, pixels: Tensor, hide: Tensor | None = None) -> Tensor:
        """``[b h w out]`` of unit length."""
        return F.normalize(self.head(self.encoder(pixels, hide)).float(), dim=-1)


class Learner:
    """All state of a run; the step's randomness follows from its number.

    Attributes:
        step: steps done.
        teacher: what is shipped, its ``encoder``.

    Args:
        recipe: of the run.
        device: of everything.
        compiled: whether blocks and loss are compiled, at the first step.
    """

    def __init__(self, recipe: Recipe, device: str, compiled: bool = False) -> None:
        self.recipe, self.device, self.step = recipe, device, 0
        torch.manual_seed(recipe.seed)
        self.student = Projected(recipe).to(device)
        self.teacher = Projected(recipe).to(device).requires_grad_(False)
        self.teacher.load_state_dict(self.student.state_dict())
        self.optimizer = adamw(self.student, recipe)
        self._contrast = point_contrast
        if compiled:
            self._contrast = torch.compile(point_contrast)
            for module in (*self.student.modules(), *self.teacher.modules()):
                if isinstance(module, Block):  # For images of any size.
                    vars(module)["forward"] = compile_open(module.forward, axis=1)

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
        loss, valid = self._loss_of(*_cut(chunk, frames, recipe, random))
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            pairs = list(self.teacher.parameters()), list(self.student.parameters())
            torch._foreach_lerp_(*pairs, 1 - recipe.momentum)
        self.step += 1
        return {"loss": loss.detach(), "paired": valid, "gradient": norm}

    def _loss_of(
        self, whole: Views, cut: Views, hide: Tensor, picked: Tensor, others: Tensor
    ) -> tuple[Tensor, Tensor]:
        rooms = len(whole.pixels) // self.recipe.views

        def by_room(x: Tensor) -> Tensor:
            return x.reshape(rooms, -1, *x.shape[3:])

        with torch.autocast(torch.device(self.device).type, torch.bfloat16, self.device != "cpu"):
            with torch.no_grad():
                target = by_room(self.teacher(whole.pixels))
            answer = by_room(self.student(cut.pixels, hide))[:, picked]
            query = by_room(cut.points)[:, picked], by_room(cut.spacing)[:, picked]
            key = by_room(whole.points), by_room(whole.spacing)
            return self._contrast(answer, target, query, key, others, self.recipe)


def _cut(
    chunk: Chunk, frames: slice, recipe: Recipe, random: torch.Generator
) -> tuple[Views, Views, Tensor, Tensor, Tensor]:
    """A step's views, hidden patches, queries of every room and patches of others."""
    whole = teacher_views(chunk, frames, recipe, random)
    cut = student_views(chunk, frames, recipe, random)
    hide = hidden_patches(tuple(cut.spacing.shape), recipe.hide, random)
    patches = recipe.views * cut.spacing[0].numel()
    picked = torch.randperm(patches, device=random.device, generator=random)[: recipe.queries]
    keys = cut.spacing.numel()
    others = torch.randint(keys, (recipe.others,), device=random.device, generator=random)
    return whole, cut, hide, picked, others


def begin(given: dict[str, Any], device: str, compiled: bool = False) -> Learner:
    """A new run, of fields of its recipe."""
    return Learner(Recipe(**given), device, compiled)


def save(learner: Learner, folder: Path, about: dict[str, Any]) -> None:
    """Writes the whole state: four files of the weights' size, the recipe, and ``about``."""
    weights = {
        "student": dict(learner.student.named_parameters()),
        "teacher": dict(learner.teacher.named_parameters()),
    }
    named = weights["student"]
    told = {"step": learner.step, "recipe": asdict(learner.recipe), **about}
    write_state(folder, weights | moments(named, learner.optimizer), told)


def load(folder: Path, device: str, compiled: bool = False) -> tuple[Learner, dict[str, Any]]:
    """The state that `save` wrote, and what else it told."""
    told = read_state(folder)
    learner = Learner(Recipe(**recipe_fields(told)), device, compiled)
    learner.step = told["step"]
    learner.student.load_state_dict(read_tensors(folder / "student.safetensors"))
    learner.teacher.load_state_dict(read_tensors(folder / "teacher.safetensors"))
    read_moments(folder, dict(learner.student.named_parameters()), learner.optimizer, learner.step)
    return learner, told


def encoder_tensors(folder: Path) -> dict[str, Tensor]:
    """The teacher's encoder, what is shipped, in float16."""
    tensors = read_tensors(folder / "teacher.safetensors")
    return {
        k.removeprefix("encoder."): v.half() for k, v in tensors.items() if k.startswith("encoder.")
    }
