"""`moonseg eval`: score predictions against ground truth."""

import argparse
import json


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
        help="for each prediction: a recording with gt.npz, a gt.npz, or a ScanNet txt",
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
    from moonseg_jax.eval import evaluate, format_metrics
    from moonseg_jax.eval.predictions import write_metrics

    metrics = evaluate(
        args.predictions,
        args.ground_truth,
        gt_mode=args.gt_mode,
        association=args.association,
        thresholds=args.thresholds,
    )
    for predictions in args.predictions:
        write_metrics(predictions, metrics)
    print(json.dumps(metrics, indent=2) if args.json else format_metrics(metrics))
