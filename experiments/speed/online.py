"""Speed and memory of the online fusion.

    python -m experiments.speed.online --sizes classical      # ms a frame, in all and by stage
    python -m experiments.speed.online --sizes paper
    python -m experiments.speed.online --loop 2000 --out out  # size of the state over time

A frame of 60 masks in a scene of 500 instances and 300,000 keys, on a 24×32 patch grid:
masks and boxes are real geometry (a tiled room), what fills the memory is random.
Medians over ``--repeats`` frames after a warm-up; every time includes the wait for the result.
One JSON object on stdout.
"""

import argparse
import dataclasses
import functools
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from PIL import Image, ImageDraw

from moonseg_jax.config import default_config, features_only_config
from moonseg_jax.geometry import pool_points
from moonseg_jax.memory.table import insert_keys
from moonseg_jax.models import Core, FeatureCore, attended_patches, mask_coverage, split_core
from moonseg_jax.online import OnlineState, Segmenter, grow
from moonseg_jax.online.match import match
from moonseg_jax.online.merge import (
    group_members,
    merge_groups,
    merge_observations,
    union_coverage,
)
from moonseg_jax.online.observe import mask_boxes, state_tokens
from moonseg_jax.online.paint import paint
from moonseg_jax.online.pipeline import observe, retrieve
from moonseg_jax.online.similarity import match_scores, view_iou
from moonseg_jax.online.update import add_keys, allocate_rows, update_bank
from moonseg_jax.structs import Frame, unpack_masks
from tests.reference.box_room import BoxRoom
from tests.reference.online import Online, TorchCore
from tests.reference.parity import torch_params

SIZES = {
    "classical": {"c3": 48, "c2": 64, "state_tokens": 0, "width": 128},
    "paper": {"c3": 768, "c2": 1024, "state_tokens": 768, "width": 256},
}
MASKS, INSTANCES, KEYS = 60, 500, 300_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", choices=SIZES, default="classical")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--loop", type=int, default=0, metavar="FRAMES")
    parser.add_argument("--twin", type=int, default=0, metavar="KEYS", help="time the twin too")
    parser.add_argument("--out", type=Path, help="folder for the plot of --loop")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    if args.loop:
        report = measure_loop(args.loop, args.out)
    else:
        report = measure_step(args.sizes, args.repeats, args.twin)
    report["device"] = device_name()
    print(json.dumps(report, indent=1))


def measure_step(sizes: str, repeats: int, twin_keys: int) -> dict[str, Any]:
    room, config, core = scene(**SIZES[sizes])
    segmenter = Segmenter(*core, room.info, config)
    frames = [room.frame(i % 4) for i in range(repeats)]
    for frame in frames[:4]:
        segmenter.step(frame)
    segmenter.state = filled(segmenter.state, config)
    segmenter._most_rows = segmenter._most_keys = 1 << 62  # Makes the driver look again.
    jax.block_until_ready(segmenter.step(frames[0]))
    report: dict[str, Any] = {
        "sizes": sizes,
        "masks": int(frames[0].mask_valid.sum()),
        "rows": int(segmenter.state.num_rows),
        "row_capacity": segmenter.state.bank.capacity,
        "keys": int(segmenter.state.keys.count),
        "key_capacity": segmenter.state.keys.capacity,
    }
    times = [timed(segmenter.step, frame) for frame in frames]
    report["step_ms"] = summary(times)
    report["stage_ms"] = measure_stages(
        nnx.merge(*core), segmenter.state, frames[0], config, room, repeats
    )
    if twin_keys:
        report["twin"] = measure_twin(core, room, config, segmenter, frames[:3], twin_keys)
    return report


