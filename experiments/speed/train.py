"""The training step: ours in several makes beside its floor and the PyTorch twins.

    python -m experiments.speed.train [--clips 16] [--seconds 60] [--out FILE]
    python -m experiments.speed.train --sizes tiny --clips 2 --frames 4 --seconds 2 --no-compile

Forward, backward and AdamW on random clips that lie on the device: no disk, no loader. Variants:
``remat`` keeps matrix products alone for the backward pass, ``remat all`` nothing, ``4 parts``
accumulates the gradient over four parts of the batch. The floor is the greater of the step's matrix
products over the measured FLOP/s and (batch and parameters read, optimiser state read and written)
over the measured bytes/s. The twin (`torch_baseline`) is held to our loss by `tests/speed`.
``--curve STEPS`` trains that long in float32 and in bfloat16 from the same start and compares.
On a GPU set ``XLA_PYTHON_CLIENT_PREALLOCATE=false``; every row is measured with the others' memory
given back.
"""

import argparse
import gc
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.speed.clips import (
    SIZES,
    image_size,
    lean,
    make_config,
    make_loss,
    make_step,
    random_batch,
)
from experiments.speed.measuring import (
    Row,
    Torch,
    ceilings,
    finish,
    floor_ms,
    head,
    line,
    matmul_flops,
    nbytes,
    new_parser,
    timed,
)
from experiments.speed.train_stages import parts
from moonseg_jax.structs import Frame

COLUMNS = {
    "what": "{}",
    "ms": "{:.1f}",
    "p95": "{:.1f}",
    "clips_per_s": "{:.1f}",
    "tflop": "{:.3f}",
    "floor_ms": "{:.2f}",
    "times_floor": "{:.1f}",
    "temporary_gb": "{:.2f}",
    "peak_gb": "{:.2f}",
    "first_s": "{:.1f}",
    "loss": "{:.5f}",
    "error": "{}",
}
VARIANTS: dict[str, Callable[[Callable], Callable]] = {
    "": lambda loss: loss,
    ", remat": lambda loss: jax.checkpoint(loss, policy=jax.checkpoint_policies.dots_saveable),
    ", remat all": jax.checkpoint,
    ", 4 parts": lambda loss: in_parts(loss, 4),
}
FEATURES = ("features_3d", "features_2d")
RUNS = [("float32", ""), ("bfloat16", "")]
RUNS += [(dtype, name) for name in list(VARIANTS)[1:] for dtype in ("float32", "bfloat16")]


def main() -> None:
    parser = new_parser(__doc__, seconds=60)
    parser.add_argument("--sizes", choices=SIZES, default="paper")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--masks", type=int, default=64)
    parser.add_argument("--curve", type=int, default=0, metavar="STEPS")
    parser.add_argument("--parts", action="store_true", help="the objective part by part, too")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--no-variants", action="store_true")
    parser.add_argument("--no-twin", action="store_true", help="leave PyTorch out")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    args = parser.parse_args()

    share = args.seconds / 16
    found = ceilings(share)
    host = lean(random_batch(args.sizes, args.clips, args.frames, args.masks))
    rows: list[Row] = []
    head(COLUMNS)

    def run(name: str, measure: Callable[[], Row]) -> None:
        rows.append({"what": name} | attempt(measure))
        line(rows[-1], COLUMNS)

    for dtype, variant in RUNS[: 2 if args.no_variants else None]:
        if dtype not in args.dtypes:
            continue
        made = VARIANTS[variant]
        run(f"JAX {dtype}{variant}", lambda d=dtype, m=made: ours(args, d, m, host, share, found))
    if args.parts:
        for part in by_part(args, host, 4 * share):
            rows.append(part)
            line(part, COLUMNS)
    for dtype in () if args.no_twin else args.dtypes:
        for kind in ("eager", "compiled")[: 1 if args.no_compile else 2]:
            name = f"PyTorch {dtype}, {kind}"
            run(name, lambda d=dtype, k=kind: theirs(args, d, k == "compiled", host, share))
    report: Row = {"sizes": args.sizes, "clips": args.clips, "frames": args.frames}
    if args.curve:
        report["curves"] = curves(args, host)
        print(f"bfloat16 and float32 apart by {report['curves']['relative_difference']}")
    finish(report | {"ceilings": found, "rows": rows}, args.out)


def attempt(measure: Callable[[], Row]) -> Row:
    """An error, such as too little memory, is a result, too."""
    try:
        return measure()
    except Exception as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}".split("\n")[0][:120]}
    finally:
        gc.collect()


