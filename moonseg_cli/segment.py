"""`moonseg segment`: fuse a cached recording into 3D instances."""

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moonseg_cli.progress import track

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from moonseg_jax.structs import SceneInfo

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of DESIGN's main line."""
    parser.add_argument("--cache", required=True, metavar="CACHE", help="made by `moonseg cache`")
    parser.add_argument(
        "--checkpoint",
        metavar="RUN",
        help="a training's workdir, a .safetensors file, or 'none' for features only; "
        "default: the shipped weights that fit the cache",
    )
    parser.add_argument("--out", required=True, metavar="RESULT", help="predictions folder")
    parser.set_defaults(config=None)  # Takes --config.group.field=value.


def run(args: argparse.Namespace) -> None:
    """Segments, writes the predictions folder and its picture, says what was found."""
    count = segment_cache(args.cache, args.out, args.checkpoint, args.overrides)
    print(f"{args.out}: {count} instances")


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
    from moonseg_cli.runtime import enable_compilation_cache
    from moonseg_jax.cache import CacheReader
    from moonseg_jax.eval import read_predictions, write_predictions
    from moonseg_jax.online import SceneResult, Segmenter
    from moonseg_jax.viz import write_contact_sheet

    enable_compilation_cache()
    reader = CacheReader(cache)
    core = load_core(checkpoint, reader.info, overrides or [])
    segmenter = Segmenter(core.graphdef, core.params, reader.info, core.config)
    result = SceneResult(core.config)
    for frame in track(reader.frames(), "segment", total=len(reader)):
        result.add(frame, segmenter.step(frame))
    scene = result.finish(segmenter.state)
    write_predictions(out, scene, reader, config=core.config.to_dict(), checkpoint=core.origin)
    write_contact_sheet(Path(out) / "picture.png", read_predictions(out), reader)
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
