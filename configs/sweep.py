"""The classical default at four learning rates, with two seeds each, as one program.

moonseg sweep --config=configs/sweep.py --cache='rooms/*' --workdir=runs/sweep
"""

import runpy
from pathlib import Path


def get_config():
    return runpy.run_path(str(Path(__file__).with_name("classical.py")))["get_config"]()


def get_sweep():
    rates = (1e-4, 2e-4, 3e-4, 6e-4)
    return [{"seed": seed, "optimizer.learning_rate": rate} for rate in rates for seed in (0, 1)]
