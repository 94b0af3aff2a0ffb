"""Chooses a row's thresholds of merging and matching on scenes that the table does not use.

python -m experiments.table2.choose --rows F2d F3d --caches CACHES --ground-truth ROOMS --out=FILE

First the one of merging, then that of matching, by pooled AP. FILE is what
`experiments.table2.run --fields=FILE` takes.
"""

import argparse
import json
import tempfile
from pathlib import Path

from experiments.dataset import open_dataset, run_script, settings_of
from experiments.table2.rows import ROWS, add_flags, run_row
from moonseg_jax.eval import pool_scores

TRIED = {
    "online.merge_threshold": (0.8, 0.84, 0.87, 0.9, 0.93, 0.96, 0.98, 0.99),
    "online.match_threshold": (1.4, 1.0, 1.2, 1.6, 1.8),  # The first one while merging is chosen.
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_flags(parser)
    parser.add_argument("--rows", nargs="+", required=True, choices=list(ROWS))
    parser.add_argument("--out", type=Path, required=True, help="JSON, fields by row")
    args = parser.parse_args()

    dataset = open_dataset(args)

    def ap_of(row: str, chosen: dict[str, float]) -> float:
        fields = [f"{field}={value}" for field, value in chosen.items()]
        with tempfile.TemporaryDirectory() as out:
            scores = run_row(ROWS[row], args, dataset, fields, Path(out))
        ap = pool_scores(scores, settings_of(args))["ap"]
        print(f"{row:16}{100 * ap:6.1f}  {' '.join(fields)}", flush=True)
        return ap

    best = {}
    for row in args.rows:
        chosen = {field: values[0] for field, values in TRIED.items()}
        for field, values in TRIED.items():
            found = {value: ap_of(row, chosen | {field: value}) for value in values}
            chosen[field] = max(found, key=found.__getitem__)
        best[row] = [f"{field}={value}" for field, value in chosen.items()]
    args.out.write_text(json.dumps(best, indent=1) + "\n")


if __name__ == "__main__":
    run_script(main)
