"""How fast recordings are cached on one GPU: scenes in lockstep, by how many at once.

    python -m experiments.bridges.caching_speed [--json FILE]
    python -m experiments.bridges.caching_speed --tiny --frames 6 --scenes 4      # any CPU

Full-size models with random weights made on the spot; 640x480 images of moving noise, written as
JPEG files to a temporary folder (``TMPDIR`` says where), decoded like any recording; caches are
written there whole, and removed.
Each configuration runs twice over: a few frames of every scene to compile and capture, then what
is timed, both with the same models. Of each stage the milliseconds a frame are told: on a GPU by
its own clock, in equal shares of a batch; ``wait`` and ``image`` are those of the scenes' threads.
A configuration that fails is reported with its error, one that would start after ``--seconds`` is
left out, and the rest goes on.
"""

import argparse
import json
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bridges.backbones.cut3r import TINY_DPT, VARIANTS, Cut3r, compile_blocks, plan_image
from bridges.backbones.dinov3 import DinoV3
from bridges.backbones.fastsam import FastSam
from bridges.backbones.interfaces import Masks
from bridges.bridge import BridgeConfig
from bridges.loading import Backbones
from bridges.lockstep import Lockstep
from moonseg_cli.caching.events import Done, Failed
from moonseg_cli.caching.jobs import Job
from moonseg_cli.caching.runners import Pool
from moonseg_cli.caching.threads import ThreadWorkers
from moonseg_cli.caching.work import Worker, cache_scene

# Frames in a batch, scenes at once, and what sees the images beside CUT3R: what is worth most to
# know comes first.
RUNS = (
    (8, 8, ""),
    (8, 8, "dinov3+fastsam"),
    (8, 8, "dinov3"),
    (1, 1, ""),
    (8, 1, ""),
    (16, 16, ""),
    (16, 16, "dinov3+fastsam"),
    (1, 1, "dinov3+fastsam"),
    (8, 1, "dinov3+fastsam"),
    (4, 4, ""),
    (4, 4, "dinov3+fastsam"),
)
WARM_UP = 2  # Frames of each scene.


class Nothing:
    """Semantics, or masks, that take no time."""

    name = "none"
    threaded = True
    channels = 1
    weights_sha256 = ""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.config: dict[str, Any] = {}

    def __call__(self, *_: Any) -> Any:
        """The same for every frame."""
        return self.answer


class RandomBackbones(Backbones):
    """As `load_backbones` gives them, from models that are in memory already."""

    def __init__(self, cut3r: Cut3r, dinov3: Any, fastsam: Any) -> None:
        super().__init__(BridgeConfig())
        self._cut3r = cut3r
        self.semantics = dinov3
        self._mask_model = fastsam


class LoadedWorker(Worker):
    """A worker whose backbones need not be loaded."""

    def __init__(self, backbones: Backbones, frames: int, scenes: int) -> None:
        super().__init__(backbones.config, frames, scenes)
        self._models = Lockstep(backbones, frames, scenes) if frames > 1 else backbones


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=96, help="of each scene")
    parser.add_argument("--scenes", type=int, default=16, help="recordings on disk")
    parser.add_argument("--at-once", type=int, nargs="+", help="of 1 4 8 16; default: all")
    parser.add_argument("--seconds", type=float, default=190, help="start nothing after that")
    parser.add_argument("--tiny", action="store_true", help="tiny models and images")
    parser.add_argument("--eager", action="store_true", help="do not compile CUT3R's blocks")
    parser.add_argument("--json", type=Path, help="file for everything as one JSON object")
    args = parser.parse_args()
    deadline = time.perf_counter() + args.seconds
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_recordings(root, args.scenes, args.frames, (96, 128) if args.tiny else (480, 640))
        models = make_models(device, args.tiny, compiled=device == "cuda" and not args.eager)
        rows = []
        for frames, scenes, beside in RUNS:
            if args.at_once and frames not in args.at_once:
                continue
            names = "+".join(filter(None, ("cut3r", beside)))
            row: dict[str, Any] = {"models": names, "frames": frames, "scenes": scenes}
            row |= attempt(models, root, frames, scenes, beside, args, deadline)
            rows.append(row)
            print(line(row), flush=True)
    report = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "CPU",
        "torch": torch.__version__,
        "frames_a_scene": args.frames,
        "rows": rows,
    }
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))
    print(f"{report['device']}, torch {report['torch']}")


