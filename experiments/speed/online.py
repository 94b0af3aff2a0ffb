"""One step of the online fusion: in all, by stage with its floor, and beside the PyTorch twin.

    python -m experiments.speed.online [--sizes paper|classical] [--seconds 60] [--out FILE]
    python -m experiments.speed.online --sizes tiny --seconds 2 --no-compile     # any CPU, to try

A frame of 60 masks in a scene of 500 instances and 300,000 keys on a 24x32 patch grid: masks and
boxes are real geometry, a tiled room; what fills the memory is random. Frames lie on the device.
``ms`` waits for every result, ``back_to_back_ms`` only for the last of many. The floor of a row is
the greater of its inputs and outputs over the measured copying speed and its matrix products over
the measured FLOP/s. The twin is `torch_baseline`, eager and compiled, on the same frames and state.
On a GPU set ``XLA_PYTHON_CLIENT_PREALLOCATE=false``: PyTorch needs some of the memory.
"""

import time
from typing import Any

import jax
import numpy as np

from experiments.speed.measuring import (
    Row,
    Torch,
    ceilings,
    device_memory,
    finish,
    floor_ms,
    matmul_flops,
    nbytes,
    new_parser,
    print_table,
    summary,
    timed,
)
from experiments.speed.online_stages import matchers, stages
from experiments.speed.scene import INSTANCES, KEYS, SIZES, Scene
from moonseg_jax.online import OnlineState
from moonseg_jax.structs import Frame

COLUMNS = {
    "what": "{}",
    "ms": "{:.3f}",
    "p95": "{:.3f}",
    "p99": "{:.3f}",
    "back_to_back_ms": "{:.3f}",
    "floor_ms": "{:.4f}",
    "gflop": "{:.2f}",
    "mb": "{:.1f}",
    "first_s": "{:.1f}",
}


def main() -> None:
    parser = new_parser(__doc__, seconds=60)
    with_state = [name for name, size in SIZES.items() if size["state_tokens"]]  # As the baseline.
    parser.add_argument("--sizes", choices=with_state, default="paper")
    parser.add_argument("--instances", type=int, default=INSTANCES)
    parser.add_argument("--keys", type=int, default=KEYS)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--no-stages", action="store_true")
    args = parser.parse_args()

    share = args.seconds / 12
    found = ceilings(share)
    scene = Scene(args.sizes)
    frames = scene.frames(4)
    rows = [whole_step(scene, frames, args.instances, args.keys, share, found)]
    state = scene.full_state(frames, args.instances, args.keys)
    rows += twins(scene, frames, state, share, args.no_compile)
    if not args.no_stages:
        print_table(rows, COLUMNS)
        rows += by_stage(scene, state, frames[0], 6 * share, found)
    print_table(rows, COLUMNS)
    report = {"sizes": args.sizes, "ceilings": found, "rows": rows, "memory": device_memory()}
    report |= {"keys": int(state.keys.count), "instances": int(state.num_rows)}
    print({name: float(f"{value:.3g}") for name, value in found.items()})
    finish(report, args.out)


def whole_step(
    scene: Scene, frames: list[Frame], instances: int, keys: int, seconds: float, found: Row
) -> Row:
    """The step as `OnlineLoop` runs it, the state donated from frame to frame."""
    state = scene.full_state(frames, instances, keys)
    flops = matmul_flops(jax.make_jaxpr(scene.advance)(state, frames[0]).jaxpr)
    # Of the key table only the points and rows are read, and only what is new is written.
    traffic = nbytes(frames[0]) + nbytes(scene.params) + nbytes(state.bank)
    traffic += nbytes((state.keys.points, state.keys.rows))
    start = time.perf_counter()
    state, _ = jax.block_until_ready(scene.advance(state, frames[0]))
    first = time.perf_counter() - start
    times, dispatch, index = [], [], 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or index < 8:
        start = time.perf_counter()
        state, result = scene.advance(state, frames[index % len(frames)])
        dispatch.append(1e3 * (time.perf_counter() - start))
        jax.block_until_ready((state, result))
        times.append(1e3 * (time.perf_counter() - start))
        index += 1
    start = time.perf_counter()
    for number in range(index):
        state, result = scene.advance(state, frames[number % len(frames)])
    jax.block_until_ready((state, result))
    row = {"what": "step, JAX"} | summary(times)
    row["back_to_back_ms"] = 1e3 * (time.perf_counter() - start) / index
    row |= {"dispatch_ms": float(np.median(dispatch)), "first_s": first}
    return row | floors(found, flops, traffic)


def by_stage(
    scene: Scene, state: OnlineState, frame: Frame, seconds: float, found: Row
) -> list[Row]:
    """Every stage compiled by itself; together they take longer than the whole step."""
    made = [*stages(scene, state, frame), *matchers(scene, state, frame)]
    rows = []
    for name, function, inputs, traffic in made:
        flops = matmul_flops(jax.make_jaxpr(function)(*inputs).jaxpr)
        output = jax.eval_shape(function, *inputs)
        compiled = jax.jit(function)
        row = {"what": name} | timed(lambda c=compiled, x=inputs: c(*x), seconds / len(made))
        rows.append(row | floors(found, flops, traffic or nbytes(inputs) + nbytes(output)))
    return rows


def floors(found: Row, flops: float, traffic: float) -> Row:
    """FLOP, bytes, and the time that they take at least."""
    return {
        "gflop": flops / 1e9,
        "mb": traffic / 1e6,
        "floor_ms": floor_ms(found, flops, traffic),
    }


def twins(
    scene: Scene, frames: list[Frame], state: OnlineState, seconds: float, no_compile: bool
) -> list[Row]:
    """The same frames from the same state through PyTorch."""
    from experiments.speed.torch_baseline.core import TorchCore, load_parameters
    from experiments.speed.torch_baseline.frames import to_device
    from experiments.speed.torch_baseline.online import OnlineTwin, fill

    torch = Torch()
    core = TorchCore(scene.config.model, scene.room.c3, scene.room.c2)
    load_parameters(core, scene.params)
    theirs = [to_device(frame, torch.device) for frame in frames]
    rows = []
    for kind in ("eager", "compiled")[: 1 if no_compile else 2]:
        twin = OnlineTwin(
            core,
            scene.config,
            scene.room.image_size,
            scene.room.state_tokens,
            device=torch.device,
            rows=state.bank.capacity,
            keys=state.keys.capacity,
            compiled=kind == "compiled",
        )
        fill(twin, state)
        rows.append({"what": f"step, PyTorch {kind}"} | run_twin(twin, theirs, seconds, torch))
    return rows


def run_twin(twin: Any, frames: list[Any], seconds: float, torch: Torch) -> Row:
    """After some turns: the compiler takes a few to learn which sizes change."""
    start = time.perf_counter()
    twin.step(frames[0])
    torch.wait()
    first = time.perf_counter() - start
    for frame in 3 * frames:
        twin.step(frame)
    turn = iter(range(1 << 30))
    return timed(lambda: twin.step(frames[next(turn) % len(frames)]), seconds, torch.wait) | {
        "first_s": first
    }


if __name__ == "__main__":
    main()
