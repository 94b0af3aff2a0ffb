"""The whole live pipeline on one device: CUT3R, DINOv3 ViT-L, FastSAM and the fusion.

    python -m experiments.speed.live [--frames 300] [--seconds 240] [--out FILE]
    python -m experiments.speed.live --tiny --frames 12 --instances 80 --keys 3000    # any CPU

Full-size models with random weights, 640x480 JPEG files decoded on the way, about 60 masks a frame,
a memory of 500 instances and 300,000 keys. The backbones' stages are timed by the GPU's own clock,
what the host does by its own. Runs: the backbones a frame ahead of the fusion, in a thread of their
own, as in `moonseg segment --source`; two frames ahead; and one after the other.

What untrained backbones tell is thrown away once it is there: the fusion is given the frames of
`experiments.speed.scene`'s room, in the same kind of memory, with the default thresholds. A few
rivals a mask are then feasible, as after training. ``--own`` keeps what they tell, and lets
everything match: masks that all look alike want all the same rows, the assignment's worst case.
How many masks matched and how many were new is told, and rows and keys at the end.
On a GPU set ``XLA_PYTHON_CLIENT_PREALLOCATE=false``: two frameworks share its memory.
"""

import argparse
import dataclasses
import itertools
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
from flax import nnx
from ml_collections import ConfigDict

from bridges.backbones.cut3r import plan_image
from bridges.bridge import Bridge, BridgeConfig
from bridges.sources import open_source
from experiments.bridges.caching_speed import (
    RandomBackbones,
    let_through,
    make_models,
    write_recordings,
)
from experiments.speed.measuring import Row, device_memory, finish, new_parser, print_table, summary
from experiments.speed.scene import INSTANCES, KEYS, filled
from moonseg_cli.live import LiveRecording
from moonseg_cli.runtime import enable_compilation_cache
from moonseg_jax.config import default_config
from moonseg_jax.models import Core, split_core
from moonseg_jax.online import OnlineLoop, SceneResult, grow
from moonseg_jax.structs import Frame, SceneInfo
from tests.reference.box_room import BoxRoom

WARM_UP = 12
VIEWS = 48  # Of the room, again and again.
COLUMNS = {"what": "{}", "ms": "{:.2f}", "p95": "{:.2f}", "p99": "{:.2f}", "frames_per_s": "{:.1f}"}
FUSED = {"masks": "{:.1f}", "matched": "{:.1f}", "new": "{:.2f}", "rows": "{}", "keys": "{}"}
STAGES = {"stage": "{}", "clock": "{}", "ms": "{:.2f}"}


def main() -> None:
    parser = new_parser(__doc__, seconds=240)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--masks", type=int, default=60)
    parser.add_argument("--instances", type=int, default=INSTANCES)
    parser.add_argument("--keys", type=int, default=KEYS)
    parser.add_argument("--tiny", action="store_true", help="tiny models and images")
    parser.add_argument("--own", action="store_true", help="fuse what the backbones tell")
    parser.add_argument("--ahead", type=int, nargs="+", default=[1, 2, 0], help="runs")
    parser.add_argument("--no-compile", action="store_true", help="CUT3R's blocks in eager mode")
    args = parser.parse_args()
    end = time.perf_counter() + args.seconds
    enable_compilation_cache()  # Every run makes a loop of its own.
    with tempfile.TemporaryDirectory() as folder:
        size = (96, 128) if args.tiny else (480, 640)
        write_recordings(Path(folder), 1, args.frames + WARM_UP, size)
        backbones = make_backbones(args, size)
        runs = []
        for ahead in args.ahead:
            if time.perf_counter() < end:
                runs.append(run(args, Path(folder, "scene00"), backbones, ahead, end))
                print_table(runs[-1:], COLUMNS)
                print_table(runs[-1]["stages"], STAGES)
                print_table([runs[-1]["fused"]], FUSED)
    report = {"masks": args.masks, "torch": torch.__version__, "runs": runs}
    finish(report | {"memory": device_memory()}, args.out)


def make_backbones(args: argparse.Namespace, size: tuple[int, int]) -> RandomBackbones:
    """All models, random, on the device."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    compiled = device == "cuda" and not args.no_compile
    cut3r, dinov3, fastsam = make_models(device, args.tiny, compiled)
    backbones = RandomBackbones(cut3r, dinov3, let_through(fastsam, args.masks))
    models = {"rfm": "cut3r", "semantic": "dinov3", "masks": "fastsam"}
    backbones.config = BridgeConfig(**models, state_attention=True)
    print(f"images {plan_image(size, cut3r.config).image_size} on {device}")
    return backbones


def make_config(own: bool) -> ConfigDict:
    """Hardly anything merges; of untrained backbones everything matches."""
    config = default_config()
    config.online.merge_threshold = 0.9999
    if own:
        config.online.match_threshold = -9.0
    return config


class InRoom(Bridge):
    """A bridge whose backbones run, and whose frames are a room's."""

    def show(self, views: list[Frame]) -> None:
        """Sets what is given out, again and again."""
        self._views = views

    def frames(self) -> Iterator[tuple[str, Frame]]:
        """As a bridge's: what was on the GPU is there, in memory of its own."""
        for (name, told), view in zip(super().frames(), itertools.cycle(self._views), strict=False):
            values = {f.name: getattr(view, f.name) for f in dataclasses.fields(view)}
            values |= {name: value.clone() for name, value in _tensors(values).items()}
            yield name, Frame(**values | {"timestamp": told.timestamp, "colors": told.colors})


