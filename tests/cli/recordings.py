"""Tiny recordings that render nothing, what a folder holds bit by bit, and who is writing it."""

import hashlib
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent.parent
_CELL = 10


def write_recording(path: Path, seed: int, frames: int = 5) -> Path:
    """A posed RGB-D folder of coloured blocks, 60x80, with label maps."""
    rng = np.random.default_rng(seed)
    for folder in ("color", "depth", "pose", "masks"):
        (path / folder).mkdir(parents=True)
    np.savetxt(path / "intrinsics.txt", [[70, 0, 39.5], [0, 72, 29.5], [0, 0, 1]])
    for i in range(frames):
        _save(path / "color" / f"{i:06d}.png", rng.integers(0, 256, (6, 8, 3)).astype(np.uint8))
        _save(path / "depth" / f"{i:06d}.png", rng.integers(900, 3000, (6, 8)).astype(np.uint16))
        _save(path / "masks" / f"{i:06d}.png", rng.integers(0, 5, (6, 8)).astype(np.uint16))
        T = np.eye(4)
        T[0, 3] = 0.1 * i
        np.savetxt(path / "pose" / f"{i:06d}.txt", T)
    return path


def write_scenes(folder: Path, count: int, frames: int = 5) -> Path:
    """Recordings ``room0``, ``room1``, ... below a folder."""
    for seed in range(count):
        write_recording(folder / f"room{seed}", seed, frames)
    return folder


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file, hidden ones too, by relative path."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


def start_cache(*words: str) -> subprocess.Popen:
    """``moonseg cache`` in a process of its own."""
    command = [sys.executable, "-m", "moonseg_cli.main", "cache", *words]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_until_writing(cache: Path, process: subprocess.Popen) -> None:
    """Returns as soon as a command has begun to write a cache."""
    while not _lock(cache).exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def writer_of(cache: Path) -> int:
    """The process that is writing a cache."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if os.readlink(link) == str(_lock(cache)):
                return int(link.parts[2])
    raise AssertionError(f"nobody is writing {cache}")


def _lock(cache: Path) -> Path:
    return cache.with_name(f".{cache.name}.partial") / "lock"


def _save(path: Path, blocks: np.ndarray) -> None:
    Image.fromarray(blocks.repeat(_CELL, axis=0).repeat(_CELL, axis=1)).save(path)
