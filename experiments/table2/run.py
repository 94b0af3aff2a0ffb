"""Table 2: the ablation, on any scenes with caches and ground truth.

python -m experiments.table2.run --caches CACHES --ground-truth DATA --out OUT \
    --refinement W [W ...] --distillation W [W ...] --memory W [W ...]

Several weights of a row are its trainings with other seeds. Rows whose weights are not given, or
whose caches lack what they need, are left out and named. The same command goes on where it ended.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.dataset import (
    definition_below,
    open_dataset,
    results_in,
    run_script,
    settings_of,
)
from experiments.table2.rows import ROWS, Row, add_flags, info_of, run_row, why_not
from experiments.table2.seeds import APS, draw_ap, mean_metrics
from moonseg_cli.runtime import enable_compilation_cache
from moonseg_cli.scoring import score_scenes
from moonseg_jax.eval import EvalSettings, SceneScore, describe_dataset, interval

Table = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_flags(parser)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--fields", type=Path, help="JSON by row, as experiments.table2.choose has")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    enable_compilation_cache()
    dataset = open_dataset(args)
    info = info_of(args, dataset)
    fields = json.loads(args.fields.read_text()) if args.fields else {}
    settings = {"": settings_of(args)}
    if info.poses == "predicted" and args.association == "gt":
        settings["aligned"] = replace(settings[""], association="sim3")
    skipped: dict[str, str] = {}
    tables: dict[str, Table] = {kind: {"rows": [], "skipped": skipped} for kind in settings}
    draws: dict[str, np.ndarray] = {}
    for row in (ROWS[name] for name in args.rows):
        if reason := why_not(row, args, info):
            skipped[row.name] = reason
            print(f"{row.name:16} left out: {reason}", flush=True)
            continue
        own = fields.get(row.name, [])
        places = run_row(row, args, dataset, own, args.out / row.folder)
        for kind, how in settings.items():
            results = [results_in(place, dataset).scenes for place in places]
            trainings = [list(score_scenes(scenes, how, args.workers)) for scenes in results]
            record, drawn = describe_row(row, own, trainings, how, draws.get(kind))
            tables[kind]["rows"].append(record)
            tables[kind]["dataset"] = describe_dataset(dataset, how, record)
            draws[kind] = drawn
            numbers = "".join(f"{100 * record[m]:7.1f}" for m in APS)
            print(f"{row.name:16}{numbers}  {kind}", flush=True)
    table = tables.pop("") | tables
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "table.json").write_text(json.dumps(table, indent=1) + "\n")
    (args.out / "table.md").write_text(markdown(table))
    print(f"\n{markdown(table)}")


def describe_row(
    row: Row,
    own: list[str],
    trainings: list[list[SceneScore]],
    settings: EvalSettings,
    above: np.ndarray | None,
) -> tuple[dict[str, Any], np.ndarray]:
    """Numbers of a row, with intervals over scenes and trainings; and the draws of its AP.

    Args:
        row: what was run.
        own: fields beyond the row's.
        trainings: of each the scores of all scenes.
        settings: how they were scored.
        above: draws of the row above.
    """
    draws = draw_ap(trainings)
    record = {
        "row": row.name,
        "paper": row.paper,
        "fields": [*row.fields, *own],
        "interval": {name: interval(draws[name]) for name in APS},
        "step": None if above is None else interval(draws["ap"] - above),
    }
    return record | mean_metrics(trainings, settings), draws["ap"]


def markdown(table: Table) -> str:
    """Rows with 95 % intervals, the paper's beside them, and their definition.

    Where poses were predicted, the same results after an alignment follow.
    """
    lines = _lines(table)
    if "aligned" in table:
        lines += ["", "The same results after a similarity between the cameras:", ""]
        lines += _lines(table["aligned"])
    return "\n".join(lines) + "\n"


def _lines(table: Table) -> list[str]:
    lines = [
        "| | AP | AP50 | AP25 | AP less the row above | paper, ScanNet200 |",
        "|---|---|---|---|---|---|",
    ]
    for above, row in zip([None, *table["rows"]], table["rows"], strict=False):
        cells = [f"{_mean(row, m)} {_percent(row['interval'][m])}" for m in APS]
        less = f"{100 * (row['ap'] - above['ap']):+.1f} {_percent(row['step'])}" if above else ""
        paper = " / ".join(f"{ap:.1f}" for ap in row["paper"])
        lines.append(f"| {row['row']} | {' | '.join(cells)} | {less} | {paper} |")
    lines += [f"| {name} | left out: {why} |||||" for name, why in table["skipped"].items()]
    if table["rows"]:
        lines += definition_below(table["rows"], table["dataset"])
        most = max(len(row["trainings"]) for row in table["rows"])
        if most > 1:
            lines.append(
                f"- ±: means of up to {most} trainings with other seeds, and their standard"
                " deviation; the intervals are over scenes and trainings"
            )
    return lines


def _mean(row: dict[str, Any], name: str) -> str:
    spread = f" ± {100 * row['deviation'][name]:.1f}" if len(row["trainings"]) > 1 else ""
    return f"{100 * row[name]:.1f}{spread}"


def _percent(bounds: tuple[float, float]) -> str:
    return f"({100 * bounds[0]:.1f} … {100 * bounds[1]:.1f})"


if __name__ == "__main__":
    run_script(main)