def _tensors(values: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}


def views_of_room(info: SceneInfo, masks: int) -> list[Frame]:
    """Where the backbones' own would be: masks on the host, the rest on the GPU if there is one."""
    room = BoxRoom(
        tile=0.5,
        image_size=info.image_size,
        c3=info.geometry.channels,
        c2=info.semantics.channels,
        state_tokens=info.state_tokens,
        frames_per_turn=200,
        max_masks=masks,
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    half = ["features_3d", "features_2d", "state_attention"]
    names = (*half, "points", "confidence", "T_world_from_cam", "intrinsics")
    views = []
    for index in range(VIEWS):
        view = room.frame(index)
        tensors = {n: torch.tensor(getattr(view, n), device=device) for n in names}
        tensors |= {n: tensors[n].to(torch.float16) for n in half}
        views.append(dataclasses.replace(view, **tensors))
    return views


def make_loop(args: argparse.Namespace, info: SceneInfo, config: ConfigDict) -> OnlineLoop:
    """The fusion with an untrained core and a full memory."""
    core = Core(config.model, info.geometry.channels, info.semantics.channels, rngs=nnx.Rngs(0))
    loop = OnlineLoop(*split_core(core), info, config)
    rows = 1 << (args.instances + 64).bit_length()
    keys = 1 << (args.keys + args.frames * 1024).bit_length()
    state = grow(loop.state, rows, keys, config.memory.voxel)
    loop.state = filled(state, config, args.instances, args.keys)
    return loop


def run(
    args: argparse.Namespace, folder: Path, backbones: RandomBackbones, ahead: int, end: float
) -> Row:
    """One pass over the recording; frames per second after the warm-up, and where time goes."""
    source = open_source(str(folder), 1, 0)
    if args.own:
        bridge = Bridge(source, backbones)
    else:
        bridge = InRoom(source, backbones)
        bridge.show(views_of_room(bridge.info, args.masks))
    config = make_config(args.own)
    recording, loop = LiveRecording(bridge, ahead), make_loop(args, bridge.info, config)
    result, told = SceneResult(config), deque[tuple[int, int, int]]()
    host = dict.fromkeys(("next frame", "fusion, called", "fusion, waited for", "votes"), 0.0)
    laps: list[float] = []
    before: dict[str, float] = {}
    for index, (frame, waited) in enumerate(waiting(recording.frames())):
        if index == WARM_UP:
            before, host = dict(bridge.seconds), dict.fromkeys(host, 0.0)
            laps = [time.perf_counter()]
        start = time.perf_counter()
        said = loop.step(frame)
        called = time.perf_counter()
        jax.block_until_ready(said)
        done = time.perf_counter()
        result.add(frame, said)
        laps.append(time.perf_counter())
        for name, spent in zip(
            host, (waited, called - start, done - called, laps[-1] - done), strict=True
        ):
            host[name] += spent
        if index >= WARM_UP:
            valid, new = np.asarray(said.instance) >= 0, np.asarray(said.is_new)
            told.append((valid.sum(), (valid & ~new).sum(), new.sum()))
        if index > WARM_UP and laps[-1] > end:
            break
    times = 1e3 * np.diff(laps)
    count = len(times)
    stages = [
        {"stage": name, "clock": "backbones'", "ms": 1e3 * (spent - before[name]) / count}
        for name, spent in bridge.seconds.items()
    ]
    stages += [
        {"stage": name, "clock": "fusion's thread", "ms": 1e3 * spent / count}
        for name, spent in host.items()
    ]
    fused = dict(zip(("masks", "matched", "new"), np.mean(told, 0).tolist(), strict=True))
    fused |= {"rows": int(loop.state.num_rows), "keys": int(loop.state.keys.count)}
    name = f"{ahead} frames ahead" if ahead else "one after the other"
    row = {"what": name} | summary(list(times)) | {"frames_per_s": 1e3 * count / times.sum()}
    return row | {"stages": stages, "fused": fused}


def waiting(frames: Iterator[Frame]) -> Iterator[tuple[Frame, float]]:
    """Each frame with how long it was waited for."""
    while True:
        start = time.perf_counter()
        frame = next(frames, None)
        if frame is None:
            return
        yield frame, time.perf_counter() - start


if __name__ == "__main__":
    main()
