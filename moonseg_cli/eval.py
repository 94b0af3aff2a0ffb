"""`moonseg eval`: score predictions against ground truth."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of DESIGN's main line."""
    parser.add_argument(
        "--predictions",
        required=True,
        nargs="+",
        metavar="RESULT",
        help="predictions folders, or npz files with pred_masks, pred_score, pred_classes",
    )
    parser.add_argument(
        "--ground-truth",
        required=True,
        nargs="+",
        metavar="GT",
        help="for each prediction: a gt.npz, ScanNet's segs.json or a txt, SceneNN's xml, or the "
        "folder that one lies in",
    )
    parser.add_argument(
        "--recording",
        nargs="+",
        metavar="PATH",
        help="for each prediction: the recording that measured its poses and depth "
        "(default: what the ground truth lies in)",
    )
    parser.add_argument(
        "--gt-mode",
        default="onlineanyseg",
        choices=["onlineanyseg", "maskclustering", "things"],
        help="which ground-truth instances count (default: %(default)s)",
    )
    parser.add_argument(
        "--association",
        default="gt",
        choices=["gt", "sim3"],
        help="how predictions reach the ground-truth points: by ground-truth poses, or by a "
        "similarity alignment (default: %(default)s)",
    )
    parser.add_argument(
        "--thresholds",
        default="nine",
        choices=["nine", "ten"],
        help="IoU 0.50-0.90 as in ScanNet's code, or 0.50-0.95 (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> None:
    """Scores, writes metrics.json into each predictions folder, prints."""
    from moonseg_jax.eval import format_metrics
    from moonseg_jax.eval.predictions import write_metrics

    metrics = evaluate_results(
        args.predictions,
        args.ground_truth,
        args.recording,
        gt_mode=args.gt_mode,
        association=args.association,
        thresholds=args.thresholds,
    )
    for predictions in args.predictions:
        write_metrics(predictions, metrics)
    print(json.dumps(metrics, indent=2) if args.json else format_metrics(metrics))


def evaluate_results(
    predictions: Sequence[str | Path],
    ground_truth: Sequence[str | Path],
    recordings: Sequence[str | Path] | None = None,
    **choices: Any,
) -> dict[str, Any]:
    """Scores results with the poses and depth of their recordings, whatever their layout.

    Args:
        predictions: one a scene.
        ground_truth: for each, as `moonseg_jax.eval.evaluate` takes it.
        recordings: for each, the folder or ``.sens`` file; None: what the ground truth lies in,
            and where that is no recording, the cache that the result was made from.
        choices: of `moonseg_jax.eval.evaluate`.

    Returns:
        The metrics.

    Raises:
        InputError: a file is missing or does not fit.
    """
    from moonseg_cli.measured import open_measured
    from moonseg_jax.eval import evaluate
    from moonseg_jax.structs import InputError

    if recordings is not None and len(recordings) != len(predictions):
        raise InputError(
            f"{len(predictions)} predictions and {len(recordings)} recordings: give one for each"
        )
    named = recordings or [None] * len(ground_truth)
    measured = map(open_measured, named, ground_truth)  # Each when its turn comes.
    return evaluate(predictions, ground_truth, measured=measured, **choices)
