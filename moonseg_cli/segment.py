"""`moonseg segment`: fuse a recording, cached or live, into 3D instances."""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from moonseg_cli.backbones import add_backbones, add_frames, bridge_config
from moonseg_cli.progress import track
from moonseg_cli.view import LivePage, add_address

if TYPE_CHECKING:
    from bridges.bridge import BridgeConfig
    from moonseg_jax import LoadedCore
    from moonseg_jax.structs import Frame, Recording, SceneInfo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of DESIGN's main line, and those of a run without a cache."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--cache", metavar="CACHE", help="made by `moonseg cache`")
    what.add_argument(
        "--source",
        metavar="SOURCE",
        help="without a cache: a recording, a video, camera:0, or a stream's address",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="RUN",
        help="a training's workdir, a .safetensors file, or 'none' for features only; "
        "default: the shipped weights that fit the features",
    )
    parser.add_argument("--out", required=True, metavar="RESULT", help="predictions folder")
    parser.add_argument("--view", action="store_true", help="watch it in the browser")
    add_address(parser)
    _add_source_flags(parser)
    parser.set_defaults(config=None)  # Takes --config.group.field=value.


def _add_source_flags(parser: argparse.ArgumentParser) -> None:
    live = parser.add_argument_group("with --source")
    add_frames(live)
    add_backbones(parser)


def run(args: argparse.Namespace) -> None:
    """Segments, writes the predictions folder and its picture, says what was found."""
    from moonseg_jax.eval import check_writable

    check_writable(Path(args.out))
    page = LivePage(args.host, args.port) if args.view else None
    if args.cache:
        _check_no_source_flags(args)
        count = segment_cache(args.cache, args.out, args.checkpoint, args.overrides, page)
    else:
        count = segment_source(
            args.source,
            args.out,
            bridge_config(args),
            args.checkpoint,
            args.overrides,
            page,
            stride=args.stride,
            max_frames=args.max_frames,
        )
    print(f"{args.out}: {count} instances")
    if not count:
        print(
            "an instance has to be seen in several frames: more frames, a smaller --stride, or"
            " --config.online.min_observations=1"
        )
    if page:
        page.wait()


def _check_no_source_flags(args: argparse.Namespace) -> None:
    """A cache has its frames and features: what chooses others would do nothing, unnoticed."""
    from moonseg_jax.structs import InputError

    parser = argparse.ArgumentParser()
    _add_source_flags(parser)
    defaults = vars(parser.parse_args([]))
    given = [
        f"--{name.replace('_', '-')}" for name in defaults if getattr(args, name) != defaults[name]
    ]
    if given:
        raise InputError(
            f"{' '.join(given)} cannot change {args.cache}, which was made already: give it to"
            " `moonseg cache`, or use --source."
        )


def segment_cache(
    cache: str | Path,
    out: str | Path,
    checkpoint: str | Path | None = None,
    overrides: list[str] | None = None,
    page: LivePage | None = None,
) -> int:
    """Runs the online loop over a cache and writes a predictions folder.

    Args:
        cache: a cache.
        out: predictions folder; an older one there is replaced.
        checkpoint: as the flag says.
        overrides: ``--config.group.field=value`` words.
        page: to watch it on.

    Returns:
        The number of instances.

    Raises:
        InputError: the cache or the checkpoint cannot be used, or do not fit each other.
    """
    from moonseg_jax.cache import CacheReader

    reader = CacheReader(cache)
    core = core_for(checkpoint, reader.info, overrides)
    frames = track(reader.frames(), "segment", total=len(reader))
    return _segment(reader, frames, core, out, page)


def segment_source(
    source: str,
    out: str | Path,
    config: "BridgeConfig",
    checkpoint: str | Path | None = None,
    overrides: list[str] | None = None,
    page: LivePage | None = None,
    *,
    stride: int = 1,
    max_frames: int = 0,
) -> int:
    """Runs backbones and online loop over a source, with no cache between; Ctrl-C ends a live one.

    Prints where the time went.

    Args:
        source: as `bridges.sources.open_source` takes it.
        out: predictions folder; an older one there is replaced.
        config: the backbones.
        checkpoint, overrides, page: as for `segment_cache`.
        stride, max_frames: of the source's frames.

    Returns:
        The number of instances.

    Raises:
        InputError: whatever is wrong with the source, the weights, or their fit.
    """
    from bridges.bridge import Bridge, load_backbones
    from bridges.sources import open_source, scene_name
    from moonseg_cli.caching.jobs import SCENE
    from moonseg_cli.live import LiveRecording, Stopwatch

    opened = open_source(source, stride, max_frames)
    masks = config.masks.replace(SCENE, scene_name(opened.path))
    bridge = Bridge(opened, load_backbones(replace(config, masks=masks)))
    core = core_for(checkpoint, bridge.info, overrides)
    recording, watch = LiveRecording(bridge), Stopwatch()
    frames = track(recording.frames(), "segment", total=len(bridge.source) or None)
    count = _segment(recording, frames, core, out, page, watch.lap)
    print(watch.line())
    for stage, spent in bridge.seconds.items():
        print(f"  {stage:10}{1e3 * spent / len(recording.info.frame_names):8.1f} ms a frame")
    return count


def _segment(
    recording: "Recording",
    frames: "Iterable[Frame]",
    core: "LoadedCore",
    out: str | Path,
    page: LivePage | None,
    after_frame: Callable[[], None] = lambda: None,
) -> int:
    """Runs the online loop and writes all that a result is; returns the number of instances."""
    from moonseg_cli.runtime import enable_compilation_cache
    from moonseg_jax import Segmenter
    from moonseg_jax.cache import whole_file
    from moonseg_jax.eval import read_predictions, write_predictions
    from moonseg_jax.viz import write_contact_sheet

    enable_compilation_cache()
    if page:
        page.open(recording.info)
    segmenter = Segmenter(recording.info, core)
    for frame in frames:
        said = segmenter.step(frame)
        if page:
            page.viewer.add_frame(frame, said)
        after_frame()
    scene = segmenter.scene()
    write_predictions(out, scene, recording, config=core.config.to_dict(), checkpoint=core.origin)
    predictions = read_predictions(out)
    with whole_file(Path(out) / "picture.png") as picture:
        write_contact_sheet(picture, predictions, recording)
    if page:
        page.viewer.set_result(predictions, recording)
    return scene.num_instances


def core_for(
    checkpoint: str | Path | None, info: "SceneInfo", overrides: list[str] | None
) -> "LoadedCore":
    """The weights for a scene, and ``--config.group.field=value`` on top of their own settings."""
    from moonseg_cli.configuration import apply_overrides
    from moonseg_jax import load_core

    return load_core(info, checkpoint, lambda config: apply_overrides(config, overrides or []))
