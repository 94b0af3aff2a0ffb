"""How long the first step takes: without the persistent compilation cache, with an empty one, warm.

    python -m experiments.speed.first_step [--sizes paper] [--out FILE]
    python -m experiments.speed.first_step --sizes tiny --clips 2                # any CPU, to try

Every time is that of a process of its own, from its start: imports, the device, building the core,
and the first step's result. ``moonseg`` keeps compiled programs under ``~/.cache/moonseg_jax/xla``
unless ``JAX_COMPILATION_CACHE_DIR`` says otherwise; here they go to a temporary folder.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COLUMNS = {
    "what": "{}",
    "cache": "{}",
    "imports_s": "{:.1f}",
    "device_s": "{:.1f}",
    "first_step_s": "{:.1f}",
    "second_step_ms": "{:.1f}",
    "process_s": "{:.1f}",
    "cache_mb": "{:.1f}",
}
WHAT = ("online step", "training step")


def main() -> None:
    began = time.perf_counter()  # The child's first figure is that of its imports.
    from experiments.speed.measuring import finish, new_parser, print_table

    parser = new_parser(__doc__, seconds=0)
    parser.add_argument("--sizes", choices=["paper", "classical", "tiny"], default="paper")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--only", choices=WHAT)
    parser.add_argument("--child", choices=WHAT, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(child(args, began)))
        return
    rows = []
    for what in [args.only] if args.only else WHAT:
        rows.append(process(what, "off", None, args))
        with tempfile.TemporaryDirectory() as folder:
            rows += [process(what, kind, folder, args) for kind in ("empty", "warm")]
    print_table(rows, COLUMNS)
    finish({"sizes": args.sizes, "rows": rows}, args.out)


def process(what: str, kind: str, folder: str | None, args: argparse.Namespace) -> dict[str, Any]:
    """One process; what it says of itself, and how long it took as a whole."""
    command = [sys.executable, "-m", "experiments.speed.first_step", "--child", what]
    command += ["--sizes", args.sizes, "--clips", str(args.clips)]
    environment = dict(os.environ, JAX_ENABLE_COMPILATION_CACHE="false")
    if folder:
        environment |= {
            "JAX_ENABLE_COMPILATION_CACHE": "true",
            "JAX_COMPILATION_CACHE_DIR": folder,
        }
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    spent = time.perf_counter() - start
    row = {"what": what, "cache": kind} | json.loads(done.stdout.splitlines()[-1])
    if folder:
        row["cache_mb"] = (
            sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file()) / 1e6
        )
    return row | {"process_s": spent}


def child(args: argparse.Namespace, began: float) -> dict[str, Any]:
    """In a process of its own: how long until two steps are done."""
    import jax

    from moonseg_cli.runtime import enable_compilation_cache

    enable_compilation_cache()
    start = time.perf_counter()
    jax.devices()
    device = time.perf_counter()
    run = online_step(args) if args.child == WHAT[0] else training_step(args)
    ready = time.perf_counter()
    run()
    first = time.perf_counter()
    run()
    second = time.perf_counter()
    return {
        "imports_s": start - began,
        "device_s": device - start,
        "first_step_s": first - ready,
        "second_step_ms": 1e3 * (second - first),
    }


def online_step(args: argparse.Namespace) -> Callable[[], None]:
    """Runs the fusion's step once."""
    import jax

    from experiments.speed.scene import Scene

    scene = Scene(args.sizes)
    held, frame = [scene.state()], scene.frames(1)[0]

    def run() -> None:
        held[0], _ = jax.block_until_ready(scene.advance(held[0], frame))

    return run


def training_step(args: argparse.Namespace) -> Callable[[], None]:
    """Runs the trainer's step once."""
    import jax

    from experiments.speed.clips import lean, make_config, make_loss, make_step, random_batch

    config = make_config(args.sizes, "float32")
    state, step = make_step(*make_loss(args.sizes, config), config)
    held = [state]
    batch = jax.device_put(lean(random_batch(args.sizes, args.clips, 16, 64)))

    def run() -> None:
        held[0], _ = jax.block_until_ready(step(held[0], batch))

    return run


if __name__ == "__main__":
    main()
