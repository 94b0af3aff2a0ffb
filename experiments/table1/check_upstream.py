"""Compares every comparator with the public code it was written after, on one synthetic room.

python -m experiments.table1.check_upstream --upstream DIR [--methods NAME ...] [--golden FILE]

DIR holds clones (or snapshots) named OnlineAnySeg, SegmentAnything3D, MaskClustering and OVIR-3D.
Needs ``pip install open3d scikit-learn networkx pyyaml tqdm`` beside PyTorch; no GPU. Exit code 1
where a decision differs.
"""

import argparse
import hashlib
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.comparators.scene import TiledRoom

METHODS = ("onlineanyseg", "sam3d", "maskclustering", "ovir3d")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--golden", type=Path, help="JSON file to freeze their results in")
    args = parser.parse_args()
    golden, identical = {}, True
    for name in args.methods:
        check = importlib.import_module(f"experiments.table1.upstream.{name}")
        room = TiledRoom()
        mine = check.ours(room)
        given = (mine,) if name == "maskclustering" else ()
        other = check.theirs(room, args.upstream.resolve(), *given)
        compared = check.compare(mine, other)
        identical &= compared["identical"]
        print(name, json.dumps(compared), flush=True)
        golden[name] = fingerprint(check.decisions(other))
    if args.golden:
        lines = [f"{json.dumps(name)}: {json.dumps(found)}" for name, found in golden.items()]
        args.golden.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    sys.exit(0 if identical else 1)


def fingerprint(groups: list[Any]) -> dict[str, Any]:
    """Sizes of groups of integers, and a hash of all of them."""
    digest = hashlib.sha256()
    for group in groups:
        digest.update(np.asarray(group, "<i8").tobytes())
    return {"sizes": [len(g) for g in groups], "sha256": digest.hexdigest()}


if __name__ == "__main__":
    main()
