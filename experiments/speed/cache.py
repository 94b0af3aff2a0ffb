"""What a cache costs: bytes a frame, and its speeds against the same disk's own in the same run.

    python -m experiments.speed.cache [--folder DIR] [--scenes 24] [--frames 32] [--out FILE]

Cold reads come from the disk: the page cache of the files is dropped before each (`posix_fadvise`),
for the cache and for the plain reads of the very same files that it is compared with, one file
after the other and eight at once. Loaders are timed over their second epoch, a clip of every scene:
in the first, memory is fresh from the system, which costs more than reading. Batches that were
read ahead before it do not count, and neither do those read ahead of the next. Rows name files read
at once (``data.read_threads``) and batches ahead (``data.prefetch_batches``). ``of the disk`` is
against the faster plain read.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from experiments.speed.random_caches import (
    drop_page_cache,
    files_of,
    random_frame,
    scene_info,
    write_scenes,
)
from moonseg_jax.cache import CacheReader, bytes_per_frame
from moonseg_jax.config import data_config
from moonseg_jax.data import make_loader

CLIP, BATCH = 16, 2
REPEATS = 3
AT_ONCE = 8
LOADERS = ((4, 2), (16, 2), (16, 4), (64, 4))
VARIANTS = {
    "paper": {"c3": 768, "c2": 1024, "state_tokens": 0},
    "paper + state attention": {"c3": 768, "c2": 1024, "state_tokens": 768},
    "classical": {"c3": 48, "c2": 64, "state_tokens": 0},
}


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


def read_sequential(readers: list[CacheReader]) -> None:
    for reader in readers:
        for _ in reader.frames():
            pass


def read_clips(readers: list[CacheReader]) -> None:
    rng = np.random.default_rng(0)
    for reader in readers:
        reader.clip(int(rng.integers(len(reader) - CLIP + 1)), CLIP)


def run_loader(
    paths: list[Path], threads: int, ahead: int, clip_mb: float, before: Callable[[], object]
) -> dict[str, float]:
    """Seconds to the first batch; MB/s, clips/s and CPU seconds a GB over the second epoch."""
    config = data_config()
    config.update({"batch_clips": BATCH, "clip_frames": CLIP})
    config.update({"read_threads": threads, "prefetch_batches": ahead})
    loader, batches = make_loader(paths, config, 0), len(paths) // BATCH
    start = time.perf_counter()
    next(loader)
    first = time.perf_counter() - start
    for _ in range(batches - 1):
        next(loader)
    before()
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(batches):
        next(loader)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    loader.close()
    clips = (batches - ahead) * BATCH
    total = clips * clip_mb
    return {
        "first batch s": first,
        "MB/s": total / seconds,
        "clips/s": clips / seconds,
        "CPU s a GB": 1e3 * cpu / total,
    }


def best_loader(
    paths: list[Path],
    threads: int,
    ahead: int,
    clip_mb: float,
    before: Callable[[], object] = lambda: None,
) -> dict[str, float]:
    """The fastest of a few."""
    found = []
    for _ in range(REPEATS):
        found.append(run_loader(paths, threads, ahead, clip_mb, before))
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
