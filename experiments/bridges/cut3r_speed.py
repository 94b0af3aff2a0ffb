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
import copy
import itertools
import json
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bridges.backbones.cut3r import (
    TINY_DPT,
    VARIANTS,
    Cut3r,
    Cut3rConfig,
    Cut3rState,
    GraphedCut3r,
    compile_blocks,
)
from experiments.bridges.cut3r_parity import PlainRope, build_published, published, published_view
from tests.bridges.cut3r.formula import formula_images

WARM_UP = 5
PRECISIONS = {
    "float32": (torch.float32, torch.float32),
    "tf32": (torch.float32, torch.float32),
    "bf16": (torch.bfloat16, torch.float32),
    "bf16+fp16": (torch.bfloat16, torch.float16),
    "bf16+bf16": (torch.bfloat16, torch.bfloat16),
}
# Dense peaks of an H100 or H200 SXM, FLOP/s.
PEAK = {torch.bfloat16: 989e12, torch.float16: 989e12, "tf32": 495e12, "float32": 67e12}
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


@dataclass
class Run:
    """What all measurements share, and what they found."""

    size: tuple[int, int]
    frames: int
    device: torch.device
    deadline: float
    model: Cut3r
    rows: list[dict[str, Any]] = field(default_factory=list)
    flop: dict[str, float] = field(default_factory=dict)

    def try_out(self, what: str, function: Callable[[], dict[str, Any]], **more: Any) -> None:
        """Runs one configuration; an error is a result, too."""
        row: dict[str, Any] = {"what": what, **more}
        if time.perf_counter() > self.deadline:
            row["error"] = "left out: out of time"
        else:
            start = time.perf_counter()
            try:
                row |= function()
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {str(error).splitlines()[:1]}"
                row["traceback"] = traceback.format_exc()[-2000:]
            row["took_s"] = round(time.perf_counter() - start, 1)
        self.rows.append(row)
        print(_line(row), flush=True)

    def time(self, function: Callable[[], Any]) -> dict[str, float]:
        """Milliseconds of a call: median and 95th percentile."""
        if self.device.type != "cuda":
            function()
            return _summary([_seconds(function) * 1e3 for _ in range(self.frames)])
        for _ in range(WARM_UP):
            function()
        torch.cuda.synchronize()
        events = [torch.cuda.Event(enable_timing=True) for _ in range(self.frames + 1)]
        events[0].record()
        for event in events[1:]:
            function()
            event.record()
        torch.cuda.synchronize()
        return _summary([a.elapsed_time(b) for a, b in itertools.pairwise(events)])

    def image(self, batch: int = 1) -> Tensor:
        """``[batch 3 H W]``."""
        return formula_images(1, 1, self.size)[0].expand(batch, -1, -1, -1).to(self.device)


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


def prepared(run: Run, precision: str) -> Cut3r:
    """A copy in one precision; sets the process's TF32 switches."""
    tf32 = precision != "float32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    dtype, head_dtype = PRECISIONS[precision]
    return copy.deepcopy(run.model).cast(dtype, head_dtype)


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
    return times | {"floor": floor(run, precision), "memory_gb": peak_memory(run), "errors": errors}


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
    hook = model.downstream_head.register_forward_hook(lambda *_: marks.append(_mark(run.device)))
    warm_up = WARM_UP if run.device.type == "cuda" else 1
    model.forward_recurrent([published_view(run.image())] * (warm_up + run.frames), run.device)
    hook.remove()
    if run.device.type == "cuda":
        torch.cuda.synchronize()
    return _summary([_between(a, b) for a, b in itertools.pairwise(marks[warm_up - 1 :])])


def measure_caching(run: Run, compile_mode: str) -> None:
    """Frames a second where frames can be encoded ahead and scenes run side by side."""
    model = prepared(run, "bf16+fp16")
    compiled = prepared(run, "bf16+fp16")
    compile_blocks(compiled, compile_mode)
    for number in ENCODED_AT_ONCE:
        for mode, chosen in (("compiled", compiled), ("eager", model)):
            run.try_out(
                "encode ahead",
                lambda n=number, c=chosen: _rate(run, lambda: c.encode(run.image(n)), n),
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
    return _rate(run, lambda: graphed.step_encoded(tokens, state), scenes)


def peak_memory(run: Run) -> float | None:
    """Gigabytes allocated at most, of all models alive."""
    if run.device.type != "cuda":
        return None
    return torch.cuda.max_memory_allocated() / 1e9


def summary(report: dict[str, Any]) -> str:
    """The tables as Markdown."""
    flop = ", ".join(f"{stage} {n / 1e12:.3f}" for stage, n in report["flop"].items())
    lines = [f"\n{report['device']}, torch {report['torch']}, {report['variant']} {report['size']}"]
    lines += [
        f"TFLOP a frame: {flop}",
        "",
        "| what | precision | mode | ms | p95 | floor | frames/s |",
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for row in report["rows"]:
        what = row.get("stage", row["what"]) + (f" ×{row['batch']}" if "batch" in row else "")
        cells = [what, row.get("precision", "bf16+fp16"), row["mode"]]
        cells += [_shown(row.get(name)) for name in ("median_ms", "p95_ms", "floor", "per_second")]
        lines.append(
            "| "
            + " | ".join([*cells[:3], *(["error"] * 4 if "error" in row else cells[3:])])
            + " |"
        )
    lines += [
        "",
        "| error against float32, mean (worst) | " + " | ".join(_errors_header(report)) + " |",
    ]
    lines += _error_lines(report)
    return "\n".join(lines)


def _errors_header(report: dict[str, Any]) -> list[str]:
    return [f"{r['precision']} {r['mode']}" for r in report["rows"] if "errors" in r]


def _error_lines(report: dict[str, Any]) -> list[str]:
    runs = [row["errors"] for row in report["rows"] if "errors" in row]
    lines = ["|---" * (len(runs) + 1) + "|"]
    for name in runs[0] if runs else ():
        cells = [f"{r[name]['mean']:.1e} ({r[name]['worst']:.1e})" for r in runs]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _rate(run: Run, function: Callable[[], Any], frames: int) -> dict[str, float]:
    times = run.time(function)
    return times | {"per_second": 1e3 * frames / times["median_ms"]}


def _seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _mark(device: torch.device) -> Any:
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _between(a: Any, b: Any) -> float:
    return 1e3 * (b - a) if isinstance(a, float) else a.elapsed_time(b)


def _summary(milliseconds: list[float]) -> dict[str, float]:
    ordered = sorted(milliseconds)
    last = min(len(ordered) - 1, round(0.95 * len(ordered)))
    return {"median_ms": statistics.median(ordered), "p95_ms": ordered[last]}


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _line(row: dict[str, Any]) -> str:
    shown = {k: v for k, v in row.items() if k not in ("errors", "traceback")}
    return "  ".join(
        f"{k}={v:.2f}" if isinstance(v, float) else f"{k}={v}" for k, v in shown.items()
    )


if __name__ == "__main__":
    main()
