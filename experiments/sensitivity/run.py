"""How much the results depend on thresholds, masks, keyframes and the length of the sequence.

python -m experiments.sensitivity.run STUDY --out OUT ...

thresholds, masks and stride are of AP on scenes with caches; length is of the small CUT3R's errors.
"""

import argparse
from pathlib import Path

from experiments.dataset import add_data_flags, open_dataset, run_script
from experiments.sensitivity import online
from experiments.sensitivity.study import Point, write_study
from experiments.table2.in_memory import read_rooms
from experiments.table2.rows import info_of
from moonseg_cli.runtime import enable_compilation_cache
from moonseg_cli.segment import core_for
from moonseg_jax import LoadedCore
from moonseg_jax.eval import Dataset

MERGE = (0.5, 0.6, 0.7, 0.8, 0.87, 0.93)
MATCH = (0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Sensitivity to one setting after another.")
    studies = parser.add_subparsers(dest="study", required=True)
    thresholds, masks, stride = (
        _add_online(studies, name) for name in ("thresholds", "masks", "stride")
    )
    thresholds.add_argument("--merge", nargs="+", type=float, default=MERGE)
    thresholds.add_argument("--match", nargs="+", type=float, default=MATCH)
    masks.add_argument("--kinds", nargs="+", default=["all"], choices=online.KINDS)
    masks.add_argument("--factors", nargs="+", type=float, default=(0, 0.5, 1, 2, 3))
    stride.add_argument("--strides", nargs="+", type=int, default=(1, 2, 4, 8))
    length = studies.add_parser("length")
    length.add_argument("--weights", type=Path, required=True, help="of the small CUT3R")
    length.add_argument("--rooms", type=int, default=8)
    length.add_argument("--lengths", nargs="+", type=int, default=(16, 32, 64, 128, 256, 512))
    length.add_argument("--reset-every", type=int, default=32)
    for study in (thresholds, masks, stride, length):
        study.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    enable_compilation_cache()
    points, over, about = {
        "thresholds": run_thresholds,
        "masks": run_masks,
        "stride": run_stride,
        "length": run_length,
    }[args.study](args)
    write_study(args.out, args.study, over, points, about)


def _add_online(studies, name: str) -> argparse.ArgumentParser:
    parser = studies.add_parser(name)
    add_data_flags(parser)
    parser.add_argument(
        "--checkpoints", nargs="+", default=["none"], help="files or workdirs, none: features only"
    )
    parser.add_argument("--fields", nargs="*", default=[], metavar="GROUP.FIELD=VALUE")
    return parser


def run_thresholds(args: argparse.Namespace) -> tuple[list[Point], str, str]:
    dataset = open_dataset(args)
    rooms = read_rooms(args, dataset)
    points = online.try_thresholds(rooms, cores_of(args, dataset), args.merge, args.match)
    return list(points), "threshold of matching", about_ap(args, len(rooms))


def run_masks(args: argparse.Namespace) -> tuple[list[Point], str, str]:
    dataset = open_dataset(args)
    recordings = [scene.recording or scene.ground_truth for scene in dataset.scenes]
    rooms = read_rooms(args, dataset)
    cores = cores_of(args, dataset)
    points = online.try_masks(rooms, recordings, cores, args.kinds, args.factors)
    return list(points), "times the default rates", about_ap(args, len(rooms))


def run_stride(args: argparse.Namespace) -> tuple[list[Point], str, str]:
    first = online.at_stride(args, args.strides[0])
    dataset = open_dataset(first)
    points = list(online.try_strides(args, cores_of(first, dataset), args.strides))
    return points, "stride", about_ap(args, len(dataset.scenes))


def run_length(args: argparse.Namespace) -> tuple[list[Point], str, str]:
    import torch

    from bridges.backbones.cut3r import Cut3r
    from bridges.backbones.cut3r.config import MINI
    from experiments.sensitivity.drift import try_lengths

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = Cut3r.from_checkpoint(args.weights, MINI, device)
    points = list(try_lengths(model, args.rooms, args.lengths, args.reset_every))
    return points, "frames", f"{args.weights.name} on {args.rooms} unseen rooms, 8 cm a frame."


def cores_of(args: argparse.Namespace, dataset: Dataset) -> dict[str, LoadedCore]:
    """By the names of their files, or workdirs."""
    info, words = info_of(args, dataset), [f"--config.{f}" for f in args.fields]
    return {Path(path).stem: core_for(path, info, words) for path in args.checkpoints}


def about_ap(args: argparse.Namespace, scenes: int) -> str:
    fields = f", {' '.join(args.fields)}" if args.fields else ""
    return (
        f"Protocol A, gt mode {args.gt_mode}, constant scores, nine thresholds, {scenes} scenes"
        f" pooled, caches {args.caches}{fields}."
    )


if __name__ == "__main__":
    run_script(main)
