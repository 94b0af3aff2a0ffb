"""The trained rows of the ablation, three seeds each, as one program that shares every batch.

moonseg sweep --config=experiments/mini_core/rows.py --cache='caches/*' --workdir=runs/rows

Members 0-2 are the whole method (configs/mini.py), 3-5 are without memory
(configs/mini_distillation.py) and 6-8 refinement only (configs/mini_refinement.py).
"""

import runpy
from pathlib import Path

CONFIGS = Path(__file__).parents[2] / "configs"
SEEDS = (0, 1, 2)
WITHOUT_MEMORY = {"model.context": False, "loss.xseg": 0.0}
ROWS = ({}, WITHOUT_MEMORY, {**WITHOUT_MEMORY, "loss.dist": 0.0})


def get_config():
    return runpy.run_path(str(CONFIGS / "mini.py"))["get_config"]()


def get_sweep():
    return [{"seed": seed, **row} for row in ROWS for seed in SEEDS]
