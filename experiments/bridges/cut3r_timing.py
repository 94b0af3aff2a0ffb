"""What CUT3R's speeds are measured with: one configuration after the other, against a deadline."""

import itertools
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bridges.backbones.cut3r import Cut3r
from tests.bridges.cut3r.formula import formula_images

WARM_UP = 5


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
            return spread([_seconds(function) * 1e3 for _ in range(self.frames)])
        for _ in range(WARM_UP):
            function()
        torch.cuda.synchronize()
        events = [torch.cuda.Event(enable_timing=True) for _ in range(self.frames + 1)]
        events[0].record()
        for event in events[1:]:
            function()
            event.record()
        torch.cuda.synchronize()
        return spread([a.elapsed_time(b) for a, b in itertools.pairwise(events)])

    def rate(self, function: Callable[[], Any], frames: int) -> dict[str, float]:
        """The same, and frames a second, of a call that takes so many."""
        times = self.time(function)
        return times | {"per_second": 1e3 * frames / times["median_ms"]}

    def peak_memory(self) -> float | None:
        """Gigabytes allocated at most, of all models alive."""
        if self.device.type != "cuda":
            return None
        return torch.cuda.max_memory_allocated() / 1e9

    def image(self, batch: int = 1) -> Tensor:
        """``[batch 3 H W]``."""
        return formula_images(1, 1, self.size)[0].expand(batch, -1, -1, -1).to(self.device)


def mark(device: torch.device) -> Any:
    """Now, by the device's clock."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def between(a: Any, b: Any) -> float:
    """Milliseconds between two marks."""
    return 1e3 * (b - a) if isinstance(a, float) else a.elapsed_time(b)


def spread(milliseconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    ordered = sorted(milliseconds)
    last = min(len(ordered) - 1, round(0.95 * len(ordered)))
    return {"median_ms": statistics.median(ordered), "p95_ms": ordered[last]}


def _seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _line(row: dict[str, Any]) -> str:
    shown = {k: v for k, v in row.items() if k not in ("errors", "traceback")}
    return "  ".join(
        f"{k}={v:.2f}" if isinstance(v, float) else f"{k}={v}" for k, v in shown.items()
    )
