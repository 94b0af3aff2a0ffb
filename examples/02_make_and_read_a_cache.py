"""A cache made and read: what the frozen backbones say about a recording, computed once.

The same as `moonseg cache --source=RECORDING --masks=... --out=out/examples/cache`.

python examples/02_make_and_read_a_cache.py [RECORDING] [--frames=N]
"""

import argparse
from dataclasses import fields
from pathlib import Path

import numpy as np

import bridges
import moonseg_jax
from moonseg_jax.cache import CacheWriter
from moonseg_jax.rooms import CorruptionRates, write_room
from moonseg_jax.structs.arrays import on_host


def main() -> None:
    """Writes a cache and prints what is in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", nargs="?", type=Path, help="posed RGB-D; default: a room")
    parser.add_argument("--frames", type=int, default=12, help="the first N; default: %(default)s")
    args = parser.parse_args()
    folder = args.recording or write_room(
        "out/examples/room", seed=7007, frames=args.frames, size=(192, 256), rates=CorruptionRates()
    )
    masks = folder / "masks" if (folder / "masks").is_dir() else "felzenszwalb"

    # It appears whole, at the end, or not at all.
    backbones = bridges.load_backbones(bridges.BridgeConfig(masks=str(masks)))
    bridge = bridges.Bridge(bridges.open_source(folder, max_frames=args.frames), backbones)
    with CacheWriter("out/examples/cache", bridge.info) as writer:
        for name, frame in bridge.frames():
            writer.append(name, on_host(frame))

    reader = moonseg_jax.CacheReader("out/examples/cache")
    info = reader.info
    print(f"{reader.path}: {len(reader)} frames, {reader.num_bytes / 1e6:.1f} MB, {info.units}")
    print(f"geometry by {info.geometry.name}, semantics by {info.semantics.name}")
    clip = reader.clip(0, len(reader))  # Single frames: `frame(i)`; all in order: `frames()`.
    for field in fields(clip):
        array = getattr(clip, field.name)
        if array is not None:
            print(f"  {field.name:18}{array.dtype!s:9}{'x'.join(map(str, array.shape))}")
    points = clip.points[clip.confidence > 0]
    low, high = points.min(axis=0), points.max(axis=0)
    print(f"{len(points)} points in a box of {' x '.join(f'{x:.1f}' for x in high - low)}")
    print(f"{np.mean(clip.mask_valid.sum(axis=-1)):.1f} masks a frame")


if __name__ == "__main__":
    main()
