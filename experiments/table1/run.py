"""Table 1: ours and the comparators on the same caches and masks.

    python -m experiments.table1.run --caches CACHES --ground-truth DATA --out OUT \
        [--protocol=scannet200] [--imported EmbodiedSAM=MASKS]

All scenes are pooled. What a frame takes, and how that grows when the sequence is played several
times, is measured on the last cache. Leaves ``table.md``, ``table.json`` and a predictions folder
per row and scene in OUT.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comparators
from experiments.dataset import (
    add_data_flags,
    open_dataset,
    results_in,
    run_script,
    score,
    settings_of,
)
from experiments.table1.growth import measure_growth
from experiments.table1.table import format_table
from moonseg_cli.segment import segment_cache
from moonseg_jax.cache import CacheReader
from moonseg_jax.eval import Dataset, describe_dataset, place_of
from moonseg_jax.structs import InputError

OURS = {"ours": "ours, trained core", "features": "ours, features only"}
TITLES = OURS | {name: method.title for name, method in comparators.METHODS.items()}


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Ours and the comparators on the same caches.")
    add_data_flags(parser)
    parser.add_argument("--methods", nargs="*", default=list(TITLES), choices=TITLES)
    parser.add_argument("--checkpoint", help="of ours; default: the shipped weights that fit")
    parser.add_argument(
        "--imported",
        nargs="*",
        default=[],
        metavar="NAME=MASKS",
        help="a row of results as they are: root, or path with {scene}, of npz files with"
        " pred_masks and pred_score on the vertices",
    )
    parser.add_argument("--turns", type=int, default=4, help="rounds of the last cache")
    parser.add_argument("--clock", default="wall", choices=["wall", "cpu"])
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(words)

    dataset = open_dataset(args)
    table: dict[str, Any] = {"rows": {}, "turns": args.turns, "clock": args.clock}
    for name, results, title, costs in _runs(args, dataset):
        metrics = score(results, args)
        table.setdefault("dataset", describe_dataset(dataset, settings_of(args), metrics))
        table["rows"][name] = {"title": title, **costs, **metrics}
        (args.out / "table.md").write_text(format_table(table))
        (args.out / "table.json").write_text(json.dumps(table, indent=1) + "\n")
    print(format_table(table))


def title_of(method: str, predicted: bool) -> str:
    """What a method is called, "-M" on predicted geometry as in the paper."""
    return TITLES[method] + ("-M" if predicted and method not in OURS else "")


def _runs(
    args: argparse.Namespace, dataset: Dataset
) -> Iterator[tuple[str, Dataset, str, dict[str, float]]]:
    """Of one row after the other its name, its results, its title and what it costs."""
    args.out.mkdir(parents=True, exist_ok=True)
    imported = dict(_name_and_place(words) for words in args.imported)
    last = place_of(args.caches, dataset.scenes[-1].scene)
    predicted = CacheReader(last).info.geometry.name != "sensor"
    for method in args.methods:
        checkpoint = "none" if method == "features" else args.checkpoint
        for scene in dataset.scenes:
            cache = place_of(args.caches, scene.scene)
            segment(method, checkpoint, cache, args.out / method / scene.scene)
        costs = measure_growth(method, checkpoint, last, args.turns, args.clock)
        title = title_of(method, predicted)
        yield method, results_in(args.out / method, dataset), title, costs
    for name, place in imported.items():
        yield name, open_dataset(args, place), name, {}


def _name_and_place(words: str) -> tuple[str, str]:
    name, found, place = words.partition("=")
    if not found:
        raise InputError(f"--imported {words}: give NAME=MASKS, such as EmbodiedSAM=masks/")
    return name, place


def segment(method: str, checkpoint: str | None, cache: Path, result: Path) -> None:
    """Leaves a predictions folder."""
    if method in OURS:
        segment_cache(cache, result, checkpoint)
    else:
        comparators.segment_cache(method, cache, result)


if __name__ == "__main__":
    run_script(main)
