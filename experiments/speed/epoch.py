"""An epoch of training with the data set on the device, and what reading it from caches costs.

    python -m experiments.speed.epoch [--clips 1201] [--seconds 60] [--folder DIR] [--out FILE]
    python -m experiments.speed.epoch --sizes tiny --clips 8 --batch 2 --frames 4 --seconds 4

Random clips, as many as fit beside the step (a clip of the paper's sizes takes 54 MB, features in
float16); the epoch of ScanNet's 1,201 clips is counted from the steps that were timed. Fewer than
fit, as 1000 on 80 GB, save compiling twice. The second half
writes ``--scenes`` caches of one clip each to ``--folder`` and trains from them by the trainer's
own loader: with the files in the page cache, and with the page cache dropped before every epoch.
On a GPU set ``XLA_PYTHON_CLIENT_PREALLOCATE=false``.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.speed.clips import (
    SIZES,
    lean,
    make_config,
    make_loss,
    make_step,
    random_batch,
    random_info,
)
from experiments.speed.measuring import Row, device_memory, finish, nbytes, new_parser, print_table
from experiments.speed.random_caches import drop_page_cache, files_of, random_frame, write_scenes
from moonseg_jax.data import make_loader
from moonseg_jax.structs import Frame
from moonseg_jax.train.step import TrainState

COLUMNS = {
    "what": "{}",
    "clips": "{}",
    "step_ms": "{:.1f}",
    "epoch_s": "{:.2f}",
    "clips_per_s": "{:.1f}",
    "waited": "{:.1%}",
    "data_gb": "{:.1f}",
    "peak_mb": "{:.0f}",
}
SPARE = 0.08  # Of the device's memory, left free.
EPOCH = 1201  # Clips: ScanNet's training scenes.


def main() -> None:
    parser = new_parser(__doc__, seconds=60)
    parser.add_argument("--sizes", choices=SIZES, default="paper")
    parser.add_argument("--clips", type=int, default=EPOCH)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--masks", type=int, default=64)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--scenes", type=int, default=48, help="caches to read; 0 leaves them out")
    parser.add_argument("--folder", help="on the disk to read from; default: the temporary folder")
    args = parser.parse_args()
    config = make_config(args.sizes, args.dtype)
    config.data.update({"batch_clips": args.batch, "clip_frames": args.frames})
    params, loss = make_loss(args.sizes, config)
    rows = [resident(args, config, params, loss)]
    print_table(rows, COLUMNS)
    if args.scenes:
        rows += from_caches(args, config, params, loss)
    print_table(rows, COLUMNS)
    finish({"sizes": args.sizes, "dtype": args.dtype, "rows": rows}, args.out)


def resident(args: argparse.Namespace, config: Any, params: Any, loss: Callable) -> Row:
    """Every batch is gathered from the whole data set on the device."""
    one = lean(random_batch(args.sizes, 1, args.frames, args.masks))
    state, step = make_step(params, loss, config)

    def chosen(state: TrainState, data: Frame, clips: jax.Array) -> tuple[TrainState, Any]:
        return step(state, jax.tree.map(lambda x: x[clips], data))

    program = jax.jit(chosen, donate_argnums=0)
    clips = np.arange(args.batch, dtype=np.int32)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct((args.clips, *x.shape[1:]), x.dtype), one)
    compiled = program.lower(state, shapes, clips).compile()
    temporary = compiled.memory_analysis().temp_size_in_bytes
    count = min(args.clips, clips_that_fit(nbytes(one), temporary + nbytes(state)))
    count = max(count, args.batch)
    if count < args.clips:
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape[1:]), x.dtype), one)
        compiled = program.lower(state, shapes, clips).compile()
    data = jax.block_until_ready(repeated(one, count))

    rng, held = np.random.default_rng(0), [state]

    def take() -> Any:
        held[0], metrics = compiled(held[0], data, rng.integers(0, count, args.batch, np.int32))
        return metrics

    seconds = paced(take, args.seconds / 3)
    steps = -(-EPOCH // args.batch)
    return {
        "what": "on the device",
        "clips": count,
        "step_ms": 1e3 * seconds,
        "epoch_s": steps * seconds,
        "clips_per_s": args.batch / seconds,
        "data_gb": nbytes(data) / 1e9,
        "temporary_gb": temporary / 1e9,
        **device_memory(),
    }


def paced(take: Callable[[], Any], budget: float) -> float:
    """Seconds a step, one step in flight as in the trainer, after two to warm up."""
    jax.block_until_ready((take(), take()))
    start, count, before = time.perf_counter(), 0, take()
    while time.perf_counter() - start < budget or count < 4:
        after = take()
        jax.block_until_ready(before)
        before, count = after, count + 1
    jax.block_until_ready(before)
    return (time.perf_counter() - start) / (count + 1)


def clips_that_fit(size: int, beside: int) -> int:
    """How many clips of so many bytes the device holds; without a limit, all."""
    stats = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" not in stats:
        return 1 << 30
    room = (1 - SPARE) * stats["bytes_limit"] - stats["bytes_in_use"] - beside
    return int(room // size)


def repeated(one: Frame, count: int) -> Frame:
    """A data set of random features; masks and geometry are those of one clip."""
    keys = iter(jax.random.split(jax.random.key(0), 2))

    def many(name: str) -> jax.Array:
        x = getattr(one, name)
        if name.startswith("features"):
            return _noise(next(keys), (count, *x.shape[1:]))
        return jnp.broadcast_to(jnp.asarray(x), (count, *x.shape[1:])).copy()

    fields = {name: many(name) for name in one.__dataclass_fields__ if name != "state_attention"}
    return Frame(**fields)


@partial(jax.jit, static_argnums=1)
def _noise(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    # Clip by clip: all at once would need the random numbers in float32 beside the data.
    keys = jax.random.split(key, shape[0])
    return jax.lax.map(lambda k: jax.random.normal(k, shape[1:], jnp.float16), keys)


def from_caches(args: argparse.Namespace, config: Any, params: Any, loss: Callable) -> list[Row]:
    """The same step on what the trainer's loader reads."""
    info = random_info(args.sizes)
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    paths = [folder / f"scene{index}" for index in range(args.scenes)]
    try:
        examples = [random_frame(info, seed) for seed in range(8)]
        write_scenes(paths, info, examples, args.frames)
        made = make_step(params, loss, config)
        share = args.seconds / 6
        return [
            epochs(args, config, paths, made, "from warm caches", share, lambda: None),
            epochs(args, config, paths, made, "from cold caches", share, partial(drop, paths)),
        ]
    finally:
        shutil.rmtree(folder)


