"""How long scoring a scene takes: AP from labels on vertices, and Protocol A's projection.

    python experiments/speed/eval.py [--json]

One core is what it should need: run it under `taskset -c 0` to see that.
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

from moonseg_jax.eval.ap import average_precision
from moonseg_jax.eval.associate import unproject_instances
from moonseg_jax.eval.overlaps import count_overlaps
from moonseg_jax.eval.views import View


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    rows = [
        score_row(vertices=200_000, instances=100, overlapping=False),
        score_row(vertices=200_000, instances=100, overlapping=True),
        score_row(vertices=1_000_000, instances=500, overlapping=False),
        project_row(vertices=300_000, frames=100),
    ]
    if args.json:
        print(json.dumps({"rows": rows}))
        return
    print(f"{'what':44} {'seconds':>8} {'CPU s':>8}")
    for row in rows:
        print(f"{row['what']:44} {row['seconds']:8.3f} {row['cpu_seconds']:8.3f}")


def score_row(vertices: int, instances: int, overlapping: bool) -> dict[str, str | float]:
    """Both score rules at all thresholds, counting included."""
    rng = np.random.default_rng(0)
    truth = np.sort(rng.integers(0, instances + 1, vertices))
    prediction = np.where(rng.random(vertices) < 0.8, truth, np.roll(truth, vertices // 50))
    if overlapping:
        masks = prediction[:, None] == np.arange(1, instances + 1)
        prediction = masks | (rng.random(masks.shape) < 0.01)
    scores = rng.random(instances)

    def score() -> None:
        table = count_overlaps(truth, prediction, scores)
        for rule in ("constant", "ranked"):
            average_precision([table], "nine", rule)

    kind = "overlapping masks" if overlapping else "label map"
    return timed(f"AP, {vertices:,} points, {instances} instances, {kind}", score)


def project_row(vertices: int, frames: int) -> dict[str, str | float]:
    """Protocol A in a box-shaped room, reading of files aside."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-3, 3, (vertices, 3)).astype(np.float32)
    wall = rng.integers(0, 3, vertices)
    points[np.arange(vertices), wall] = np.sign(points[np.arange(vertices), wall]) * 3
    K = np.array([[577.0, 0, 320], [0, 577, 240], [0, 0, 1]])
    u, v = np.meshgrid(np.arange(640) + 0.5, np.arange(480) + 0.5)
    rays = np.stack([(u - 320) / 577, (v - 240) / 577, np.ones_like(u)], -1)
    labels = (np.arange(480)[:, None] // 48 * 10 + np.arange(640) // 64 + 1).astype(np.uint16)
    views = []
    for i in range(frames):
        T, angle = np.eye(4), 2 * np.pi * i / frames
        T[:3, :3] = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0],
                              [-np.sin(angle), 0, np.cos(angle)]])  # fmt: skip
        depth = 3 / np.abs(rays @ T[:3, :3].T).max(-1)
        views.append(View(i, depth.astype(np.float32), K, T, (1.0, 1.0, 0.0, 0.0)))

    def project() -> None:
        unproject_instances(points, views, lambda i: labels, (480, 640))

    return timed(f"Protocol A, {vertices:,} vertices, {frames} frames", project)


def timed(what: str, call: Callable[[], None]) -> dict[str, str | float]:
    """The best of three."""
    wall, cpu = [], []
    for _ in range(3):
        start = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - start[0])
        cpu.append(time.process_time() - start[1])
    return {"what": what, "seconds": round(min(wall), 4), "cpu_seconds": round(min(cpu), 4)}


if __name__ == "__main__":
    main()
