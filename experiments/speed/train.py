"""How long a training step takes, beside the least time its arithmetic and memory traffic need.

    python experiments/speed/train.py [--json] [--sizes classical paper] [--batch-clips 4 16]
        [--dtypes float32 bfloat16] [--masks 64] [--frames 16] [--seconds 2]

Random clips that lie on one device already: no disk, no loader. The floor is the greater of
(matrix products of the step as traced) / (peak of the device at that dtype) and (batch, parameters
and optimiser state read once, the latter two written once) / (memory bandwidth). Nobody reaches it:
it leaves out all that is not a matrix product, and everything kept for the backward pass.
On devices that are not in `PEAKS` only the FLOPs are given.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from moonseg_jax.config import default_config
from moonseg_jax.models import Core, split_core
from moonseg_jax.structs import Frame, pack_masks
from moonseg_jax.train.mesh import batch_sharding, data_mesh, replicated
from moonseg_jax.train.optimizer import cosine_schedule, make_optimizer
from moonseg_jax.train.setup import new_augment
from moonseg_jax.train.step import (
    TrainState,
    batch_loss,
    compile_augment,
    compile_step,
    init_state,
)

IMAGE_SIZE, PATCH, POINT_STRIDE, MASK_STRIDE = (384, 512), 16, 4, 2
SIZES = {
    "classical": {"c3": 48, "c2": 64, "width": 128, "feed_forward": 512},
    "paper": {"c3": 768, "c2": 1024, "width": 256, "feed_forward": 1024},
}
REPEATS = 3
# Dense FLOP/s of float32 inputs (TF32, JAX's default there) and of bfloat16, and bytes/s.
PEAKS = {
    "H100": {"float32": 494e12, "bfloat16": 989e12, "bytes": 3.35e12},
    "H200": {"float32": 494e12, "bfloat16": 989e12, "bytes": 4.8e12},
    "A100": {"float32": 156e12, "bfloat16": 312e12, "bytes": 2.0e12},
}


def random_batch(clips: int, frames: int, masks: int, c3: int, c2: int) -> Frame:
    """A camera sliding along a wall, with discs for masks: every frame sees earlier ones."""
    rng = np.random.default_rng(0)
    size = [n // PATCH for n in IMAGE_SIZE]
    point_size, mask_size = ([n // s for n in IMAGE_SIZE] for s in (POINT_STRIDE, MASK_STRIDE))
    lead = (clips, frames)
    x = np.linspace(0.0, 1.0, frames)[None, :, None, None]
    v, u = np.indices(point_size) * POINT_STRIDE + POINT_STRIDE / 2
    wall = np.broadcast_to(2 * (u - 256) / 512, (*lead, *point_size)) + x
    height = np.broadcast_to(2 * (v - 192) / 512, wall.shape)
    pose = np.tile(np.eye(4, dtype=np.float32), (*lead, 1, 1))
    pose[..., 0, 3] = x[..., 0, 0]
    camera = np.array([[512, 0, 256], [0, 512, 192], [0, 0, 1]], np.float32)
    rows, columns = np.indices(mask_size)
    y0, x0 = (rng.uniform(0, n, (masks, 1, 1)) for n in mask_size)
    planes = pack_masks(np.hypot(rows - y0, columns - x0) < rng.uniform(8, 40, (masks, 1, 1)))
    features = [rng.standard_normal((*lead, *size, c), np.float32) for c in (c3, c2)]
    return Frame(
        features_3d=features[0].astype(np.float16),
        features_2d=features[1].astype(np.float16),
        points=np.stack([wall, height, np.full_like(wall, 2)], axis=-1).astype(np.float32),
        confidence=np.ones((*lead, *point_size), np.float32),
        colors=np.zeros((*lead, *point_size, 3), np.uint8),
        T_world_from_cam=pose,
        intrinsics=np.tile(camera, (*lead, 1, 1)),
        masks=np.tile(planes, (*lead, 1, 1, 1)),
        mask_valid=np.ones((*lead, planes.shape[-1] * 32), bool),
        mask_scores=np.ones((*lead, planes.shape[-1] * 32), np.float32),
        timestamp=np.zeros(lead, np.float32),
    )


def make_step(config: ConfigDict, c3: int, c2: int) -> tuple[TrainState, Any]:
    core = Core(config.model, c3, c2, rngs=nnx.Rngs(0), dtype=config.train.dtype)
    graphdef, params = split_core(core)
    schedule = cosine_schedule(config.optimizer, 1000)
    optimizer = make_optimizer(config.optimizer, schedule)
    loss = partial(batch_loss, graphdef=graphdef, config=config, image_size=IMAGE_SIZE)
    mesh = data_mesh(jax.devices()[:1], config.data.batch_clips)
    state = jax.device_put(init_state(params, optimizer), replicated(mesh))
    return state, compile_step(
        loss, optimizer, schedule, mesh, compile_augment(new_augment(config), mesh)
    )


def matmul_flops(jaxpr: Any) -> int:
    """FLOPs of all matrix products; XLA's own count takes the body of a scan once only."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contract, _), _ = equation.params["dimension_numbers"]
            depth = math.prod(equation.invars[0].aval.shape[i] for i in contract)
            total += 2 * depth * math.prod(equation.outvars[0].aval.shape)
        times = equation.params["length"] if equation.primitive.name == "scan" else 1
        total += times * sum(map(matmul_flops, inner_jaxprs(equation.params)))
    return total


