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
    parser.add_argument(
        "--recording",
        metavar="PATH",
        help="what measured the predictions' poses and depth (default: what the ground truth "
        "lies in)",
    )
    parser.add_argument(
        "--association",
        default="gt",
        choices=["gt", "sim3", "cameras"],
        help="how predictions reach the ground-truth points, as for eval (default: %(default)s)",
    )
    parser.add_argument("--out", required=True, metavar="PATH", help="file or folder to write")


def run(args: argparse.Namespace) -> None:
    """Exports and says where it went."""
    from moonseg_cli.measured import open_measured
    from moonseg_jax.eval.export import export_predictions

    truth = args.ground_truth
    export_predictions(
        args.predictions,
        args.out,
        args.format,
        ground_truth=truth,
        association=args.association,
        measured=open_measured(args.recording, truth) if truth else None,
    )
    print(args.out)
