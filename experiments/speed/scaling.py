"""Training on 1, 2, 4, … devices: the same loss curve, and how well the time scales.

    python -m experiments.speed.scaling [--devices 1 2] [--steps 50] [--seconds 20] [--out FILE]
    python -m experiments.speed.scaling --sizes tiny --clips 4 --frames 4 --seconds 4

A CPU is four devices with ``XLA_FLAGS=--xla_force_host_platform_device_count=4``.

The trainer's own step over the trainer's own mesh; random clips that lie on the devices. ``same
batch`` shares ``--clips`` out over the devices, as `moonseg train` does; ``same share`` gives each
device as many. Efficiency is the time of one device over (for the same batch: n times) that of n.
``apart`` is the greatest relative difference to the losses of one device on the same batches. On
a GPU set ``XLA_PYTHON_CLIENT_PREALLOCATE=false``.
"""

import argparse
import gc
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.speed.clips import SIZES, lean, make_config, make_loss, random_batch
from experiments.speed.measuring import Row, finish, new_parser, print_table, timed
from moonseg_jax.structs import Frame
from moonseg_jax.train.mesh import data_mesh, put_batch, put_state, replicated
from moonseg_jax.train.optimizer import cosine_schedule, make_optimizer
from moonseg_jax.train.step import compile_step, init_state

COLUMNS = {
    "what": "{}",
    "devices": "{}",
    "ms": "{:.1f}",
    "p95": "{:.1f}",
    "clips_per_s": "{:.1f}",
    "efficiency": "{:.2f}",
    "apart": "{:.1e}",
    "first_s": "{:.1f}",
}


def main() -> None:
    parser = new_parser(__doc__, seconds=20)
    parser.add_argument("--sizes", choices=SIZES, default="paper")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--masks", type=int, default=64)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--steps", type=int, default=50, help="of the loss curve")
    parser.add_argument("--devices", nargs="+", type=int, help="how many; default: 1, 2, 4, …")
    args = parser.parse_args()
    counts = args.devices or [1 << i for i in range(jax.device_count().bit_length())]
    share = args.seconds / 2 / len(counts)
    batches = [
        lean(random_batch(args.sizes, args.clips, args.frames, args.masks, seed))
        for seed in range(2)
    ]
    rows = [measure(args, count, batches, args.steps, share) for count in counts]
    for row in rows:
        row["efficiency"] = rows[0]["ms"] / row["ms"] * counts[0] / row["devices"]
        one, other = np.array(rows[0]["losses"]), np.array(row["losses"])
        row["apart"] = float(np.max(np.abs(other - one) / np.abs(one))) if len(one) else None
    print_table(rows, COLUMNS)
    for count in counts[1:]:
        repeated = [
            jax.tree.map(lambda x, n=count: np.repeat(x, n, axis=0), batch) for batch in batches[:1]
        ]
        row = measure(args, count, repeated, 0, share)
        rows.append(row | {"what": "same share", "efficiency": rows[0]["ms"] / row["ms"]})
        print_table(rows[-1:], COLUMNS)
    print_table(rows, COLUMNS)
    finish({"sizes": args.sizes, "dtype": args.dtype, "rows": rows}, args.out)


def measure(
    args: argparse.Namespace, count: int, batches: list[Frame], steps: int, seconds: float
) -> Row:
    """The curve over so many steps, batches in turn, and the time of one step."""
    clips = len(batches[0].points)
    mesh = data_mesh(jax.devices()[:count], clips)
    state, step = trainer(args, mesh)
    placed = [put_batch(batch, mesh) for batch in batches]
    held, losses = [state], []
    del state

    def run(index: int = 0) -> Any:
        held[0], metrics = step(held[0], placed[index % len(placed)])
        return metrics["loss"]

    start = time.perf_counter()
    losses.append(jax.block_until_ready(run()))
    first = time.perf_counter() - start
    losses += [run(index) for index in range(1, steps)]
    row: Row = {"what": "same batch", "devices": count, "first_s": first}
    row["losses"] = [float(loss) for loss in losses[:steps]]
    row |= timed(run, seconds)
    gc.collect()
    return row | {"clips_per_s": 1e3 * clips / row["ms"]}


def trainer(args: argparse.Namespace, mesh: Any) -> tuple[Any, Any]:
    """State and step of `moonseg_jax.train.train` over a mesh."""
    config = make_config(args.sizes, args.dtype)
    params, loss = make_loss(args.sizes, config)
    schedule = cosine_schedule(config.optimizer, 1000)
    optimizer = make_optimizer(config.optimizer, schedule)
    # A copy, as the step takes the state over.
    state = jax.tree.map(jnp.array, init_state(params, optimizer))
    state = put_state(state, replicated(mesh))
    return state, compile_step(loss, optimizer, schedule, mesh)


if __name__ == "__main__":
    main()