def inner_jaxprs(params: dict[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            inner = getattr(item, "jaxpr", item)
            if hasattr(inner, "eqns"):
                yield inner


def nbytes(tree: Any) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def floor_seconds(flops: int, traffic: int, dtype: str) -> float | None:
    for name, peak in PEAKS.items():
        if name in jax.devices()[0].device_kind:
            return max(flops / peak[dtype], traffic / peak["bytes"])
    return None


def measure(size: str, clips: int, dtype: str, args: argparse.Namespace) -> dict[str, Any]:
    config, scale = default_config(), dict(SIZES[size])
    c3, c2 = scale.pop("c3"), scale.pop("c2")
    config.model.update(scale)
    config.train.dtype, config.data.batch_clips = dtype, clips
    state, step = make_step(config, c3, c2)
    batch = random_batch(clips, args.frames, args.masks, c3, c2)
    batch = jax.device_put(batch, batch_sharding(data_mesh(jax.devices()[:1], clips)))

    flops = matmul_flops(jax.make_jaxpr(step)(state, batch).jaxpr)
    traffic = nbytes(batch) + 2 * nbytes(state)
    row = {"size": size, "dtype": dtype, "clips": clips, "frames": args.frames}
    row |= {"masks": args.masks, "tflops": flops / 1e12}
    start = time.perf_counter()
    compiled = step.lower(state, batch).compile()
    row["compile_s"] = time.perf_counter() - start
    row["temporary_gb"] = compiled.memory_analysis().temp_size_in_bytes / 1e9

    seconds, loss = time_steps(compiled, state, batch, args.seconds)
    floor = floor_seconds(flops, traffic, dtype)
    row |= {"step_ms": 1e3 * seconds, "clips_per_s": clips / seconds}
    row |= {
        "frames_per_s": clips * args.frames / seconds,
        "achieved_tflops": flops / seconds / 1e12,
    }
    row |= {"floor_ms": None if floor is None else 1e3 * floor}
    row |= {"times_floor": None if floor is None else seconds / floor, "loss": loss}
    return row


def time_steps(step: Any, state: TrainState, batch: Frame, budget: float) -> tuple[float, float]:
    """Median over repeats of the mean time of a step, after two to warm up; and the last loss."""
    state, metrics = step(state, batch)
    start = time.perf_counter()
    state, metrics = step(state, batch)
    jax.block_until_ready(metrics)
    count = max(1, int(budget / REPEATS / (time.perf_counter() - start)))
    means = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(count):
            state, metrics = step(state, batch)
        jax.block_until_ready(metrics)
        means.append((time.perf_counter() - start) / count)
    return statistics.median(means), float(metrics["loss"])


def print_table(rows: list[dict[str, Any]]) -> None:
    columns = {
        "size": "{}", "dtype": "{}", "clips": "{}", "masks": "{}", "step_ms": "{:.2f}",
        "clips_per_s": "{:.1f}", "frames_per_s": "{:.0f}", "tflops": "{:.3f}",
        "achieved_tflops": "{:.2f}", "floor_ms": "{:.3f}", "times_floor": "{:.1f}",
        "temporary_gb": "{:.2f}", "compile_s": "{:.1f}",
    }  # fmt: skip
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for row in rows:
        cells = ["-" if row[k] is None else f.format(row[k]) for k, f in columns.items()]
        print("| " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--batch-clips", nargs="+", type=int, default=[4, 16])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--masks", type=int, default=64)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=2.0, help="of timing, per row")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = [
        measure(size, clips, dtype, args)
        for size in args.sizes
        for clips in args.batch_clips
        for dtype in args.dtypes
    ]
    device = jax.devices()[0].device_kind
    if args.json:
        print(json.dumps({"device": device, "jax": jax.__version__, "rows": rows}))
    else:
        print(f"{device}, jax {jax.__version__}\n")
        print_table(rows)


if __name__ == "__main__":
    main()
