"""CUT3R's step in its parts and precisions: what each computes, and the least time it takes."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bridges.backbones.cut3r import Cut3r, Cut3rState
from experiments.bridges.cut3r_timing import Run

PRECISIONS = {
    "float32": (torch.float32, torch.float32),
    "tf32": (torch.float32, torch.float32),
    "bf16": (torch.bfloat16, torch.float32),
    "bf16+fp16": (torch.bfloat16, torch.float16),
    "bf16+bf16": (torch.bfloat16, torch.bfloat16),
}
# Dense peaks of an H100 or H200 SXM, FLOP/s.
PEAK = {torch.bfloat16: 989e12, torch.float16: 989e12, "tf32": 495e12, "float32": 67e12}


def prepared(run: Run, precision: str) -> Cut3r:
    """A copy in one precision; sets the process's TF32 switches."""
    tf32 = precision != "float32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    dtype, head_dtype = PRECISIONS[precision]
    return copy.deepcopy(run.model).cast(dtype, head_dtype)


def stages(model: Cut3r, image: Tensor, state: Cut3rState) -> dict[str, Callable[[], Any]]:
    """The parts of a step as functions of nothing."""
    tokens = model.encode(image)
    grid, patches = (tokens.shape[1], tokens.shape[2]), tokens.flatten(1, 2)
    view, first = patches.mean(dim=1, keepdim=True), state.frames == 0
    pose = model.pose_memory.read(view, state.pose_memory, first)
    ropes = model.ropes.decoder(grid, state.tokens)
    decoded = model.decoder(patches, pose, state.tokens, ropes)
    told = model.heads(patches, decoded, grid, ropes[0].image[:, 1:])
    return {
        "encoder": lambda: model.encode(image),
        "decoder": lambda: model.decoder(patches, pose, state.tokens, ropes),
        "heads": lambda: model.heads(patches, decoded, grid, ropes[0].image[:, 1:]),
        "pose memory": lambda: (
            model.pose_memory.read(view, state.pose_memory, first),
            model.pose_memory.write(view, decoded.pose, state.pose_memory),
        ),
        "focal": lambda: model.focal(told.points_self),
    }


def count_flop(run: Run) -> None:
    """Floating-point operations of each stage."""
    model = prepared(run, "float32")
    for stage, function in stages(model, run.image(), model.init_state()).items():
        with FlopCounterMode(display=False) as counter:
            function()
        run.flop[stage] = float(counter.get_total_flops())


def floor(run: Run, precision: str, stage: str | None = None) -> float | None:
    """Milliseconds at the GPU's peak."""
    if run.device.type != "cuda":
        return None
    wide = "float32" if precision == "float32" else "tf32"
    dtype, head_dtype = (PEAK.get(d, PEAK[wide]) for d in PRECISIONS[precision])
    chosen = run.flop if stage is None else {stage: run.flop[stage]}
    return 1e3 * sum(n / (head_dtype if s == "heads" else dtype) for s, n in chosen.items())
