"""Table 2: the ablation, on any scenes with caches and ground truth.

python -m experiments.table2.run --caches CACHES --ground-truth DATA --out OUT \
    --refinement W --distillation W --memory W

Rows whose weights are not given, or whose caches lack what they need, are left out and named.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from experiments.dataset import definition_below, open_dataset, run_script, settings_of
from experiments.table2.rows import ROWS, add_flags, run_row, why_not
from moonseg_jax.eval import bootstrap, describe_dataset, interval, pool_scores

APS = ("ap", "ap50", "ap25")
SAMPLES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_flags(parser)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--fields", type=Path, help="JSON by row, as experiments.table2.choose has")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    dataset, settings = open_dataset(args), settings_of(args)
    fields = json.loads(args.fields.read_text()) if args.fields else {}
    rows: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    before = None
    for row in (ROWS[name] for name in args.rows):
        reason = why_not(row, args, dataset)
        if reason:
            skipped[row.name] = reason
            print(f"{row.name:16} left out: {reason}", flush=True)
            continue
        own = fields.get(row.name, [])
        scores = run_row(row, args, dataset, own, args.out / row.folder)
        metrics = pool_scores(scores, settings)
        draws = bootstrap([score.overlaps for score in scores], samples=SAMPLES)
        record = {
            "row": row.name,
            "paper": row.paper,
            "checkpoint": scores[0].record["checkpoint"],
            "fields": [*row.fields, *own],
            "interval": {name: interval(draws[name]) for name in APS},
            "step": None if before is None else interval(draws["ap"] - before),
        }
        rows.append(record | metrics)
        before = draws["ap"]
        print(f"{row.name:16}" + "".join(f"{100 * metrics[m]:7.1f}" for m in APS), flush=True)
    table = {"rows": rows, "skipped": skipped}
    if rows:
        table["dataset"] = describe_dataset(dataset, settings, rows[-1])
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "table.json").write_text(json.dumps(table, indent=1) + "\n")
    (args.out / "table.md").write_text(markdown(table))
    print(f"\n{markdown(table)}")


def markdown(table: dict[str, Any]) -> str:
    """Rows with 95 % intervals over scenes, the paper's beside them, and their definition."""
    lines = [
        "| | AP | AP50 | AP25 | AP less the row above | paper, ScanNet200 |",
        "|---|---|---|---|---|---|",
    ]
    for above, row in zip([None, *table["rows"]], table["rows"], strict=False):
        cells = [f"{100 * row[m]:.1f} {_percent(row['interval'][m])}" for m in APS]
        less = f"{100 * (row['ap'] - above['ap']):+.1f} {_percent(row['step'])}" if above else ""
        paper = " / ".join(f"{ap:.1f}" for ap in row["paper"])
        lines.append(f"| {row['row']} | {' | '.join(cells)} | {less} | {paper} |")
    lines += [f"| {name} | left out: {why} |||||" for name, why in table["skipped"].items()]
    if table["rows"]:
        lines += definition_below(table["rows"], table["dataset"])
    return "\n".join(lines) + "\n"


def _percent(bounds: tuple[float, float]) -> str:
    return f"({100 * bounds[0]:.1f} … {100 * bounds[1]:.1f})"


if __name__ == "__main__":
    run_script(main)
