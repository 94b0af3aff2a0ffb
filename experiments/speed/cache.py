"""What a cache costs: bytes a frame, and its speeds against the same disk's own in the same run.

    python -m experiments.speed.cache [--folder DIR] [--scenes 24] [--frames 32] [--out FILE]

Cold reads come from the disk: the page cache of the files is dropped before each (`posix_fadvise`),
for the cache and for the plain reads of the very same files that it is compared with, one file
after the other and eight at once. Loaders are timed over an epoch, a clip of every scene, the time
in which nothing is ready yet included; their rows name files read at once (``data.read_threads``)
and batches ahead (``data.prefetch_batches``). ``of the disk`` is against the faster plain read.
"""

import argparse
import dataclasses
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from moonseg_jax.cache import CacheReader, CacheWriter, bytes_per_frame
from moonseg_jax.config import data_config
from moonseg_jax.data import make_loader
from moonseg_jax.structs import Backbone, Frame, SceneInfo, pack_masks

CLIP, BATCH = 16, 2
REPEATS = 3
AT_ONCE = 8
LOADERS = ((4, 2), (16, 2), (16, 4), (64, 4))
VARIANTS = {
    "paper": {"c3": 768, "c2": 1024, "state_tokens": 0},
    "paper + state attention": {"c3": 768, "c2": 1024, "state_tokens": 768},
    "classical": {"c3": 48, "c2": 64, "state_tokens": 0},
}


def scene_info(
    c3: int, c2: int, state_tokens: int, image_size: tuple[int, int] = (384, 512)
) -> SceneInfo:
    return SceneInfo(
        scene="speed",
        image_size=image_size,
        patch=16,
        point_stride=4,
        mask_stride=2,
        units="metre",
        poses="sensor",
        stride=1,
        geometry=Backbone("random", c3),
        semantics=Backbone("random", c2),
        masks=Backbone("ellipses"),
        state_tokens=state_tokens,
    )


def random_frame(info: SceneInfo, seed: int, num_masks: int = 60) -> Frame:
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(info.mask_size)
    centre, radius = (
        rng.uniform(0, 256, (2, num_masks, 1, 1)),
        rng.uniform(5, 50, (num_masks, 1, 1)),
    )
    masks = np.hypot(rows - centre[0], columns - centre[1]) < radius

    def floats(shape, dtype):
        return rng.standard_normal(shape, np.float32).astype(dtype)

    return Frame(
        features_3d=floats((*info.grid, info.geometry.channels), np.float16),
        features_2d=floats((*info.grid, info.semantics.channels), np.float16),
        state_attention=(
            floats((info.state_tokens, *info.grid), np.float16) if info.state_tokens else None
        ),
        points=floats((*info.point_size, 3), np.float32),
        confidence=floats(info.point_size, np.float32),
        colors=rng.integers(0, 256, (*info.point_size, 3), np.uint8),
        T_world_from_cam=np.eye(4, dtype=np.float32),
        intrinsics=np.eye(3, dtype=np.float32),
        masks=pack_masks(masks),
        mask_valid=np.arange(64) < num_masks,
        mask_scores=(np.arange(64) < num_masks).astype(np.float32),
        timestamp=np.float64(seed),
    )


def files_of(paths: Iterable[Path]) -> list[Path]:
    return sorted(file for path in paths for file in path.rglob("*") if file.is_file())