def drop(paths: list[Path]) -> None:
    """Takes the files out of the page cache."""
    drop_page_cache(files_of(paths))


def epochs(
    args: argparse.Namespace,
    config: Any,
    paths: list[Path],
    made: tuple[TrainState, Callable],
    what: str,
    budget: float,
    before_epoch: Callable[[], None],
) -> Row:
    """Whole epochs until the budget is spent; the first of them only compiles."""
    first, step = made
    state = jax.tree.map(jnp.copy, first)
    spent = waited = 0.0
    steps = 0
    warming = True
    while warming or spent < budget:
        before_epoch()
        with closing(make_loader(paths, config.data, 0)) as loader:
            batches = loader.batches_per_epoch
            batch = jax.device_put(lean(next(loader)[0]))  # Filling the pipeline counts for none.
            state, pending = step(state, batch)
            start = time.perf_counter()
            for _ in range(batches - 1):
                asked = time.perf_counter()
                batch = lean(next(loader)[0])
                waited += 0.0 if warming else time.perf_counter() - asked
                state, metrics = step(state, jax.device_put(batch))
                jax.block_until_ready(pending)
                pending = metrics
            jax.block_until_ready(pending)
            if not warming:
                spent += time.perf_counter() - start
                steps += batches - 1
        warming = False
    seconds = spent / max(steps, 1)
    return {
        "what": what,
        "clips": len(paths),
        "step_ms": 1e3 * seconds,
        "epoch_s": -(-EPOCH // args.batch) * seconds,
        "clips_per_s": args.batch / seconds,
        "waited": waited / spent if spent else None,
        "steps": steps,
    }


if __name__ == "__main__":
    main()
