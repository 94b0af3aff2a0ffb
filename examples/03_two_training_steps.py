"""Two training steps: η, φ and ψ on clips of cached frames (Eq. 5, 6, 10).

The same as `moonseg train --cache=CACHE --workdir=out/examples/run`, of a tiny core. `configs/`
holds recipes.

python examples/03_two_training_steps.py [CACHE] [--frames=N]
"""

import argparse
import json
import shutil
from pathlib import Path

import bridges
from moonseg_jax.cache import CacheWriter
from moonseg_jax.config import default_config
from moonseg_jax.rooms import CorruptionRates, write_room
from moonseg_jax.train import train


def main() -> None:
    """Trains, and prints the losses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", nargs="?", help="made by `moonseg cache`; default: of a room")
    parser.add_argument("--frames", type=int, default=12, help="of the room; default: %(default)s")
    args = parser.parse_args()
    cache = args.cache or make_cache(args.frames)

    config = default_config()
    config.model.update(width=32, heads=2, feed_forward=64, refine_layers=1)
    config.data.update(clip_frames=2, batch_clips=1, max_masks=32)
    config.train.update(steps=2, log_every=1)
    workdir = Path("out/examples/run")
    shutil.rmtree(workdir, ignore_errors=True)  # Else a run goes on where it was.
    result = train(config, [cache], workdir, progress=False)

    for line in map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines()):
        losses = "  ".join(f"{name} {line[name]:.4f}" for name in ("loss", "seg", "dist", "xseg"))
        print(f"step {line['step']}  {losses}  gradient {line['grad_norm']:.3f}")

    print(f"Segmenter(info, weights={str(workdir)!r}) segments with {result.weights}")


def make_cache(frames: int) -> str:
    """A procedural room, cached."""
    room = write_room(
        "out/examples/room", seed=7007, frames=frames, size=(192, 256), rates=CorruptionRates()
    )
    backbones = bridges.load_backbones(bridges.BridgeConfig(masks=f"{room}/masks"))
    bridge = bridges.Bridge(bridges.open_source(room), backbones)
    with CacheWriter("out/examples/cache", bridge.info) as writer:
        for name, frame in bridge.frames():
            writer.append(name, frame)
    return "out/examples/cache"


if __name__ == "__main__":
    main()
