"""A training step of K members in one program, beside that of one run by itself.

    python -m experiments.speed.sweep [--members 2 4 8] [--clips 16] [--seconds 60] [--out FILE]
    python -m experiments.speed.sweep --sizes tiny --clips 2 --frames 4 --seconds 2

Forward, backward and AdamW on random clips that lie on one device: no disk, no loader. Members
differ in seed, learning rate and the weight of L_dist. ``times_alone`` is the median against that
of one run, measured in the same process with the trainer's own step; K is what K in turn take.
On a GPU set ``XLA_PYTHON_CLIENT_PREALLOCATE=false``.
"""

import gc
import time
from functools import partial
from typing import Any

import jax

from experiments.speed.clips import (
    SIZES,
    Step,
    lean,
    make_config,
    make_loss,
    make_step,
    random_batch,
    random_info,
)
from experiments.speed.measuring import Row, device_memory, finish, new_parser, print_table, timed
from moonseg_jax.structs import Frame
from moonseg_jax.train.members import make_members
from moonseg_jax.train.mesh import member_sharding, put_batch, put_state, sweep_mesh
from moonseg_jax.train.step import batch_loss
from moonseg_jax.train.sweep_step import compile_sweep, init_sweep, sweep_shardings

COLUMNS = {
    "what": "{}",
    "ms": "{:.1f}",
    "p95": "{:.1f}",
    "times_alone": "{:.2f}",
    "clips_per_s": "{:.1f}",
    "first_s": "{:.1f}",
    "peak_mb": "{:.0f}",
    "runs": "{}",
}
STEPS = 1000


def main() -> None:
    parser = new_parser(__doc__, seconds=60)
    parser.add_argument("--sizes", choices=SIZES, default="paper")
    parser.add_argument("--members", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--masks", type=int, default=64)
    parser.add_argument("--at-once", type=int, default=0, help="train.members_at_once")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    args = parser.parse_args()
    host = lean(random_batch(args.sizes, args.clips, args.frames, args.masks))
    share = args.seconds / len(args.dtypes) / (1 + len(args.members))
    rows: list[Row] = []
    for dtype in args.dtypes:
        alone = measure(f"alone, {dtype}", *one(args.sizes, dtype, host), share)
        rows.append(alone | {"times_alone": 1.0, "clips_per_s": 1e3 * args.clips / alone["ms"]})
        print_table(rows[-1:], COLUMNS)
        for count in args.members:
            made = many(args.sizes, dtype, host, count, args.at_once)
            row = measure(f"{count} members, {dtype}", *made, share)
            row["times_alone"] = row["ms"] / alone["ms"]
            # Of all members together: what they learn from, not what is read.
            row["clips_per_s"] = 1e3 * args.clips * count / row["ms"]
            rows.append(row)
            print_table(rows[-1:], COLUMNS)
    print_table(rows, COLUMNS)
    report = {"sizes": args.sizes, "clips": args.clips, "frames": args.frames, "rows": rows}
    finish(report, args.out)


def one(size: str, dtype: str, host: Frame) -> tuple[Any, Step, Frame]:
    """State, step and batch of a run by itself."""
    config = make_config(size, dtype)
    return *make_step(*make_loss(size, config), config), jax.device_put(host)


def many(
    size: str, dtype: str, host: Frame, count: int, at_once: int = 0
) -> tuple[Any, Any, Frame]:
    """The same of a sweep."""
    config, info = make_config(size, dtype), random_info(size)
    config.data.batch_clips, config.train.members_at_once = len(host.points), at_once
    mesh = sweep_mesh(jax.devices()[:1], config.data.batch_clips, count)
    members = make_members(config, [change(i) for i in range(count)])
    graphdef, params = members.new_params(info)
    settings = put_state(members.settings(info), member_sharding(mesh))
    whole = members.config
    loss = partial(batch_loss, graphdef=graphdef, config=whole, image_size=info.image_size)
    state = put_state(init_sweep(params, settings, whole, STEPS), sweep_shardings(mesh))
    step = compile_sweep(loss, settings, whole, STEPS, mesh, lambda batch, step: (batch, None))
    return state, step, put_batch(host, mesh)


def measure(what: str, state: Any, step: Any, batch: Frame, seconds: float) -> Row:
    """The first step, which compiles, and then the time of each."""
    held = [state]
    del state

    def run() -> Any:
        held[0], metrics = step(held[0], batch)
        return held[0], metrics

    start = time.perf_counter()
    jax.block_until_ready(run())
    first = time.perf_counter() - start
    row = {"what": what, "first_s": first} | timed(run, seconds) | device_memory()
    gc.collect()
    return row


def change(index: int) -> dict[str, Any]:
    """What a member changes."""
    rate = 1e-4 * (1 + index)
    return {"seed": index, "optimizer.learning_rate": rate, "loss.dist": 0.1 * (index % 2)}


if __name__ == "__main__":
    main()
