"""Table 1: ours and the comparators on the same caches and masks.

    python -m experiments.table1.run --caches CACHE [CACHE ...] --recordings REC [REC ...] --out OUT

For each cache the recording with its ground truth and measured poses. All scenes are pooled. What a
frame takes, and how that grows when the sequence is played several times, is measured on the last
cache. Leaves ``table.md``, ``table.json`` and a predictions folder per row and scene in OUT.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import comparators
from experiments.table1.growth import measure_growth
from moonseg_cli.eval import evaluate_results
from moonseg_cli.segment import segment_cache
from moonseg_jax.structs import InputError

OURS = {"ours": "ours, trained core", "features": "ours, features only"}
TITLES = OURS | {name: method.title for name, method in comparators.METHODS.items()}
HEADER = (
    "", "AP", "AP50", "AP25", "AP ranked", "ms/frame", "MB", "time ×{turns}", "MB ×{turns}"
)  # fmt: skip


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Ours and the comparators on the same caches.")
    parser.add_argument("--caches", nargs="+", type=Path, required=True)
    parser.add_argument("--recordings", nargs="+", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=list(TITLES), choices=TITLES)
    parser.add_argument("--checkpoint", help="of ours; default: the shipped weights that fit")
    parser.add_argument("--association", default="gt", choices=["gt", "sim3"])
    parser.add_argument("--gt-mode", default="onlineanyseg")
    parser.add_argument("--turns", type=int, default=4, help="rounds of the last cache")
    parser.add_argument("--clock", default="wall", choices=["wall", "cpu"])
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(words)
    if len(args.caches) != len(args.recordings):
        raise InputError(
            f"{len(args.caches)} caches and {len(args.recordings)} recordings: give one for each"
        )

    rows = {}
    for method in args.methods:
        checkpoint = "none" if method == "features" else args.checkpoint
        results = [args.out / f"{i:02d}_{method}" for i in range(len(args.caches))]
        for cache, result in zip(args.caches, results, strict=True):
            segment(method, checkpoint, cache, result)
        metrics = evaluate_results(
            results, args.recordings, association=args.association, gt_mode=args.gt_mode
        )
        costs = measure_growth(method, checkpoint, args.caches[-1], args.turns, args.clock)
        rows[method] = {"title": TITLES[method], **costs, **metrics}
        table = format_table(rows, args.turns, args.clock)
        (args.out / "table.md").write_text(table)
        (args.out / "table.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(table)


def segment(method: str, checkpoint: str | None, cache: Path, result: Path) -> None:
    """Leaves a predictions folder."""
    if method in OURS:
        segment_cache(cache, result, checkpoint)
    else:
        comparators.segment_cache(method, cache, result)


def format_table(rows: dict[str, dict[str, Any]], turns: int, clock: str) -> str:
    """Markdown, with what defines its numbers below."""
    head = [name.format(turns=turns) for name in HEADER]
    lines = [_line(head), _line(["---"] * len(head))]
    for row in rows.values():
        aps = [row["ap"], row["ap50"], row["ap25"], row["ranked"]["ap"]]
        numbers = ["-" if ap is None else f"{100 * ap:.1f}" for ap in aps]
        costs = [f"{row['ms_per_frame']:.1f}", f"{row['megabytes']:.1f}"]
        growth = [f"{row[name]:.2f}" for name in ("time_growth", "memory_growth")]
        lines.append(_line([row["title"], *numbers, *costs, *growth]))
    row = next(iter(rows.values()))
    lines += ["", (
        f"{len(row['scenes'])} scenes, protocol {row['protocol']}, gt mode {row['gt_mode']}, IoU "
        f"{row['thresholds'][0]:.2f}-{row['thresholds'][-1]:.2f} ({len(row['thresholds'])} "
        f"thresholds), constant scores but for the column that says otherwise; {clock} clock."
    )]  # fmt: skip
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
