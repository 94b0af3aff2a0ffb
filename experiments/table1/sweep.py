"""AP of one comparator for several settings, to see whether the published ones suit our caches.

    python -m experiments.table1.sweep --method ovir3d --caches CACHE [CACHE ...] \
        --recordings REC [REC ...] --settings similarity=0.75,0.9 overlap=0.15,0.25

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
from moonseg_cli.eval import evaluate_results


def main() -> None:
    parser = argparse.ArgumentParser(description="AP of one comparator for several settings.")
    parser.add_argument("--method", required=True, choices=METHODS)
    parser.add_argument("--caches", nargs="+", type=Path, required=True)
    parser.add_argument("--recordings", nargs="+", type=Path, required=True)
    parser.add_argument("--settings", nargs="+", required=True, metavar="NAME=VALUE,VALUE")
    args = parser.parse_args()
    names, values = zip(*(setting.split("=") for setting in args.settings), strict=True)
    published = METHODS[args.method].published
    for chosen in [(), *itertools.product(*(map(json.loads, v.split(",")) for v in values))]:
        changed = dict(zip(names, chosen, strict=False))
        metrics = score(args.method, args.caches, args.recordings, replace(published, **changed))
        aps = " / ".join(f"{100 * metrics[name]:.1f}" for name in ("ap", "ap50", "ap25"))
        print(f"{aps}  {changed or 'published'}", flush=True)


def score(method: str, caches: list[Path], recordings: list[Path], config: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        results = [Path(folder) / f"{i:02d}" for i in range(len(caches))]
        for cache, result in zip(caches, results, strict=True):
            segment_cache(method, cache, result, config)
        return evaluate_results(results, recordings)


if __name__ == "__main__":
    main()
