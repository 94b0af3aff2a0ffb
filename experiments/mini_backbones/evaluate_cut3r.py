"""Errors of the small CUT3R on unseen rooms: depth, points, poses; both update rules.

python -m experiments.mini_backbones.evaluate_cut3r RUN/weights.safetensors [--json]
"""

import argparse
import json
import os
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--rooms", type=int, default=24)
    parser.add_argument("--lengths", type=int, nargs="+", default=(32, 64, 128))
    parser.add_argument("--first-seed", type=int, default=500_000)
    parser.add_argument("--json", action="store_true", help="print one JSON list and no table")
    arguments = parser.parse_args()

    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import torch

    from bridges.backbones.cut3r import Cut3r
    from bridges.backbones.cut3r.config import MINI
    from experiments.mini_backbones.cut3r.evaluation import evaluate

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = Cut3r.from_checkpoint(arguments.weights, MINI, device)
    rows = evaluate(model, arguments.rooms, tuple(arguments.lengths), arguments.first_seed)
    if arguments.json:
        print(json.dumps(rows))
        return
    print("  ".join(f"{name:>13}" for name in rows[0]))
    for row in rows:
        cells = (f"{x:>13}" if isinstance(x, (str, int)) else f"{x:13.4f}" for x in row.values())
        print("  ".join(cells))


if __name__ == "__main__":
    main()
