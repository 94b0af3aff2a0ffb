"""Ablation: refinement and distillation, no memory. Otherwise configs/classical.py."""

import runpy
from pathlib import Path


def get_config():
    config = runpy.run_path(str(Path(__file__).with_name("classical.py")))["get_config"]()
    config.model.context = False
    config.loss.xseg = 0.0
    config.online.merge_threshold = 0.85
    config.online.match_threshold = 1.2
    return config
