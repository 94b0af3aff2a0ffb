"""Frames per second of the room ray caster: one frame after another, and whole batches.

    python experiments/speed/rooms.py [--json] [--batch 256] [--runs 20]

Rooms, paths and the first, compiling call are not timed.
"""

import argparse
import json
import time
from functools import partial

import jax
import numpy as np

from moonseg_jax.rooms import camera_path, default_intrinsics, render, sample_room

FRAME, BATCH = (384, 512), (96, 128)


def timed(call, runs):
    """Median and 95th percentile of the wall time of a call, seconds."""
    jax.block_until_ready(call(0))
    times = []
    for run in range(runs):
        start = time.perf_counter()
        jax.block_until_ready(call(run))
        times.append(time.perf_counter() - start)
    return float(np.median(times)), float(np.quantile(times, 0.95))


def row(name, size, frames, times):
    median, p95 = times
    return {
        "what": name,
        "size": f"{size[1]}x{size[0]}",
        "frames_per_call": frames,
        "median_ms": 1e3 * median,
        "p95_ms": 1e3 * p95,
        "frames_per_s": frames / median,
    }


def one_by_one(rooms, runs):
    """A frame a call at full size, from all the rooms in turn: what writes folders."""
    intrinsics = default_intrinsics(FRAME).astype(np.float32)
    one = jax.jit(partial(render, size=FRAME))
    views = [(room, camera_path(room, i, 16)[i % 16]) for i, room in enumerate(rooms)]
    key = jax.random.key(0)

    def call(run):
        room, pose = views[run % len(views)]
        return one(room, pose, intrinsics, key=key)

    return row("one frame", FRAME, 1, timed(call, runs))


def batched(rooms, frames, runs):
    """Many small frames a call, each of its own camera, rooms mixed: what feeds training."""
    intrinsics = default_intrinsics(BATCH).astype(np.float32)
    per_room = frames // len(rooms)
    poses = np.stack([camera_path(room, i, per_room) for i, room in enumerate(rooms)])
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *rooms)
    stacked, poses = jax.device_put((stacked, poses))
    keys = jax.random.split(jax.random.key(0), (len(rooms), per_room))
    cameras = jax.vmap(
        lambda room, pose, key: render(room, pose, intrinsics, BATCH, key), (None, 0, 0)
    )
    many = jax.jit(jax.vmap(cameras))
    return row(
        "batch", BATCH, len(rooms) * per_room, timed(lambda _: many(stacked, poses, keys), runs)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object and no table")
    parser.add_argument("--batch", type=int, default=256, help="small frames a call")
    parser.add_argument("--runs", type=int, default=20)
    arguments = parser.parse_args()
    rooms = [sample_room(seed) for seed in range(8)]
    rows = [one_by_one(rooms, arguments.runs), batched(rooms, arguments.batch, arguments.runs)]
    device = jax.devices()[0]
    if arguments.json:
        print(json.dumps({"device": f"{device.platform}: {device.device_kind}", "rows": rows}))
        return
    print(f"device: {device.platform}: {device.device_kind}")
    print(f"{'what':<12}{'size':>9}{'frames':>8}{'median ms':>11}{'p95 ms':>9}{'frames/s':>10}")
    for r in rows:
        print(
            f"{r['what']:<12}{r['size']:>9}{r['frames_per_call']:>8}{r['median_ms']:>11.2f}"
            f"{r['p95_ms']:>9.2f}{r['frames_per_s']:>10.1f}"
        )


if __name__ == "__main__":
    main()
