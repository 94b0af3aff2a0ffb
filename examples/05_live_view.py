"""A live view: the scene fills in on a page in the browser while it is segmented.

The same as `moonseg segment --source=RECORDING --masks=... --out=RESULT --view`. It needs
`pip install 'moonseg-jax[viewer]'`.

python examples/05_live_view.py [RECORDING] [--frames=N] [--no-wait]
"""

import argparse
from pathlib import Path

import bridges
import moonseg_jax
from moonseg_jax.rooms import CorruptionRates, write_room
from moonseg_jax.viz.viewer.page import Viewer


def main() -> None:
    """Segments, shows, and goes on showing until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", nargs="?", type=Path, help="posed RGB-D; default: a room")
    parser.add_argument("--frames", type=int, default=60, help="the first N; default: %(default)s")
    parser.add_argument("--port", type=int, default=8080, help="or the next one that is free")
    parser.add_argument("--no-wait", action="store_true", help="end after the last frame")
    args = parser.parse_args()
    folder = args.recording or write_room(
        "out/examples/room", seed=7007, frames=args.frames, size=(192, 256), rates=CorruptionRates()
    )
    masks = folder / "masks" if (folder / "masks").is_dir() else "felzenszwalb"

    backbones = bridges.load_backbones(bridges.BridgeConfig(masks=str(masks)))
    bridge = bridges.Bridge(bridges.open_source(folder, max_frames=args.frames), backbones)
    segmenter = moonseg_jax.Segmenter(bridge.info)
    viewer = Viewer(bridge.info, port=args.port)
    print(f"open {viewer.address}", flush=True)
    for name, frame in bridge.frames():
        viewer.add_frame(frame, segmenter.step(frame))
        print(f"{name}: {len(segmenter.instances())} objects", flush=True)
    if args.no_wait:
        viewer.close()
    else:
        print("Ctrl-C ends")
        viewer.wait()


if __name__ == "__main__":
    main()
