"""`moonseg export`: predictions in the formats of other projects and benchmarks."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which predictions, which format, on whose points."""
    parser.add_argument("--predictions", required=True, metavar="RESULT", help="predictions folder")
    parser.add_argument(
        "--format",
        default="npz",
        choices=["npz", "scannet", "ply"],
        help="npz: pred_masks, pred_score, pred_classes (MaskClustering, OnlineAnySeg); "
        "scannet: the benchmark's txt files; ply: a coloured cloud (default: %(default)s)",
    )
    parser.add_argument(
        "--ground-truth",
        metavar="GT",
        help="write masks over these points instead of the prediction's own",
    )
    parser.add_argument("--out", required=True, metavar="PATH", help="file or folder to write")


def run(args: argparse.Namespace) -> None:
    """Exports and says where it went."""
    from moonseg_jax.eval.export import export_predictions

    export_predictions(args.predictions, args.out, args.format, ground_truth=args.ground_truth)
    print(args.out)
