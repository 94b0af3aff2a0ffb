"""Whether the fusion step stays as fast as it began: thousands of frames of a path through rooms.

    python -m experiments.speed.flat [--frames 3000] [--sizes paper] [--out FILE]
    python -m experiments.speed.flat --sizes tiny --frames 120 --turn 20         # any CPU, to try

The camera turns once in every room and goes on to the next, which it has never seen: surface, keys
and instances grow to the end, through `OnlineLoop`, with all its growing and compiling. Features
and pointmaps lie on the device, masks on the host. ``--loop ROOMS`` returns to the first room after
so many.
Compilations are counted as JAX reports them. On a GPU set ``XLA_PYTHON_CLIENT_PREALLOCATE=false``.
"""

import dataclasses
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw

from experiments.speed.measuring import (
    Row,
    device_memory,
    finish,
    nbytes,
    new_parser,
    print_table,
    summary,
)
from experiments.speed.scene import SIZES, Scene
from moonseg_jax.online import OnlineLoop
from moonseg_jax.structs import Frame

COLUMNS = {
    "frames": "{}",
    "ms": "{:.3f}",
    "p95": "{:.3f}",
    "p99": "{:.3f}",
    "longest_ms": "{:.1f}",
    "compiled": "{}",
    "keys": "{}",
    "rows": "{}",
    "state_mb": "{:.1f}",
    "in_use_mb": "{:.0f}",
}
ROOM_APART = 7.0


def main() -> None:
    parser = new_parser(__doc__, seconds=500)
    parser.add_argument("--sizes", choices=SIZES, default="paper")
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--turn", type=int, default=200, help="frames in a room")
    parser.add_argument("--tile", type=float, default=2.0, help="side of an instance in metres")
    parser.add_argument("--loop", type=int, default=0, metavar="ROOMS")
    parser.add_argument("--plot", type=Path, help="PNG of keys, rows, bytes and times")
    args = parser.parse_args()

    scene = Scene(args.sizes, tile=args.tile, frames_per_turn=args.turn)
    base = [scene.room.frame(index) for index in range(args.turn)]
    device = [jax.tree.map(jnp.asarray, _lean(frame)) for frame in base]
    loop = OnlineLoop(scene.graphdef, scene.params, scene.room.info, scene.config)
    compilations = Compilations()
    history: list[Row] = []
    end = time.perf_counter() + args.seconds
    for index in range(args.frames):
        if time.perf_counter() > end:
            break
        turn, at = divmod(index, args.turn)
        room = turn % args.loop if args.loop else turn
        frame = jax.block_until_ready(in_room(device[at], room))
        frame = _with_host_masks(frame, base[at])
        history.append(one_frame(loop, frame, compilations))
    rows = tenths(history)
    print_table(rows, COLUMNS)
    report = verdict(history) | {"sizes": args.sizes, "tenths": rows, "loop": args.loop}
    for name, value in verdict(history).items():
        print(f"{name}: {value:.4g}")
    if args.plot:
        plot(args.plot, {k: [h[k] for h in history] for k in ("keys", "rows", "state_mb", "ms")})
    finish(report, args.out)


def one_frame(loop: OnlineLoop, frame: Frame, compilations: "Compilations") -> Row:
    """A frame's time, waiting for its result, and what the state is after it."""
    before, start = compilations.count, time.perf_counter()
    result = jax.block_until_ready(loop.step(frame))
    spent = 1e3 * (time.perf_counter() - start)
    return {
        "ms": spent,
        "compiled": compilations.count - before,
        "keys": int(result.num_keys),
        "rows": int(result.num_rows),
        "state_mb": nbytes(loop.state) / 1e6,
        **device_memory(),
    }


@jax.jit
def in_room(frame: Frame, room: jax.Array) -> Frame:
    """The frame as it would be in another room: elsewhere, and full of other things."""
    offset = jnp.array([ROOM_APART, 0, 0]) * room
    pose = frame.T_world_from_cam.at[:3, 3].add(offset)
    rolled: dict[str, Any] = {
        name: jnp.roll(getattr(frame, name), room, axis)
        for name, axis in (("features_3d", -1), ("features_2d", -1), ("state_attention", 0))
        if getattr(frame, name) is not None
    }
    points = frame.points + offset[None, None]
    return dataclasses.replace(frame, points=points, T_world_from_cam=pose, **rolled)


def _lean(frame: Frame) -> Frame:
    return dataclasses.replace(frame, timestamp=np.float32(0), colors=np.zeros(1, np.uint8))


def _with_host_masks(frame: Frame, host: Frame) -> Frame:
    names = ("masks", "mask_valid", "mask_scores")
    return dataclasses.replace(frame, **{name: getattr(host, name) for name in names})


class Compilations:
    """Counts what XLA compiles."""

    def __init__(self) -> None:
        self.count = 0
        jax.monitoring.register_event_duration_secs_listener(self._heard)

    def _heard(self, event: str, seconds: float, **_: Any) -> None:
        self.count += event.endswith("backend_compile_duration")


def tenths(history: list[Row]) -> list[Row]:
    """The path in ten parts."""
    rows = []
    for part in np.array_split(np.arange(len(history)), 10):
        frames = [history[i] for i in part]
        last = {name: frames[-1].get(name) for name in ("keys", "rows", "state_mb", "in_use_mb")}
        times = [frame["ms"] for frame in frames]
        row = {"frames": f"{part[0]}-{part[-1]}"} | summary(times) | last
        row["longest_ms"] = max(times)
        row["compiled"] = sum(frame["compiled"] for frame in frames)
        rows.append(row)
    return rows


def verdict(history: list[Row]) -> Row:
    """The figures that are asked for; the first 20 frames warm up, the rest counts whole."""
    times = np.array([frame["ms"] for frame in history])[20:]
    tenth = max(1, len(times) // 10)
    compiling = [frame for frame in history if frame["compiled"]]
    return {
        "median_ms": float(np.median(times)),
        "last_over_first_tenth": float(np.median(times[-tenth:]) / np.median(times[:tenth])),
        "p99_over_median": float(np.percentile(times, 99) / np.median(times)),
        "frames_that_compiled": len(compiling),
        "seconds_compiling": sum(frame["ms"] for frame in compiling) / 1e3,
        "frames": len(history),
    }


def plot(path: Path, curves: dict[str, list[float]]) -> None:
    """One panel a curve, from zero to its greatest value."""
    width, height, margin = 900, 170, 24
    image = Image.new("RGB", (width, height * len(curves)), "white")
    draw = ImageDraw.Draw(image)
    for panel, (name, values) in enumerate(curves.items()):
        bottom = (panel + 1) * height - margin
        top = max(np.percentile(values, 99.5) if name == "ms" else max(values), 1e-9)
        scale_x = (width - 2 * margin) / max(1, len(values) - 1)
        scale_y = (height - 2 * margin) / top
        line = [
            (margin + i * scale_x, bottom - min(v, top) * scale_y) for i, v in enumerate(values)
        ]
        draw.line([(margin, bottom), (width - margin, bottom)], fill="gray")
        draw.line(line, fill="black", width=2)
        text = f"{name}: {values[-1]:,.4g} after {len(values)} frames"
        draw.text((margin, bottom - height + margin + 4), text, fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


if __name__ == "__main__":
    main()
