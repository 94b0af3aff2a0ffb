"""Ablation: refinement only (L_seg). Otherwise configs/mini_distillation.py."""

import runpy
from pathlib import Path


def get_config():
    file = Path(__file__).with_name("mini_distillation.py")
    config = runpy.run_path(str(file))["get_config"]()
    config.loss.dist = 0.0
    return config
