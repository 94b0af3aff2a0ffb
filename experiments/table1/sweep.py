"""AP of one comparator for several settings, to see whether the published ones suit our caches.

    python -m experiments.table1.sweep --method ovir3d --caches CACHES --ground-truth DATA \
        --settings similarity=0.75,0.9 overlap=0.15,0.25

Tries every combination, the published settings first.
"""

import argparse
import itertools
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from comparators import METHODS, segment_cache
from experiments.dataset import add_data_flags, open_dataset, results_in, run_script, score
from moonseg_jax.eval import place_of


def main() -> None:
    parser = argparse.ArgumentParser(description="AP of one comparator for several settings.")
    parser.add_argument("--method", required=True, choices=METHODS)
    add_data_flags(parser)
    parser.add_argument("--settings", nargs="+", required=True, metavar="NAME=VALUE,VALUE")
    args = parser.parse_args()
    names, values = zip(*(setting.split("=") for setting in args.settings), strict=True)
    published = METHODS[args.method].published
    for chosen in [(), *itertools.product(*(map(json.loads, v.split(",")) for v in values))]:
        changed = dict(zip(names, chosen, strict=False))
        metrics = try_out(args, replace(published, **changed))
        aps = " / ".join(f"{100 * metrics[name]:.1f}" for name in ("ap", "ap50", "ap25"))
        print(f"{aps}  {changed or 'published'}", flush=True)


def try_out(args: argparse.Namespace, config: Any) -> dict[str, Any]:
    dataset = open_dataset(args)
    with tempfile.TemporaryDirectory() as folder:
        for scene in dataset.scenes:
            cache = place_of(args.caches, scene.scene)
            segment_cache(args.method, cache, Path(folder) / scene.scene, config)
        return score(results_in(Path(folder), dataset), args)


if __name__ == "__main__":
    run_script(main)