def measure_stages(
    core: Core, state: OnlineState, frame: Frame, config: Any, room: BoxRoom, repeats: int
) -> dict[str, dict[str, float]]:
    """Every stage compiled by itself; together they take longer than the whole step."""
    frame = jax.tree.map(jnp.asarray, frame)
    grid, online = room.info.grid, config.online
    results: dict[str, dict[str, float]] = {}

    def run(name: str, function: Callable, *inputs: Any) -> Any:
        compiled = jax.jit(function)
        output = jax.block_until_ready(compiled(*inputs))
        results[name] = summary([timed(compiled, *inputs) for _ in range(repeats)])
        return output

    masks = run("unpack", unpack_masks, frame.masks)
    coverage = run("coverage", lambda m: mask_coverage(m, grid), masks)
    points, valid = run(
        "pool points", lambda p, c: pool_points(p, c, grid), frame.points, frame.confidence
    )
    index_map = run(
        "retrieve",
        lambda s, f, p, v: retrieve(s, f, p, v, config, room.image_size),
        state, frame, points, valid,
    )  # fmt: skip
    visible = jnp.any(index_map, axis=0)
    tokens = run("core: tokens", core.tokens, frame.features_3d, frame.features_2d)
    prototypes = run("core: prototypes", core.prototypes, tokens, coverage)
    run(
        "core: refine",
        lambda *x: core.refine(*x, grid),
        prototypes, tokens, coverage, frame.mask_valid, state.bank.queries, visible,
    )  # fmt: skip
    run(
        "boxes",
        lambda *x: mask_boxes(*x, online.box_sigma),
        masks, frame.points, frame.confidence,
    )  # fmt: skip
    if frame.state_attention is not None:
        run("state tokens", state_tokens, frame.state_attention.astype(jnp.float32), coverage)
    observed = jax.jit(lambda *x: observe(core, *x, config))(state, frame, masks, coverage, visible)
    group = run(
        "merge",
        lambda x, v: merge_groups(x, v, online.merge_threshold, online.merge_rule),
        observed.queries, observed.valid,
    )  # fmt: skip
    merged = run("merge: mean and union", merge_observations, observed, group)
    terms = ("query", "state", "box") if room.state_tokens else ("query", "view")
    overlap = run("overlap in view", view_iou, attended_patches(coverage, 0.5), index_map)
    score = run(
        "scores E",
        lambda *x: match_scores(x[0], x[1], terms, online.box_margin, x[2]),
        merged, state.bank, overlap,
    )  # fmt: skip
    feasible = (score >= 0.6 * len(terms)) & merged.valid[:, None]
    matched = run("match", lambda s, f: match(s, f, len(terms)), score, feasible)
    rows, _ = allocate_rows(matched, merged.valid, state.num_rows)
    united = run(
        "union coverage",
        lambda p, g, v: union_coverage(p, group_members(g, v), grid),
        frame.masks, group, observed.valid,
    )  # fmt: skip
    attended = attended_patches(united, 0.5) & valid.reshape(1, -1)
    run("update bank", update_bank, state.bank, merged, rows, state.frame)
    run(
        "add keys (with a copy of the table, which the step does not make)",
        lambda *x: add_keys(*x, config.memory.voxel),
        state.keys, points.reshape(-1, 3), attended, rows,
    )  # fmt: skip
    run("paint", paint, masks, rows, frame.mask_scores)
    return results


def measure_twin(
    core: Any, room: BoxRoom, config: Any, segmenter: Segmenter, frames: list[Frame], keys: int
) -> dict[str, float]:
    """The plain Python twin on an equally full bank, with fewer keys for the sake of time."""
    twin = Online(
        core=TorchCore(torch_params(core[1]), config.model, config.model.width),
        config=config,
        image_size=room.image_size,
        state_tokens=room.state_tokens,
    )
    for frame in frames[:1]:
        twin.step(frame)
    bank = jax.tree.map(np.asarray, segmenter.state.bank)
    for i in range(len(twin.rows), INSTANCES):
        copy = type(twin.rows[0])(
            bank.queries[i], bank.tokens[i], bank.boxes[i], int(bank.observations[i]), 0.0, 0, 0
        )
        twin.rows.append(copy)
    points = np.asarray(segmenter.state.keys.points)[:keys]
    rows = np.asarray(segmenter.state.keys.rows)[:keys]
    twin.keys.update({((i,), int(r)): p for i, (p, r) in enumerate(zip(points, rows, strict=True))})
    times = [timed(twin.step, frame) for frame in frames[1:]]
    return {"keys": keys, "median_ms": float(np.median(times))}