def write_recordings(root: Path, scenes: int, frames: int, size: tuple[int, int]) -> None:
    """Folders of JPEG images ``scene00`` ..., all of the same blocks of colour, which move."""
    blocks = np.random.default_rng(0).integers(0, 256, (size[0] // 16, size[1] // 16, 3))
    image = blocks.repeat(16, 0).repeat(16, 1).astype(np.uint8)
    folders = [root / f"scene{scene:02d}" for scene in range(scenes)]
    for folder in folders:
        folder.mkdir()
    for frame in range(frames):
        name = f"{frame:06d}.jpg"
        moved = np.roll(image, 5 * frame, axis=1)
        Image.fromarray(moved).save(folders[0] / name, quality=90)
        for folder in folders[1:]:
            (folder / name).hardlink_to(folders[0] / name)


def make_models(device: str, tiny: bool, compiled: bool) -> tuple[Any, Any, Any]:
    """CUT3R, DINOv3 ViT-L and FastSAM-x, in bfloat16 on a GPU, as `moonseg cache` runs them."""
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    config = TINY_DPT if tiny else VARIANTS["dpt_512"]
    cut3r = Cut3r.random(config, seed=0).requires_grad_(False).to(device).cast(dtype)
    if compiled:
        compile_blocks(cut3r)
    dinov3 = DinoV3.random("small" if tiny else "large", 0, device, dtype)
    options = {"image_size": 256} if tiny else {}
    fastsam = FastSam.random("n" if tiny else "x", 0, device, dtype, **options)
    return cut3r, dinov3, let_through(fastsam)


def let_through(fastsam: FastSam, count: int = 100) -> FastSam:
    """Sets the threshold so that about so many masks of noise pass: an untrained network's do."""
    image = np.random.default_rng(0).integers(0, 256, (1, 384, 512, 3)).astype(np.uint8)
    with torch.inference_mode():
        _, scores, *_ = fastsam.network(fastsam.prepare(image))
    ordered = scores[0].float().sort(descending=True).values
    fastsam.confidence = float(ordered[min(count, len(ordered) - 1)])
    fastsam.iou = 1.0
    return fastsam


def attempt(
    models: tuple[Any, Any, Any],
    root: Path,
    frames: int,
    scenes: int,
    beside: str,
    args: argparse.Namespace,
    deadline: float,
) -> dict[str, Any]:
    """One configuration; an error is a result, too."""
    if time.perf_counter() > deadline:
        return {"error": "left out: out of time"}
    cut3r, dinov3, fastsam = models
    try:
        size = plan_image((96, 128) if args.tiny else (480, 640), cut3r.config).image_size
        if "dinov3" not in beside:
            dinov3 = Nothing(np.zeros((size[0] // 16, size[1] // 16, 1), np.float16))
        if "fastsam" not in beside:
            empty = np.zeros((0, size[0] // 2, size[1] // 2), bool)
            fastsam = Nothing(Masks(empty, np.zeros(0, np.float32)))
        return measure(RandomBackbones(cut3r, dinov3, fastsam), root, frames, scenes, args)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:300], "trace": traceback.format_exc()}


def measure(
    backbones: Backbones, root: Path, frames: int, scenes: int, args: argparse.Namespace
) -> dict[str, Any]:
    """Caches the recordings after a warm-up; frames/s and milliseconds a frame by stage."""
    worker = LoadedWorker(backbones, frames, scenes)
    _, warm_up = run(worker, root, scenes, scenes, max(WARM_UP, 2 * frames // scenes))
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    ended, seconds = run(worker, root, scenes, min(args.scenes, max(2 * scenes, 4)), 0)
    worker.close()
    count = sum(done.frames for done in ended)
    stages: Counter[str] = Counter()
    for done in ended:
        stages.update(done.seconds)
    return {
        "frames_per_second": count / seconds,
        "cached": count,
        "ms_a_frame": {stage: 1e3 * spent / count for stage, spent in stages.items()},
        "megabytes_a_frame": sum(done.num_bytes for done in ended) / count / 1e6,
        "warm_up_s": warm_up,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0,
    }


def run(
    worker: Worker, root: Path, at_once: int, scenes: int, max_frames: int
) -> tuple[list[Done], float]:
    """Caches so many recordings, some at once; raises where one failed.

    Returns:
        What became of each, and the seconds until all were committed; removing them takes more.
    """
    ended = []
    with tempfile.TemporaryDirectory() as out:
        jobs = [
            Job(path.name, str(path), Path(out, path.name), "", max_frames=max_frames)
            for path in sorted(root.glob("scene*"))[:scenes]
        ]
        start = time.perf_counter()
        with Pool(KeptThreads(worker, at_once), len(jobs)) as pool:
            for _, event in pool.run(cache_scene, jobs):
                if isinstance(event, Done):
                    ended.append(event)
                elif isinstance(event, Failed):
                    raise RuntimeError(event.details or event.sentence)
        return ended, time.perf_counter() - start


class KeptThreads(ThreadWorkers):
    """Threads whose worker goes on."""

    def stop(self) -> None:
        """Ends the threads only."""
        for thread in self._threads.values():
            thread.join()


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    start = f"{row['models']:22} {row['frames']:3} frames, {row['scenes']:2} scenes "
    if "error" in row:
        return start + row["error"]
    stages = "  ".join(f"{name} {ms:.2f}" for name, ms in row["ms_a_frame"].items())
    return (
        f"{start}{row['frames_per_second']:8.1f} frames/s   ms a frame: {stages}"
        f"   (warm-up {row['warm_up_s']:.0f} s, {row['peak_gib']:.1f} GiB)"
    )


if __name__ == "__main__":
    main()
