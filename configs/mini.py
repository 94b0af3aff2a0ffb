"""The small backbones' features, RGB alone: the whole method.

    moonseg train --config=configs/mini.py --cache='rooms/*' --workdir=runs/mini

experiments/mini_core/README.md says how the rooms are made. Otherwise configs/classical.py.
"""

import runpy
from pathlib import Path


def get_config():
    config = runpy.run_path(str(Path(__file__).with_name("classical.py")))["get_config"]()
    # The state term is left out: with it AP falls (experiments/mini_core). Of half of the way.
    config.online.terms = "query,view"
    config.online.merge_threshold = 0.85
    config.online.match_threshold = 1.0
    return config
