"""`moonseg segment`: fuse a recording, cached or live, into 3D instances."""

import argparse
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moonseg_cli.backbones import add_backbones, bridge_config
from moonseg_cli.progress import track

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from bridges.bridge import BridgeConfig
    from moonseg_jax.structs import Frame, Recording, SceneInfo

log = logging.getLogger(__name__)


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
    _add_source_flags(parser)
    parser.set_defaults(config=None)  # Takes --config.group.field=value.


def _add_source_flags(parser: argparse.ArgumentParser) -> None:
    live = parser.add_argument_group("with --source")
    live.add_argument("--stride", type=int, default=1, help="take every N-th frame")
    live.add_argument("--max-frames", type=int, default=0, help="stop after so many; 0 = all")
    add_backbones(parser)


def run(args: argparse.Namespace) -> None:
    """Segments, writes the predictions folder and its picture, says what was found."""
    from moonseg_jax.eval import check_writable

    check_writable(Path(args.out))
    if args.cache:
        _check_no_source_flags(args)
        count = segment_cache(args.cache, args.out, args.checkpoint, args.overrides)
    else:
        count = segment_source(
            args.source,
            args.out,
            bridge_config(args),
            args.checkpoint,
            args.overrides,
            stride=args.stride,
            max_frames=args.max_frames,
        )
    print(f"{args.out}: {count} instances")


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


@dataclass(frozen=True)
class LoadedCore:
    """A core ready to run: its module structure, its parameters, its settings, its origin."""

    graphdef: Any
    params: Any
    config: "ConfigDict"
    origin: str


def segment_cache(
    cache: str | Path,
    out: str | Path,
    checkpoint: str | Path | None = None,
    overrides: list[str] | None = None,
) -> int:
    """Runs the online loop over a cache and writes a predictions folder.

    Args:
        cache: a cache.
        out: predictions folder; an older one there is replaced.
        checkpoint: as the flag says.
        overrides: ``--config.group.field=value`` words.

    Returns:
        The number of instances.

    Raises:
        InputError: the cache or the checkpoint cannot be used, or do not fit each other.
    """
    from moonseg_jax.cache import CacheReader

    reader = CacheReader(cache)
    core = load_core(checkpoint, reader.info, overrides or [])
    return _segment(reader, track(reader.frames(), "segment", total=len(reader)), core, out)


def segment_source(
    source: str,
    out: str | Path,
    config: "BridgeConfig",
    checkpoint: str | Path | None = None,
    overrides: list[str] | None = None,
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
        checkpoint, overrides: as for `segment_cache`.
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
    core = load_core(checkpoint, bridge.info, overrides or [])
    recording, watch = LiveRecording(bridge), Stopwatch()
    frames = track(recording.frames(), "segment", total=len(bridge.source) or None)
    count = _segment(recording, frames, core, out, watch.lap)
    print(watch.line())
    for stage, spent in bridge.seconds.items():
        print(f"  {stage:10}{1e3 * spent / len(recording.info.frame_names):8.1f} ms a frame")
    return count


def _segment(
    recording: "Recording",
    frames: "Iterable[Frame]",
    core: "LoadedCore",
    out: str | Path,
    after_frame: Callable[[], None] = lambda: None,
) -> int:
    """Runs the online loop and writes all that a result is; returns the number of instances."""
    from moonseg_cli.runtime import enable_compilation_cache
    from moonseg_jax.eval import read_predictions, write_predictions
    from moonseg_jax.online import SceneResult, Segmenter
    from moonseg_jax.viz import write_contact_sheet

    enable_compilation_cache()
    segmenter = Segmenter(core.graphdef, core.params, recording.info, core.config)
    result = SceneResult(core.config)
    for frame in frames:
        result.add(frame, segmenter.step(frame))
        after_frame()
    scene = result.finish(segmenter.state)
    write_predictions(out, scene, recording, config=core.config.to_dict(), checkpoint=core.origin)
    write_contact_sheet(Path(out) / "picture.png", read_predictions(out), recording)
    return len(scene.scores)


def load_core(checkpoint: str | Path | None, info: "SceneInfo", overrides: list[str]) -> LoadedCore:
    """Finds the weights for a scene and the settings that go with them.

    Args:
        checkpoint: a workdir, a ``.safetensors`` file, ``none``, or None for the shipped default.
        info: of the scene.
        overrides: ``--config.group.field=value`` words, on top of the weights' own settings.

    Raises:
        InputError: no such weights, or they were trained on another backbone's features.
    """
    from moonseg_cli.configuration import apply_overrides
    from moonseg_jax.config import default_config, features_only_config
    from moonseg_jax.models import FeatureCore, load_weights, split_core
    from moonseg_jax.weights import weights_for

    if str(checkpoint) == "none":
        config = apply_overrides(features_only_config(), overrides)
        core = FeatureCore(config.model, info.geometry.channels, info.semantics.channels)
        return LoadedCore(*split_core(core), config, "none")
    path = weights_for(info) if checkpoint is None else _weights_file(Path(checkpoint))
    graphdef, params, weights = load_weights(path)
    weights.check_fits(info, path)
    config = default_config()
    config.update(weights.extra["recipe"])
    return LoadedCore(graphdef, params, apply_overrides(config, overrides), str(path))


def _weights_file(checkpoint: Path) -> Path:
    return checkpoint / "weights.safetensors" if checkpoint.is_dir() else checkpoint
