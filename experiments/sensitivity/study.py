"""What a study leaves: ``NAME.json``, ``NAME.md`` and curves in ``NAME.png``."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.sensitivity.chart import draw_chart

APS = ("ap", "ap50", "ap25")


@dataclass(frozen=True)
class Point:
    """Numbers at one place of one curve.

    Attributes:
        curve: its name.
        x: the place.
        numbers: by name.
    """

    curve: str
    x: float
    numbers: dict[str, float]

    def say(self) -> None:
        """Prints it."""
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in self.numbers.items())
        print(f"{self.curve:32}{self.x:8g}  {numbers}", flush=True)


def write_study(out: Path, name: str, over: str, points: Sequence[Point], about: str) -> None:
    """Writes a study's files.

    Args:
        out: folder.
        name: of the study.
        over: what ``x`` is.
        points: of all curves, in order.
        about: one sentence that says what the numbers are.
    """
    out.mkdir(parents=True, exist_ok=True)
    record = {"over": over, "about": about, "points": [asdict(point) for point in points]}
    (out / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    quantities = list(points[0].numbers)
    lines = [f"| | {over} | {' | '.join(quantities)} |", "|---" * (2 + len(quantities)) + "|"]
    for point in points:
        cells = " | ".join(f"{point.numbers[quantity]:.4g}" for quantity in quantities)
        lines.append(f"| {point.curve} | {point.x:g} | {cells} |")
    (out / f"{name}.md").write_text("\n".join([*lines, "", about, ""]))
    curves: dict[str, list[tuple[float, dict[str, float]]]] = {}
    for point in points:
        curves.setdefault(point.curve, []).append((point.x, point.numbers))
    draw_chart(out / f"{name}.png", curves, quantities)
    print(out / f"{name}.png")