def drop_page_cache(files: Iterable[Path]) -> None:
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def plain_read(files: Iterable[Path], at_once: int = 1) -> None:
    def read(file: Path) -> None:
        buffer = bytearray(4 << 20)
        with file.open("rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(read, files))


def plain_write(path: Path, num_bytes: int) -> None:
    block = os.urandom(16 << 20)
    with path.open("wb") as stream:
        for _ in range(-(-num_bytes // len(block))):
            stream.write(block)
        stream.flush()
        os.fsync(stream.fileno())
    path.unlink()


def best_seconds(work: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """The fastest of a few runs: other users of the machine only ever add time."""
    times = []
    for _ in range(REPEATS):
        before()
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def write_scenes(paths: list[Path], info: SceneInfo, frames: list[Frame], num_frames: int) -> None:
    for path in paths:
        with CacheWriter(path, dataclasses.replace(info, scene=path.name)) as writer:
            for i in range(num_frames):
                writer.append(f"{i:06d}", frames[i % len(frames)])


def read_sequential(readers: list[CacheReader]) -> None:
    for reader in readers:
        for _ in reader.frames():
            pass


def read_clips(readers: list[CacheReader]) -> None:
    rng = np.random.default_rng(0)
    for reader in readers:
        reader.clip(int(rng.integers(len(reader) - CLIP + 1)), CLIP)


def run_loader(paths: list[Path], threads: int, ahead: int, clip_mb: float) -> dict[str, float]:
    """An epoch: seconds to the first batch, MB/s and clips/s over all, CPU seconds a GB."""
    config = data_config()
    config.update({"batch_clips": BATCH, "clip_frames": CLIP})
    config.update({"read_threads": threads, "prefetch_batches": ahead})
    loader = make_loader(paths, config, 0, num_epochs=1)
    start, cpu = time.perf_counter(), time.process_time()
    next(loader)
    first = time.perf_counter()
    for _ in loader:
        pass
    end, cpu = time.perf_counter(), time.process_time() - cpu
    loader.close()
    total = len(paths) * clip_mb
    return {
        "first batch s": first - start,
        "MB/s": total / (end - start),
        "clips/s": len(paths) / (end - start),
        "CPU s a GB": 1e3 * cpu / total,
    }


def best_loader(
    paths: list[Path],
    threads: int,
    ahead: int,
    clip_mb: float,
    before: Callable[[], object] = lambda: None,
) -> dict[str, float]:
    """The fastest epoch of a few."""
    found = []
    for _ in range(REPEATS):
        before()
        found.append(run_loader(paths, threads, ahead, clip_mb))
    return max(found, key=lambda one: one["MB/s"])


def measure(folder: Path, variant: dict[str, int], num_scenes: int, num_frames: int) -> dict:
    info = scene_info(**variant)
    paths = [folder / f"scene{i}" for i in range(num_scenes)]
    examples = [random_frame(info, i) for i in range(8)]
    write_time = best_seconds(
        lambda: write_scenes(paths, info, examples, num_frames),
        lambda: [shutil.rmtree(path, ignore_errors=True) for path in paths],
    )
    readers = [CacheReader(path) for path in paths]
    lean = [CacheReader(path, state_attention=False) for path in paths]
    files = files_of(paths)
    total, frames = sum(file.stat().st_size for file in files), num_scenes * num_frames

    def drop() -> None:
        drop_page_cache(files)

    verify_time = best_seconds(lambda: [reader.verify() for reader in readers])
    disk = best_seconds(lambda: plain_read(files), drop)
    cold = best_seconds(lambda: read_sequential(readers), drop)
    warm = best_seconds(lambda: read_sequential(readers))
    clips = best_seconds(lambda: read_clips(lean), drop)
    many = best_seconds(lambda: plain_read(files, AT_ONCE), drop)
    disk_write = best_seconds(lambda: plain_write(folder / "plain", min(total, 1 << 30)))
    attention = 2 * info.state_tokens * info.grid[0] * info.grid[1]
    clip_mb = (total / frames - attention) * CLIP / 1e6
    result = {
        "kB per frame": total / frames / 1e3,
        "kB per frame, estimated": bytes_per_frame(info, 2) / 1e3,
        "files per scene": len(files) / num_scenes,
        "disk write MB/s": min(total, 1 << 30) / disk_write / 1e6,
        "write MB/s": total / write_time / 1e6,
        "write frames/s": frames / write_time,
        "verify MB/s": total / verify_time / 1e6,
        "disk read MB/s": total / disk / 1e6,
        f"disk read, {AT_ONCE} at once MB/s": total / many / 1e6,
        "sequential cold MB/s": total / cold / 1e6,
        "sequential cold frames/s": frames / cold,
        "sequential warm frames/s": frames / warm,
        "random clips cold MB/s": clip_mb * num_scenes / clips,
        "random clips cold clips/s": num_scenes / clips,
    }
    ceiling = total / min(disk, many) / 1e6
    for threads, ahead in LOADERS:
        name = f"loader {threads}/{ahead}"
        for kind, before in (("cold", drop), ("warm", lambda: None)):
            found = best_loader(paths, threads, ahead, clip_mb, before)
            result |= {f"{name} {kind} {key}": value for key, value in found.items()}
        result[f"{name} cold, of the disk"] = result[f"{name} cold MB/s"] / ceiling
    return result


def print_table(results: dict[str, dict[str, float]]) -> None:
    print("| | " + " | ".join(results) + " |\n|---" + "|---" * len(results) + "|")
    for row in next(iter(results.values())):
        cells = (f"{column[row]:.3g}" for column in results.values())
        print(f"| {row} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON file for everything that is printed")
    parser.add_argument("--folder", help="on the disk to measure; default: the temporary folder")
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--frames", type=int, default=32, help="a scene")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    arguments = parser.parse_args()
    results = {}
    for name in arguments.variants:
        folder = Path(tempfile.mkdtemp(dir=arguments.folder))
        try:
            results[name] = measure(folder, VARIANTS[name], arguments.scenes, arguments.frames)
        finally:
            shutil.rmtree(folder)
    print_table(results)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
