"""Weights part of the way from the start of a training to its end.

    python -m experiments.classical_core.interpolate RUN/weights.safetensors 0.5 HALF.safetensors \
        --online configs/classical.py

Training on rooms gains on rooms and loses elsewhere; the way between keeps most of both (Wortsman
et al., "Robust fine-tuning of zero-shot models", CVPR 2022). It works because training here sets
out from the features themselves.
"""

import argparse
import runpy
from collections.abc import Sequence
from pathlib import Path

import jax
from flax import nnx
from ml_collections import ConfigDict

from moonseg_jax.models import Core, load_weights, save_weights, split_core
from moonseg_jax.models.weights import WeightsInfo


def start_of(info: WeightsInfo):
    """The parameters that the training began with."""
    channels = info.geometry["channels"], info.semantics["channels"]
    return split_core(
        Core(ConfigDict(info.model), *channels, rngs=nnx.Rngs(info.extra["recipe"]["seed"]))
    )[1]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("way", type=float, help="0 = the start, 1 = the end")
    parser.add_argument("out", type=Path)
    parser.add_argument("--online", type=Path, help="a config whose thresholds the result carries")
    args = parser.parse_args(words)
    _, end, info = load_weights(args.weights)
    mixed = jax.tree.map(lambda a, b: (1 - args.way) * a + args.way * b, start_of(info), end)
    header = {"model": info.model, "geometry": info.geometry, "semantics": info.semantics}
    told = {"units": info.units, **info.extra, "way": args.way, "end_sha256": info.sha256}
    if args.online:
        online = runpy.run_path(str(args.online))["get_config"]().online
        told["recipe"] = info.extra["recipe"] | {"online": online.to_dict()}
    save_weights(args.out, mixed, header | told)


if __name__ == "__main__":
    main()
