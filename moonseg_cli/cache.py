"""`moonseg cache`: run the backbones over a recording, once."""

import argparse
import sys
from pathlib import Path

from moonseg_cli.progress import track


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of DESIGN's main line."""
    parser.add_argument(
        "--source", required=True, metavar="DIR", help="recording: folder or video file"
    )
    parser.add_argument("--rfm", default="sensor", help="geometry: sensor (depth and poses given)")
    parser.add_argument("--semantic", default="classical", help="semantic features: classical")
    parser.add_argument(
        "--masks",
        default="felzenszwalb",
        metavar="DIR|NAME",
        help="2D masks: a folder of label maps, or felzenszwalb",
    )
    parser.add_argument("--stride", type=int, default=1, help="take every N-th frame")
    parser.add_argument("--max-frames", type=int, default=0, help="stop after so many; 0 = all")
    parser.add_argument("--out", required=True, metavar="CACHE", help="where the cache goes")


def run(args: argparse.Namespace) -> None:
    """Writes the cache and says what is in it."""
    from moonseg_jax.cache import CacheReader

    cache_recording(
        args.source,
        args.out,
        rfm=args.rfm,
        semantic=args.semantic,
        masks=args.masks,
        stride=args.stride,
        max_frames=args.max_frames,
    )
    reader = CacheReader(args.out)
    size = sum(file.stat().st_size for file in Path(args.out).rglob("*") if file.is_file())
    print(
        f"{args.out}: {len(reader)} frames, {size / 1e6:.1f} MB, "
        f"up to {reader.num_masks} masks a frame"
    )


def cache_recording(
    source: str,
    out: str | Path,
    *,
    rfm: str = "sensor",
    semantic: str = "classical",
    masks: str = "felzenszwalb",
    stride: int = 1,
    max_frames: int = 0,
) -> None:
    """Reads a recording, runs the backbones, commits one cache.

    Args:
        source: folder or video file.
        out: the cache's path; an older cache there is replaced once the new one is complete.
        rfm, semantic, masks: backbones by name; ``masks`` may be a folder of label maps.
        stride, max_frames: of the source's frames.

    Raises:
        InputError: whatever is wrong with the source; nothing is left behind.
    """
    from bridges.bridge import Bridge
    from bridges.sources import open_source
    from moonseg_jax.cache import CacheWriter

    frames = open_source(source, stride=stride, max_frames=max_frames)
    bridge = Bridge(frames, rfm=rfm, semantic=semantic, masks=masks)
    with CacheWriter(out, bridge.info) as writer:
        for name, frame in track(bridge.frames(), "cache", total=len(frames)):
            writer.append(name, frame)
        for name, reason in bridge.skipped:
            writer.skip(name, reason)
    for name, reason in bridge.skipped:
        print(f"skipped {name}: {reason}", file=sys.stderr)
