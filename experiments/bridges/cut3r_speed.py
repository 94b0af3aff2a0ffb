"""Speed of CUT3R, ours and the published code's, and what lower precision costs.

    python -m experiments.bridges.cut3r_speed [--upstream CUT3R] [--json FILE]
    python -m experiments.bridges.cut3r_speed --tiny --frames 5      # does it run: seconds, any CPU

Full size, random weights, 512×384. Three tables: stages and whole step by precision and mode;
offline caching (many frames encoded at once, several scenes' recurrences as one batch); errors of
each precision against float32 after four frames. Times are medians and 95th percentiles of
``--frames`` calls after a warm-up, by CUDA events on a GPU. The floor is floating-point operations
over the peak of the precision. A configuration that fails is reported with its error, one that
would start after ``--seconds`` is left out, and the rest goes on.

Precisions: ``float32`` without TF32 anywhere; ``tf32`` with it; ``bf16`` for the matrix products of
encoder and decoders, the heads in TF32; ``bf16+fp16``, ``bf16+bf16``: the heads' convolutions, too.
Modes: ``eager``; ``compiled`` block by block; ``graphed``: all launches replayed as CUDA graphs;
``compiled+graphed``: both. A CPU runs eagerly, in float32.
"""

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bridges.backbones.cut3r import (
    TINY_DPT,
    VARIANTS,
    Cut3r,
    Cut3rConfig,
    GraphedCut3r,
    compile_blocks,
)
from experiments.bridges.cut3r_report import summary
from experiments.bridges.cut3r_stages import count_flop, floor, prepared, stages
from experiments.bridges.cut3r_timing import WARM_UP, Run, between, mark, spread
from experiments.bridges.cut3r_upstream import (
    PlainRope,
    build_published,
    published,
    published_view,
)
from tests.bridges.cut3r.formula import formula_images

STEPS = (
    ("bf16", "compiled+graphed"),
    ("bf16+fp16", "compiled+graphed"),
    ("bf16+bf16", "compiled+graphed"),
    ("bf16", "compiled"),
    ("bf16", "graphed"),
    ("tf32", "graphed"),
    ("bf16", "eager"),
    ("tf32", "eager"),
    ("float32", "eager"),
)
STAGES = (("bf16", "compiled"), ("bf16", "eager"), ("float32", "eager"))
ENCODED_AT_ONCE = (16, 32)
SCENES = (8, 4, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--upstream", type=Path, help="checkout of the published code")
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--size", default="384x512", help="height x width")
    parser.add_argument("--variant", choices=VARIANTS, default="dpt_512")
    parser.add_argument("--tiny", action="store_true", help="a tiny network")
    parser.add_argument("--mode", default="default", help="of torch.compile")
    parser.add_argument("--seconds", type=float, default=200, help="start nothing after that")
    parser.add_argument("--only", default="", help="what of: published, step, stages, caching")
    parser.add_argument("--json", type=Path, help="file for everything as one JSON object")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    config = TINY_DPT if args.tiny else VARIANTS[args.variant]
    size = (48, 64) if args.tiny else tuple(int(side) for side in args.size.split("x"))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    deadline = time.perf_counter() + args.seconds
    model = Cut3r.random(config, seed=0).requires_grad_(False).to(device).cast(torch.float32)
    run = Run(size, args.frames, device, deadline, model)
    chosen = args.only.split(",") if args.only else ["step", "stages", "published", "caching"]
    reference = reference_outputs(run)
    count_flop(run)
    if "step" in chosen:
        for precision, mode in STEPS if device.type == "cuda" else STEPS[-1:]:
            run.try_out(
                "step",
                lambda p=precision, m=mode: measure_step(run, p, m, args.mode, reference),
                precision=precision,
                mode=mode,
            )
    if "published" in chosen and args.upstream:
        measure_published(run, args.upstream, config)
    if "stages" in chosen:
        for precision, mode in STAGES if device.type == "cuda" else STAGES[-1:]:
            measure_stages(run, precision, mode, args.mode)
    if "caching" in chosen and device.type == "cuda":
        measure_caching(run, args.mode)
    report = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "torch": torch.__version__,
        "variant": config.name,
        "size": size,
        "frames": args.frames,
        "flop": run.flop,
        "rows": run.rows,
    }
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))
    print(summary(report))


def reference_outputs(run: Run) -> list[dict[str, Tensor]]:
    """Four frames in float32."""
    return outputs_of(prepared(run, "float32"), run)


