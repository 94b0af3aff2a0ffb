"""The step as a CUDA graph: no launches, no Python, the same numbers."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from bridges.backbones.cut3r.blocks import DecoderBlock, EncoderBlock, ModulatedBlock
from bridges.backbones.cut3r.focal import FocalFit
from bridges.backbones.cut3r.heads import PointView
from bridges.backbones.cut3r.model import Cut3r
from bridges.backbones.cut3r.output import Cut3rOutput
from bridges.backbones.cut3r.state import Cut3rState, UpdateRule

COMPILED = (EncoderBlock, DecoderBlock, ModulatedBlock, PointView, FocalFit)
VARIANTS_OF_A_BLOCK = 64
WARM_UP = 3
T = TypeVar("T", Cut3rOutput, Cut3rState)


def compile_blocks(model: Cut3r, mode: str = "default") -> None:
    """Compiles the repeated parts of a model, in place.

    Blocks of one kind share one compilation, so this takes seconds where compiling the whole step
    takes minutes. The work is done at the first call with each shape.

    Args:
        model: to compile.
        mode: of `torch.compile`; ``max-autotune-no-cudagraphs`` searches longer.
    """
    # Beyond its limit of variants Dynamo runs a function uncompiled; the decoder's block alone has
    # four for each image size, batch and precision.
    limits = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, VARIANTS_OF_A_BLOCK)
    for module in model.modules():
        if isinstance(module, COMPILED):
            vars(module)["forward"] = torch.compile(module.forward, mode=mode, dynamic=False)


class GraphedCut3r:
    """Stands in for a `Cut3r` on a GPU, for one image size and one batch.

    Encoder and recurrence are captured once each; the state branch and one of the views run on a
    second stream. What comes out belongs to the caller: nothing is overwritten by the next frame.

    Args:
        model: on a CUDA device; `compile_blocks` it first.
        image_size: ``(H, W)``.
        batch: scenes.
        queries: the most masks a frame may come with; 0 for none.
        with_attention: whether the state attention is given.
        update_rule: as in `Cut3r.step_encoded`.
    """

    def __init__(
        self,
        model: Cut3r,
        image_size: tuple[int, int],
        batch: int = 1,
        queries: int = 0,
        with_attention: bool = False,
        update_rule: UpdateRule = "cut3r",
    ) -> None:
        self.model = model
        self.update_rule = update_rule
        self.with_attention = with_attention
        device = model.initial_tokens.device
        model.side = torch.cuda.Stream(device)
        image = torch.zeros(batch, 3, *image_size, device=device)
        self._encode = Captured(model.encode, image)
        tokens = self._encode.outputs
        grid = tokens.shape[1] * tokens.shape[2]
        masks = (torch.zeros(batch, queries, grid, device=device),) if queries else ()

        def step(
            tokens: Tensor, state: Tensor, memory: Tensor, frames: Tensor, *masks: Tensor
        ) -> tuple[Cut3rOutput, Cut3rState]:
            before = Cut3rState(state, memory, frames)
            asked = masks[0] if masks else None
            return model.step_encoded(tokens, before, asked, with_attention, update_rule)

        with torch.no_grad():
            state = model.init_state(batch)
        self._step = Captured(step, tokens, state.tokens, state.pose_memory, state.frames, *masks)

    def init_state(self, batch: int = 1) -> Cut3rState:
        """As `Cut3r.init_state`."""
        return self.model.init_state(batch)

    def encode(self, images: Tensor) -> Tensor:
        """As `Cut3r.encode`; a number or size of images not captured runs without the graph."""
        if images.shape != self._encode.inputs[0].shape:
            with torch.no_grad():
                return self.model.encode(images)
        return self._encode(images).clone()

    def step(
        self,
        image: Tensor,
        state: Cut3rState,
        masks: Tensor | None = None,
        with_attention: bool = False,
        update_rule: UpdateRule = "cut3r",
    ) -> tuple[Cut3rOutput, Cut3rState]:
        """As `Cut3r.step`, of the captured size."""
        return self.step_encoded(self._encode(image), state, masks, with_attention, update_rule)

    def step_encoded(
        self,
        tokens: Tensor,
        state: Cut3rState,
        masks: Tensor | None = None,
        with_attention: bool = False,
        update_rule: UpdateRule = "cut3r",
    ) -> tuple[Cut3rOutput, Cut3rState]:
        """As `Cut3r.step_encoded`; ``q`` may be anything up to the captured number of masks."""
        if update_rule != self.update_rule:
            raise ValueError(f"captured for {self.update_rule}, called for {update_rule}")
        if with_attention and not self.with_attention:
            raise ValueError("captured without the state attention, called for it")
        inputs = [tokens, state.tokens, state.pose_memory, state.frames]
        output, after = self._step(*inputs, *self._padded(masks))
        kept = {} if with_attention else {"state_attention": None}
        if masks is None:
            kept["state_tokens"] = None
        elif output.state_tokens is not None:
            kept["state_tokens"] = output.state_tokens[:, : masks.shape[1]]
        return _cloned(replace(output, **kept)), _cloned(after)

    def _padded(self, masks: Tensor | None) -> tuple[Tensor, ...]:
        static = self._step.inputs[4:]
        if masks is None:
            return static
        if not static or masks.shape[1] > static[0].shape[1]:
            room = static[0].shape[1] if static else 0
            raise ValueError(f"captured for up to {room} masks, called with {masks.shape[1]}")
        padded = torch.zeros_like(static[0])
        padded[:, : masks.shape[1]] = masks
        return (padded,)


class Captured:
    """A function of tensors as a CUDA graph.

    Attributes:
        inputs: the tensors that the graph reads.
        outputs: what it writes, again and again.
    """

    def __init__(self, function: Callable[..., Any], *inputs: Tensor) -> None:
        self.inputs = tuple(x.detach().clone() for x in inputs)
        self.graph = torch.cuda.CUDAGraph()
        device = self.inputs[0].device
        with torch.no_grad(), torch.cuda.device(device):
            # Lazy initialisation and compilation must be over before the capture.
            warm_up = torch.cuda.Stream(device)
            warm_up.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(warm_up):
                for _ in range(WARM_UP):
                    function(*self.inputs)
            torch.cuda.current_stream().wait_stream(warm_up)
            # Of this device: PyTorch's own stream for captures is on the first that was used.
            capture = torch.cuda.Stream(device)
            # Thread-local: other threads may use the GPU meanwhile.
            mode = "thread_local"
            with torch.cuda.graph(self.graph, stream=capture, capture_error_mode=mode):
                self.outputs = function(*self.inputs)

    def __call__(self, *inputs: Tensor) -> Any:
        """Runs the graph; what it returns is overwritten by the next call."""
        for static, new in zip(self.inputs, inputs, strict=True):
            if static is not new:
                static.copy_(new, non_blocking=True)
        self.graph.replay()
        return self.outputs


def _cloned(x: T) -> T:
    values = {f.name: getattr(x, f.name) for f in fields(x)}
    return replace(x, **{name: v.clone() for name, v in values.items() if v is not None})
