"""Which scenes a table is of and how they are scored: flags as `moonseg eval` has them."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from moonseg_cli.scoring import score_scenes
from moonseg_jax.eval import (
    PROTOCOLS,
    Dataset,
    EvalSettings,
    definition_of,
    find_dataset,
    pool_scores,
)
from moonseg_jax.eval.associate import ASSOCIATIONS
from moonseg_jax.eval.ground_truth import GT_MODES
from moonseg_jax.structs import InputError


def add_data_flags(parser: argparse.ArgumentParser) -> None:
    """Paths and definition of the numbers."""
    parser.add_argument("--protocol", default="folder", choices=list(PROTOCOLS))
    parser.add_argument("--caches", required=True, help="root, or a path with {scene}")
    parser.add_argument("--ground-truth", required=True, help="root, or a path with {scene}")
    parser.add_argument("--recordings", help="root, or a path with {scene}")
    parser.add_argument("--scenes", type=Path, help="file with a scene a line")
    parser.add_argument("--gt-mode", default="onlineanyseg", choices=GT_MODES)
    parser.add_argument("--association", default="gt", choices=ASSOCIATIONS)
    parser.add_argument("--workers", type=int, default=0, help="processes that score")


def open_dataset(args: argparse.Namespace, results: str | None = None) -> Dataset:
    """The scenes of `add_data_flags`, all with caches; results take the caches' place later.

    Args:
        args: the flags.
        results: root or path of results that are there already; None: the caches.
    """
    places = results or args.caches, args.ground_truth, args.recordings
    return find_dataset(PROTOCOLS[args.protocol], *places, listed=args.scenes)


def settings_of(args: argparse.Namespace) -> EvalSettings:
    """How results are scored."""
    return EvalSettings(args.gt_mode, args.association)


def results_in(folder: Path, dataset: Dataset) -> Dataset:
    """The same scenes with results that lie in a folder, by scene."""
    scenes = (replace(scene, predictions=folder / scene.scene) for scene in dataset.scenes)
    return replace(dataset, scenes=tuple(scenes))


def score(results: Dataset, args: argparse.Namespace) -> dict[str, Any]:
    """Metrics of all scenes, pooled, in as many processes as the flags say."""
    settings = settings_of(args)
    return pool_scores(list(score_scenes(results.scenes, settings, args.workers)), settings)


def definition_below(rows: Sequence[dict[str, Any]], dataset: dict[str, Any]) -> list[str]:
    """What stands below a table of these rows, of metrics each, and says what the numbers are."""
    scenes = [scene for row in rows for scene in row["scenes"]]
    lines = definition_of(rows[0] | {"scenes": scenes, "dataset": dataset})
    return ["", *(f"- {line}" for line in lines)]


def run_script(main: Callable[[], None]) -> None:
    """Runs it; what a user can mend ends it with one sentence."""
    try:
        main()
    except InputError as error:
        sys.exit(f"{Path(sys.argv[0]).stem}: {error}")
