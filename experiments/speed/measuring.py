"""Timing, the device's own ceilings, floors, tables and JSON: what every speed script shares."""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Row = dict[str, Any]
FEWEST = 5  # Timed runs, whatever the budget.


def new_parser(doc: str | None, seconds: float) -> argparse.ArgumentParser:
    """A parser with what all scripts take: ``--seconds`` and ``--out``."""
    parser = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=seconds, help="of timing, all together")
    parser.add_argument("--out", type=Path, help="JSON file for everything that is printed")
    return parser


def finish(report: Row, out: Path | None) -> None:
    """Names the device and writes the report."""
    report = {"device": device_name(), "jax": jax.__version__} | report
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=1))
    print(f"{report['device']}, jax {report['jax']}")


def device_name() -> str:
    """The first device; of a CPU, its cores and model."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        return device.device_kind
    models = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x]
    return f"{len(models)} cores, {models[0].split(': ')[1]}" if models else "cpu"


def on_gpu() -> bool:
    """Whether JAX computes on a GPU."""
    return jax.default_backend() == "gpu"


def timed(call: Callable[[], Any], seconds: float, wait: Callable[[Any], Any] | None = None) -> Row:
    """Milliseconds of a call, waiting for its result every time; one call goes first, untimed.

    Args:
        call: returns what to wait for.
        seconds: to go on for, at least `FEWEST` times.
        wait: for what ``call`` returns; JAX's own by default.
    """
    wait = wait or jax.block_until_ready
    wait(call())
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < FEWEST:
        start = time.perf_counter()
        wait(call())
        times.append(1e3 * (time.perf_counter() - start))
    return summary(times)


def summary(times: list[float]) -> Row:
    """Median, 95th and 99th percentile of milliseconds."""
    median, p95, p99 = np.percentile(times, [50, 95, 99])
    return {"ms": float(median), "p95": float(p95), "p99": float(p99), "runs": len(times)}


def ceilings(seconds: float = 1.0) -> Row:
    """What the device can do, measured: bytes/s of a copy, FLOP/s of products, waits.

    ``float32`` products are as JAX computes them by default: TF32 on a GPU that has it.
    """
    share = seconds / 6
    size, side = (1 << 28, 8192) if on_gpu() else (1 << 25, 1536)
    x = jnp.ones(size, jnp.float32)
    copy = timed(lambda: _increment(x), share)["ms"] / 1e3
    found: Row = {"bytes_per_s": 2 * x.nbytes / copy}
    for kind in ("float32", "bfloat16"):
        a = jnp.ones((side, side), kind)
        found[f"{kind}_flops"] = 2e3 * side**3 / timed(lambda a=a: _product(a), share)["ms"]
    scalar = jnp.zeros(())
    found["call_ms"] = timed(lambda: _increment(scalar), share)["ms"]
    found["loop_trip_ms"] = timed(lambda: _loop(scalar), share)["ms"] / _TRIPS
    return found


_TRIPS = 200
_increment = jax.jit(lambda x: x + 1)
_product = jax.jit(lambda a: a @ a)
# Ends by its value, as loops that search do: a GPU's host looks at it after every trip.
_loop = jax.jit(lambda x: jax.lax.while_loop(lambda y: y < _TRIPS, lambda y: y + 1, x))


def floor_ms(found: Row, flops: float, traffic: float, kind: str = "float32") -> float:
    """The least time for so many FLOP and bytes at the measured ceilings."""
    return 1e3 * max(flops / found[f"{kind}_flops"], traffic / found["bytes_per_s"])


def matmul_flops(jaxpr: Any) -> int:
    """FLOPs of all matrix products, of branches those of the least.

    XLA's own count takes the body of a scan once only.
    """
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contract, _), _ = equation.params["dimension_numbers"]
            depth = math.prod(equation.invars[0].aval.shape[i] for i in contract)
            total += 2 * depth * math.prod(equation.outvars[0].aval.shape)
        times = equation.params["length"] if equation.primitive.name == "scan" else 1
        together = min if equation.primitive.name == "cond" else sum
        inner = [matmul_flops(each) for each in _inner_jaxprs(equation.params)]
        total += times * together(inner or [0])
    return total


def _inner_jaxprs(params: Row) -> Iterator[Any]:
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            inner = getattr(item, "jaxpr", item)
            if hasattr(inner, "eqns"):
                yield inner


def nbytes(tree: Any) -> int:
    """Bytes of all arrays."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def device_memory() -> Row:
    """Megabytes in use and at the peak; of a CPU, those of live arrays."""
    stats = jax.devices()[0].memory_stats()
    if stats:
        peak = stats.get("peak_bytes_in_use", 0) / 1e6
        return {"in_use_mb": stats["bytes_in_use"] / 1e6, "peak_mb": peak}
    return {"in_use_mb": nbytes(jax.live_arrays()) / 1e6}


def print_table(rows: list[Row], columns: dict[str, str]) -> None:
    """A Markdown table; ``columns`` from name to format, ``-`` where a row lacks it."""
    head(columns)
    for row in rows:
        line(row, columns)


def head(columns: dict[str, str]) -> None:
    """The first two lines of a table."""
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|", flush=True)


def line(row: Row, columns: dict[str, str]) -> None:
    """One row of it."""
    cells = (
        "-" if row.get(name) is None else form.format(row[name]) for name, form in columns.items()
    )
    print("| " + " | ".join(cells) + " |", flush=True)


class Torch:
    """PyTorch on the device that JAX computes on, at the same precision of float32 products."""

    def __init__(self) -> None:
        import torch

        self.torch = torch
        self.device = "cuda" if on_gpu() and torch.cuda.is_available() else "cpu"
        # As XLA's default on a GPU: TF32.
        torch.set_float32_matmul_precision("high")

    def wait(self, _: Any = None) -> None:
        """Until the device is done."""
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def peak_mb(self) -> float | None:
        """Of its own arrays; None on a CPU."""
        return self.torch.cuda.max_memory_allocated() / 1e6 if self.device == "cuda" else None
