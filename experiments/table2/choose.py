"""Chooses a row's thresholds of merging and matching on scenes that the table does not use.

python -m experiments.table2.choose --rows F2d F3d --caches CACHES --ground-truth ROOMS --out=FILE

First the one of merging, then that of matching, by pooled AP (Protocol A), from those that the row
has; of several trainings by the mean. FILE is what `experiments.table2.run --fields=FILE` takes;
its other rows stay.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from experiments.classical_core.thresholds import score, with_thresholds
from experiments.dataset import open_dataset, run_script
from experiments.table2.in_memory import read_rooms
from experiments.table2.rows import ROWS, add_flags, core_of, info_of, weights_of, why_not
from moonseg_cli.runtime import enable_compilation_cache
from moonseg_jax.structs import InputError

MERGE = (0.5, 0.6, 0.7, 0.8, 0.84, 0.87, 0.9, 0.93, 0.96, 0.98, 0.99)
MATCH = (0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_flags(parser)
    parser.add_argument("--rows", nargs="+", required=True, choices=list(ROWS))
    parser.add_argument("--merge", nargs="+", type=float, default=MERGE)
    parser.add_argument("--match", nargs="+", type=float, default=MATCH)
    parser.add_argument("--out", type=Path, required=True, help="JSON, fields by row")
    args = parser.parse_args()

    enable_compilation_cache()
    dataset = open_dataset(args)
    info = info_of(args, dataset)
    for row in args.rows:
        if reason := why_not(ROWS[row], args, info):
            raise InputError(f"--rows '{row}': {reason}")
    rooms = read_rooms(args, dataset)
    best = json.loads(args.out.read_text()) if args.out.exists() else {}
    for row in args.rows:
        cores = [core_of(ROWS[row], w, info, []) for w in weights_of(ROWS[row], args)]

        def ap_of(merge: float, match: float, row=row, cores=cores) -> float:
            aps = [score(rooms, with_thresholds(core, merge, match))["ap"] for core in cores]
            print(f"{row:16}{merge:6.2f}{match:6.2f}{100 * np.mean(aps):7.1f}", flush=True)
            return float(np.mean(aps))

        start = cores[0].config.online.match_threshold
        merge = max(args.merge, key=lambda value: ap_of(value, start))
        match = max(args.match, key=lambda value: ap_of(merge, value))
        best[row] = [f"online.merge_threshold={merge}", f"online.match_threshold={match}"]
        args.out.write_text(json.dumps(best, indent=1) + "\n")


if __name__ == "__main__":
    run_script(main)
