"""The online loop on a folder of frames: what every frame says, then every object found.

The same as `moonseg segment --source=RECORDING --masks=... --out=RESULT`, seen from inside.

python examples/04_online_on_a_folder.py [RECORDING] [--frames=N]
"""

import argparse
from pathlib import Path

import bridges
import moonseg_jax
from moonseg_jax.rooms import CorruptionRates, write_room


def main() -> None:
    """Segments frame by frame, and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", nargs="?", type=Path, help="posed RGB-D; default: a room")
    parser.add_argument("--frames", type=int, default=20, help="the first N; default: %(default)s")
    args = parser.parse_args()
    folder = args.recording or write_room(
        "out/examples/room", seed=7007, frames=args.frames, size=(192, 256), rates=CorruptionRates()
    )
    masks = folder / "masks" if (folder / "masks").is_dir() else "felzenszwalb"

    backbones = bridges.load_backbones(bridges.BridgeConfig(masks=str(masks)))
    bridge = bridges.Bridge(bridges.open_source(folder, max_frames=args.frames), backbones)
    segmenter = moonseg_jax.Segmenter(bridge.info)
    for name, frame in bridge.frames():
        result = segmenter.step(frame)
        count = frame.mask_valid.sum()  # `result.ids` has their ids, `result.id_map` the pixels'.
        print(f"{name}: {count} masks of {len(result.seen)} objects, new: {result.new.tolist()}")

    instances = sorted(segmenter.instances(), key=lambda one: -one.score)
    print(f"\n{len(instances)} objects\n  id  score  frames  first  last  points  size (m)")
    for one in instances:
        size = " x ".join(f"{side:.2f}" for side in one.box[1] - one.box[0])
        print(
            f"{one.id:4} {one.score:6.2f} {one.observations:7} {one.first_frame:6}"
            f" {one.last_frame:5} {len(one.points):7}  {size}"
        )


if __name__ == "__main__":
    main()
