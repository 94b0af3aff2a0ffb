"""Ablation: refinement and distillation, no memory. Otherwise configs/mini.py."""

import runpy
from pathlib import Path


def get_config():
    config = runpy.run_path(str(Path(__file__).with_name("mini.py")))["get_config"]()
    config.model.context = False
    config.loss.xseg = 0.0
    return config
