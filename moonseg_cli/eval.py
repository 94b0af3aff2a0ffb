"""`moonseg eval`: score predictions against ground truth."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moonseg_jax.eval import EvalSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of DESIGN's main line, and those of whole data sets."""
    parser.add_argument(
        "--predictions",
        required=True,
        nargs="+",
        action="extend",
        metavar="RESULT",
        help="predictions folders, or npz files with pred_masks, pred_score, pred_classes; "
        "with --protocol the folder that holds one of them for each scene",
    )
    parser.add_argument(
        "--ground-truth",
        required=True,
        nargs="+",
        action="extend",
        metavar="GT",
        help="for each prediction: a gt.npz, ScanNet's segs.json or a txt, SceneNN's xml, or the "
        "folder that one lies in; with --protocol the folder that holds all of them",
    )
    parser.add_argument(
        "--recording",
        nargs="+",
        action="extend",
        metavar="PATH",
        help="for each prediction: the recording that measured its poses and depth "
        "(default: what the ground truth lies in); with --protocol the folder of all recordings",
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
        choices=["gt", "sim3", "cameras"],
        help="how predictions reach the ground-truth points: by ground-truth poses, or by a "
        "similarity of camera centres, turned as the centres or as the cameras are "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--thresholds",
        default="nine",
        choices=["nine", "ten"],
        help="IoU 0.50-0.90 as in ScanNet's code, or 0.50-0.95 (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    _add_dataset_flags(parser.add_argument_group("a whole data set"))


def _add_dataset_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--protocol",
        choices=["scannet200", "scenenn", "folder"],
        help="score all its scenes, pooled; paths then hold a place for each scene, or have "
        "{scene} where its name stands",
    )
    group.add_argument(
        "--scenes",
        metavar="FILE",
        help="its scenes, a name a line (default: scenenn: the paper's twelve; else those with "
        "ground truth)",
    )
    group.add_argument(
        "--missing",
        default="refuse",
        choices=["refuse", "empty", "skip"],
        help="scenes without predictions: an error, nothing found, or left out "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--workers", type=int, default=0, metavar="N", help="processes; default: one a core"
    )


def run(args: argparse.Namespace) -> None:
    """Scores, prints, writes metrics.json into each predictions folder."""
    from moonseg_jax.eval import EvalSettings, format_metrics
    from moonseg_jax.eval.predictions import write_metrics

    settings = EvalSettings(args.gt_mode, args.association, args.thresholds)
    if args.protocol:
        metrics, beside = _evaluate_dataset(args, settings)
    else:
        _check_no_dataset_flags(args)
        metrics = evaluate_results(
            args.predictions,
            args.ground_truth,
            args.recording,
            gt_mode=args.gt_mode,
            association=args.association,
            thresholds=args.thresholds,
        )
        beside = dict.fromkeys(map(Path, args.predictions), metrics)
    print(json.dumps(metrics, indent=2) if args.json else format_metrics(metrics), flush=True)
    for predictions, own in beside.items():  # Said first: not every result may be written to.
        write_metrics(predictions, own)


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


def _evaluate_dataset(
    args: argparse.Namespace, settings: "EvalSettings"
) -> tuple[dict[str, Any], dict[Path, dict[str, Any]]]:
    """Metrics of all, and what goes where: of each scene to its result, of all to the root."""
    from moonseg_cli.progress import track
    from moonseg_cli.scoring import score_scenes
    from moonseg_jax.eval import PROTOCOLS, describe_dataset, find_dataset, pool_scores

    dataset = find_dataset(
        PROTOCOLS[args.protocol],
        _one_path(args, "predictions"),
        _one_path(args, "ground_truth"),
        _one_path(args, "recording") if args.recording else None,
        listed=Path(args.scenes) if args.scenes else None,
        missing=args.missing,
    )
    scored = score_scenes(dataset.scenes, settings, args.workers)
    scores = list(track(scored, "eval", total=len(dataset.scenes)))
    metrics = pool_scores(scores, settings)
    metrics["dataset"] = describe_dataset(dataset, settings, metrics)
    beside = {
        files.predictions: pool_scores([score], settings)
        for files, score in zip(dataset.scenes, scores, strict=True)
        if files.predictions is not None
    }
    return metrics, {**beside, Path(_one_path(args, "predictions")): metrics}


def _one_path(args: argparse.Namespace, flag: str) -> str:
    from moonseg_jax.structs import InputError

    paths = getattr(args, flag)
    if len(paths) > 1:
        raise InputError(
            f"--{flag.replace('_', '-')} names {len(paths)} paths (first: {paths[0]}):"
            f" --protocol={args.protocol} takes one, the folder that holds every scene's"
        )
    return paths[0]


def _check_no_dataset_flags(args: argparse.Namespace) -> None:
    """Without a data set they would do nothing, unnoticed."""
    from moonseg_jax.structs import InputError

    parser = argparse.ArgumentParser()
    _add_dataset_flags(parser.add_argument_group())
    defaults = vars(parser.parse_args([]))
    given = [f"--{name}" for name in defaults if getattr(args, name) != defaults[name]]
    if given:
        raise InputError(f"{' '.join(given)}: only with --protocol, which names a data set")