def measure_loop(frames: int, out: Path | None) -> dict[str, Any]:
    """The state while the camera turns round and round in one room."""
    # Larger tiles: never more than 60 in view, so that every turn has the same masks.
    room = dataclasses.replace(scene(**SIZES["classical"])[0], tile=0.8)
    config = features_only_config()
    core = FeatureCore(config.model, room.c3, room.c2)
    segmenter = Segmenter(*split_core(core), room.info, config)
    history = []
    for index in range(frames):
        result = segmenter.step(room.frame(index))
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(segmenter.state))
        history.append((int(result.num_keys), int(result.num_rows), size))
    keys, rows, size = (list(column) for column in zip(*history, strict=True))
    turn = room.frames_per_turn
    report = {
        "frames": frames,
        "frames_per_turn": turn,
        "at_turn": [
            {"frame": i, "keys": keys[i], "rows": rows[i], "bytes": size[i]}
            for i in range(turn - 1, frames, max(turn, frames // 20 // turn * turn))
        ],
    }
    if out:
        out.mkdir(parents=True, exist_ok=True)
        plot(out / "online_state.png", {"keys": keys, "rows": rows, "bytes": size})
        (out / "online_state.json").write_text(json.dumps(report, indent=1))
    return report


def scene(c3: int, c2: int, state_tokens: int, width: int) -> tuple[BoxRoom, Any, Any]:
    room = BoxRoom(
        image_size=(384, 512),
        tile=0.5,
        c3=c3,
        c2=c2,
        state_tokens=state_tokens,
        frames_per_turn=200,
        max_masks=MASKS,
    )
    config = default_config()
    config.model.width = width
    # An untrained core finds everything alike; a trained one merges a few masks a frame.
    config.online.merge_threshold = 0.9999
    return room, config, split_core(Core(config.model, c3, c2, rngs=nnx.Rngs(0)))


def filled(state: OnlineState, config: Any) -> OnlineState:
    """The state topped up to 500 instances and 300,000 keys in the same room."""
    rng = np.random.default_rng(0)
    state = jax.tree.map(np.array, grow(state, 1024, 1 << 19, config.memory.voxel))
    first, bank = int(state.num_rows), state.bank
    count = INSTANCES - first
    bank.queries[first:INSTANCES] = rng.normal(size=(count, bank.queries.shape[1]))
    bank.tokens[first:INSTANCES] = rng.random((count, bank.tokens.shape[1]))
    low = rng.uniform(0, 5, (count, 3))
    bank.boxes[first:INSTANCES] = np.stack([low, low + rng.uniform(0.2, 1, (count, 3))], 1)
    bank.observations[first:INSTANCES] = 3
    state = jax.tree.map(jnp.asarray, state.replace(num_rows=np.int32(INSTANCES)))
    insert = jax.jit(functools.partial(insert_keys, voxel=config.memory.voxel))
    keys = state.keys
    while int(keys.count) < KEYS:
        points = rng.uniform([0, 0, 0], [6, 5, 2.6], (1 << 14, 3)).astype(np.float32)
        keys = insert(keys, points, rng.integers(0, INSTANCES, 1 << 14).astype(np.int32))
    return state.replace(keys=keys)


def timed(function: Callable, *inputs: Any) -> float:
    start = time.perf_counter()
    jax.block_until_ready(function(*inputs))
    return 1e3 * (time.perf_counter() - start)


def summary(times: list[float]) -> dict[str, float]:
    median, p95 = np.percentile(times, [50, 95])
    return {"median": round(float(median), 2), "p95": round(float(p95), 2)}


def device_name() -> str:
    device = jax.devices()[0]
    if device.platform != "cpu":
        return device.device_kind
    models = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x]
    return f"{len(models)} cores, {models[0].split(': ')[1]}" if models else "cpu"


def plot(path: Path, curves: dict[str, list[int]]) -> None:
    """One panel a curve, from zero to its greatest value."""
    width, height, margin = 900, 170, 24
    image = Image.new("RGB", (width, height * len(curves)), "white")
    draw = ImageDraw.Draw(image)
    for panel, (name, values) in enumerate(curves.items()):
        top, bottom = panel * height + margin, (panel + 1) * height - margin
        scale = (bottom - top) / max(values)
        step_x = (width - 2 * margin) / max(len(values) - 1, 1)
        line = [(margin + i * step_x, bottom - v * scale) for i, v in enumerate(values)]
        draw.line([(margin, bottom), (width - margin, bottom)], "gray")
        draw.line(line, (31, 119, 180), 2)
        draw.text(
            (margin, top - 16), f"{name}: {values[-1]:,} after {len(values):,} frames", "black"
        )
    image.save(path)


if __name__ == "__main__":
    main()