def ours(
    args: argparse.Namespace,
    dtype: str,
    variant: Callable[[Callable], Callable],
    batch: Frame,
    seconds: float,
    found: Row,
) -> Row:
    """One make of our step."""
    batch = jax.device_put(batch)
    config = make_config(args.sizes, dtype)
    params, loss = make_loss(args.sizes, config)
    state, step = make_step(params, variant(loss), config)
    flops = matmul_flops(jax.make_jaxpr(make_step(params, loss, config)[1])(state, batch).jaxpr)
    floor = floor_ms(found, flops, nbytes(batch) + 2 * nbytes(state), dtype)
    start = time.perf_counter()
    compiled = step.lower(state, batch).compile()
    row: Row = {"first_s": time.perf_counter() - start, "tflop": flops / 1e12, "floor_ms": floor}
    row["temporary_gb"] = compiled.memory_analysis().temp_size_in_bytes / 1e9
    held = [state]

    def one() -> Any:
        held[0], metrics = compiled(held[0], batch)
        return metrics

    first = float(one()["loss"])
    row |= timed(one, seconds) | {"loss": first}
    return row | {"clips_per_s": 1e3 * args.clips / row["ms"], "times_floor": row["ms"] / floor}


def by_part(args: argparse.Namespace, host: Frame, seconds: float) -> Iterator[Row]:
    """The parts of the objective, in bfloat16."""
    config, batch = make_config(args.sizes, "bfloat16"), jax.device_put(host)
    params, loss = make_loss(args.sizes, config)
    for name, function, inputs in parts(args.sizes, config, batch, loss, params):
        compiled = jax.jit(function)
        call = partial(compiled, *inputs)
        yield {"what": f"part: {name}"} | attempt(partial(timed, call, seconds / 16))


def theirs(
    args: argparse.Namespace, dtype: str, compiled: bool, batch: Frame, seconds: float
) -> Row:
    """The twin's step, in float32 or under autocast."""
    from experiments.speed.torch_baseline.core import TorchCore, load_parameters
    from experiments.speed.torch_baseline.frames import to_device
    from experiments.speed.torch_baseline.training import TrainingTwin

    torch = Torch()
    config = make_config(args.sizes, "float32")
    core = TorchCore(config.model, SIZES[args.sizes]["c3"], SIZES[args.sizes]["c2"])
    load_parameters(core, make_loss(args.sizes, config)[0])
    twin = TrainingTwin(
        core.to(torch.device),
        config,
        image_size(args.sizes),
        compiled=compiled,
        dtype=getattr(torch.torch, dtype),
    )
    clips = to_device(batch, torch.device)
    start = time.perf_counter()
    loss = float(twin.step(clips))
    row: Row = {"first_s": time.perf_counter() - start, "loss": loss}
    row |= timed(lambda: twin.step(clips), seconds, torch.wait)
    peak = torch.peak_mb()
    row |= {"clips_per_s": 1e3 * args.clips / row["ms"], "peak_gb": peak and peak / 1e3}
    if torch.device == "cuda":
        del twin, clips, core
        gc.collect()
        torch.torch.cuda.empty_cache()
        torch.torch.cuda.reset_peak_memory_stats()
    return row


def in_parts(loss: Callable, parts: int) -> Callable:
    """The same mean over the batch, a part of its clips after the other."""

    def whole(params: Any, batch: Frame, targets: None) -> tuple[jax.Array, Any]:
        split = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)
        one = jax.checkpoint(lambda part: loss(params, part, targets))
        return jax.tree.map(jnp.mean, jax.lax.map(one, split))

    return whole


def curves(args: argparse.Namespace, host: Frame) -> Row:
    """Both precisions from the same start on the same batches: four batches over and over."""
    base = jax.device_put(host)
    # The same features under other masks.
    batches = [
        base.replace(**{f: jnp.roll(getattr(base, f), 5 * shift, axis=3) for f in FEATURES})
        for shift in range(4)
    ]
    found: Row = {}
    for dtype in ("float32", "bfloat16"):
        config = make_config(args.sizes, dtype)
        state, step = make_step(*make_loss(args.sizes, config), config)
        losses = []
        for index in range(args.curve):
            state, metrics = step(state, batches[index % len(batches)])
            losses.append(metrics["loss"])
        found[dtype] = [float(loss) for loss in losses]
    both = np.array([found["float32"], found["bfloat16"]])
    apart = np.abs(both[1] - both[0]) / np.abs(both[0])
    return found | {"relative_difference": {"greatest": apart.max(), "mean": apart.mean()}}


if __name__ == "__main__":
    main()
