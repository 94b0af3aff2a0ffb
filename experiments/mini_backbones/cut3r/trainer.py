"""One step after another: gradients, AdamW, averaged weights."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor, nn

from bridges.backbones.cut3r import Cut3r
from bridges.backbones.cut3r.blocks import DecoderBlock, EncoderBlock, ModulatedBlock
from bridges.backbones.cut3r.heads import PointView
from experiments.mini_backbones.compiling import compile_fixed, compile_open
from experiments.mini_backbones.cut3r.batches import Batch
from experiments.mini_backbones.cut3r.losses import Errors, frame_errors, objective
from experiments.mini_backbones.cut3r.recipe import Recipe
from experiments.mini_backbones.cut3r.unroll import unroll
from experiments.mini_backbones.pieces import Spent

WARM_UP = 3
OF_FRAMES = (EncoderBlock, ModulatedBlock, PointView)


@dataclass(frozen=True)
class Mode:
    """How steps are run: parts compiled; forward and backward captured as a CUDA graph."""

    compiled: bool = True
    graphs: bool = True


class Trainer:
    """A model and all that its training keeps.

    Attributes:
        model: in float32.
        average: its parameters' running means, in their order.
        optimizer: AdamW.
        steps: taken.
        seen: frames trained on.
        quiet: held while a graph is captured, to keep others off the GPU.
        spent: where the time goes.

    Args:
        model: to train, on its device.
        recipe: how.
        mode: of running; graphs need a GPU.
    """

    def __init__(self, model: Cut3r, recipe: Recipe, mode: Mode) -> None:
        self.model, self.recipe, self.mode = model.train(), recipe, mode
        self.device = model.initial_tokens.device
        self.parameters: list[Tensor] = list(model.parameters())
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimizer = _adamw(model, recipe, self.device)
        self.steps, self.seen = 0, 0
        self.quiet, self.spent = Lock(), Spent(time.monotonic(), "steps")
        self._gradients: Callable[[Batch], Errors] = self.gradients
        self._shape: torch.Size | None = None
        self._frame_loss = frame_errors
        if mode.compiled:
            _compile(model)
            self._frame_loss = compile_fixed(frame_errors)

    def prepare(self, batch: Batch) -> None:
        """Compiles and captures for batches of this shape; the weights stay as they are."""
        if self.mode.graphs:
            self._gradients = self.gradients  # Lets go of the last graph and its memory.
            self._gradients = CapturedGradients(self, batch)
        else:
            with self.spent.on("compile"):
                self.gradients(batch)
        self._shape = batch.images.shape

    def step(self, batch: Batch, progress: float) -> Errors:
        """Trains on a batch; what it returns is on the device and may be overwritten later."""
        if batch.images.shape != self._shape:
            self.prepare(batch)
        errors = self._gradients(batch)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(self.steps, progress)
        nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip_norm)
        self.optimizer.step()
        frames = batch.images.shape[0] * batch.images.shape[1]
        self.steps, self.seen = self.steps + 1, self.seen + frames
        self._follow(frames)
        return errors

    def gradients(self, batch: Batch) -> Errors:
        """Fills the parameters' gradients."""
        self.optimizer.zero_grad(set_to_none=True)
        # Casts are not kept: a graph must hold those of its own run.
        device = self.device.type
        with torch.autocast(device, torch.bfloat16, device == "cuda", cache_enabled=False):
            told = unroll(self.model, batch.images)
        recipe = self.recipe
        errors = objective(told, batch, recipe.alpha, recipe.pose, self._frame_loss)
        errors.loss.backward()
        return Errors(*(error.detach() for error in errors))

    def _follow(self, frames: int) -> None:
        # Short at first, so that the beginning is soon forgotten.
        half_life = min(self.recipe.average, 0.1 * self.seen)
        with torch.no_grad():
            weight = 1 - 0.5 ** (frames / half_life)
            torch._foreach_lerp_(self.average, self.parameters, weight)  # pyright: ignore


class CapturedGradients:
    """`Trainer.gradients` as a CUDA graph, for batches of one shape."""

    def __init__(self, trainer: Trainer, batch: Batch) -> None:
        self._batch = Batch(*(x.clone() for x in batch))
        # Warm-up and capture share a stream, to which autograd ties the nodes of the parameters.
        stream = torch.cuda.Stream(trainer.device)
        stream.wait_stream(torch.cuda.current_stream())
        with trainer.spent.on("compile"), torch.cuda.stream(stream):
            for _ in range(WARM_UP):  # Rooms may be rendered meanwhile: compiling takes a minute.
                trainer.gradients(self._batch)
            trainer.optimizer.zero_grad(set_to_none=True)
            torch.cuda.synchronize()
        torch.cuda.empty_cache()  # The graph takes memory of its own.
        self._graph = torch.cuda.CUDAGraph()
        mode = "thread_local"
        with (
            trainer.spent.on("wait to capture"),
            trainer.quiet,
            trainer.spent.on("capture"),
            torch.cuda.graph(self._graph, stream=stream, capture_error_mode=mode),
        ):
            self._errors = trainer.gradients(self._batch)

    def __call__(self, batch: Batch) -> Errors:
        """Runs the graph; what it returns is overwritten by the next call."""
        for static, new in zip(self._batch, batch, strict=True):
            static.copy_(new)
        self._graph.replay()
        return self._errors


def _compile(model: Cut3r) -> None:
    """Compiles the repeated parts, in place.

    A step has the same number of frames whatever the length of its sequences, so that encoder,
    heads and losses keep their shapes; the decoders' batch is the number of sequences.
    """
    for module in model.modules():
        if isinstance(module, OF_FRAMES):
            vars(module)["forward"] = compile_fixed(module.forward)
        elif isinstance(module, DecoderBlock):
            vars(module)["forward"] = compile_open(module.forward, axis=0)


def _adamw(model: Cut3r, recipe: Recipe, device: torch.device) -> torch.optim.AdamW:
    """Matrices of layers decay; norms, biases and learned tokens do not."""
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decays = parameter.ndim > 1 and name.endswith("weight")
        (matrices if decays else others).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
        betas=recipe.betas,
        eps=1e-10,
        fused=device.type == "cuda",
    )


def put_moments(trainer: Trainer, second: dict[Tensor, Tensor]) -> None:
    """Gives the optimiser second moments; its first ones begin at zero."""
    for group in trainer.optimizer.param_groups:
        for parameter in group["params"]:
            if parameter not in second:
                trainer.optimizer.state.pop(parameter, None)
                continue
            where = trainer.device if group["fused"] else torch.device("cpu")
            trainer.optimizer.state[parameter] = {
                "step": torch.tensor(float(trainer.steps), device=where),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": second[parameter].to(parameter),
            }