def outputs_of(model: Cut3r | GraphedCut3r, run: Run) -> list[dict[str, Tensor]]:
    """Outputs and state, frame by frame, of frames that differ."""
    state, told = model.init_state(), []
    for image in formula_images(4, 1, run.size).to(run.device):
        output, state = model.step(image, state)
        fields = {name: value for name, value in vars(output).items() if value is not None}
        told.append({**fields, "state": state.tokens, "pose_memory": state.pose_memory})
    return told


def errors_of(told: list[dict[str, Tensor]], reference: list[dict[str, Tensor]]) -> dict[str, Any]:
    """|x - y| / |y| of the last frame, by output: of all numbers together, and of the worst."""
    last, true = told[-1], reference[-1]
    return {
        name: {
            "mean": float((last[name] - true[name]).norm() / true[name].norm()),
            "worst": float((last[name] - true[name]).abs().max() / true[name].abs().max()),
        }
        for name in true
    }


def measure_step(
    run: Run, precision: str, mode: str, compile_mode: str, reference: list[dict[str, Tensor]]
) -> dict[str, Any]:
    """The whole step at batch 1: image in, everything out."""
    model: Any = prepared(run, precision)
    if "compiled" in mode:
        compile_blocks(model, compile_mode)
    if "graphed" in mode:
        model = GraphedCut3r(model, run.size)
    errors = errors_of(outputs_of(model, run), reference)
    image, state = run.image(), model.init_state()
    _, state = model.step(image, state)
    times = run.time(lambda: model.step(image, state))
    return times | {
        "floor": floor(run, precision),
        "memory_gb": run.peak_memory(),
        "errors": errors,
    }


def measure_stages(run: Run, precision: str, mode: str, compile_mode: str) -> None:
    """Each part of the step by itself, at batch 1."""
    model = prepared(run, precision)
    if mode == "compiled":
        compile_blocks(model, compile_mode)
    for stage, function in stages(model, run.image(), model.init_state()).items():
        run.try_out(
            "stage",
            lambda f=function, s=stage: run.time(f) | {"floor": floor(run, precision, s)},
            precision=precision,
            mode=mode,
            stage=stage,
        )


def measure_published(run: Run, upstream: Path, config: Cut3rConfig) -> None:
    """The published recurrent loop, with a plain rotation and as if rotating took no time.

    Its CUDA extension lies between the two.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    with published(upstream, rounded=True):
        model = build_published(config).to(run.device)
        plain = PlainRope.forward
        for mode, rotation in (
            ("eager", plain),
            ("eager, rotation left out", lambda self, tokens, positions: tokens),
        ):
            PlainRope.forward = rotation
            run.try_out(
                "published", lambda: loop_published(run, model), precision="tf32", mode=mode
            )
        PlainRope.forward = plain


def loop_published(run: Run, model: nn.Module) -> dict[str, Any]:
    """One frame after the other, timed from head to head."""
    marks: list[Any] = []
    hook = model.downstream_head.register_forward_hook(lambda *_: marks.append(mark(run.device)))
    warm_up = WARM_UP if run.device.type == "cuda" else 1
    model.forward_recurrent([published_view(run.image())] * (warm_up + run.frames), run.device)
    hook.remove()
    if run.device.type == "cuda":
        torch.cuda.synchronize()
    return spread([between(a, b) for a, b in itertools.pairwise(marks[warm_up - 1 :])])


def measure_caching(run: Run, compile_mode: str) -> None:
    """Frames a second where frames can be encoded ahead and scenes run side by side."""
    model = prepared(run, "bf16+fp16")
    compiled = prepared(run, "bf16+fp16")
    compile_blocks(compiled, compile_mode)
    for number in ENCODED_AT_ONCE:
        for mode, chosen in (("compiled", compiled), ("eager", model)):
            run.try_out(
                "encode ahead",
                lambda n=number, c=chosen: run.rate(lambda: c.encode(run.image(n)), n),
                mode=mode,
                batch=number,
            )
    for number in SCENES:
        # One compilation a batch takes its time: once is enough to see what it is worth.
        for mode, chosen in (("compiled", compiled), ("eager", model))[number != SCENES[0] :]:
            run.try_out(
                "recurrence",
                lambda n=number, c=chosen: measure_recurrence(run, c, n),
                mode=f"{mode}+graphed",
                batch=number,
            )


def measure_recurrence(run: Run, model: Cut3r, scenes: int) -> dict[str, Any]:
    """Encoded frames in, state and everything out, of several scenes at once."""
    graphed = GraphedCut3r(model, run.size, batch=scenes) if run.device.type == "cuda" else model
    tokens, state = graphed.encode(run.image(scenes)), graphed.init_state(scenes)
    return run.rate(lambda: graphed.step_encoded(tokens, state), scenes)


if __name__ == "__main__":
    main()
