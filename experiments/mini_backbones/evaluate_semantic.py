"""How well the mini semantic features tell objects of unseen rooms apart; and pictures of them.

python -m experiments.mini_backbones.evaluate_semantic WEIGHTS.safetensors --out=FOLDER
"""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bridges.backbones.classical import ClassicalSemantics
from bridges.backbones.mini_vit import MiniSemantics, MiniVit
from experiments.mini_backbones.semantic.judge import pca_sheet, separability, shrink, unseen

VIEWS = {"128x96": (96, 128), "192x144": (144, 192), "256x192": (192, 256)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of table and pictures")
    parser.add_argument("--rooms", type=int, default=8)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    judge(arguments.weights, arguments.out, arguments.rooms, arguments.frames, arguments.device)


def judge(weights: Path, out: Path, rooms: int, frames: int, device: str) -> None:
    """Writes ``separability.json`` and ``pca_*.png``, beside classical and untrained features."""
    out.mkdir(parents=True, exist_ok=True)
    seen = [unseen(seed, frames) for seed in range(rooms)]
    trained = MiniSemantics.from_checkpoint(weights, device)
    torch.manual_seed(0)
    untrained = MiniSemantics(MiniVit(trained.model.config), device)
    describers = {"classical 512x384": ClassicalSemantics()}
    for name, encoder in {"mini": trained, "untrained": untrained}.items():
        describers |= {
            f"{name} {label}": partial(_describe, encoder, size) for label, size in VIEWS.items()
        }
    pictures = seen[0][0][:: max(frames // 6, 1)][:6]
    table = {}
    for name, describe in describers.items():
        table[name] = separability(seen, describe)
        print(name, table[name], flush=True)
        pca_sheet(pictures, describe, out / f"pca_{name.replace(' ', '_')}.png")
    (out / "separability.json").write_text(json.dumps(table, indent=1) + "\n")


def _describe(encoder: MiniSemantics, size: tuple[int, int], image: np.ndarray) -> np.ndarray:
    return encoder(shrink(image, size)).cpu().numpy()


if __name__ == "__main__":
    main()
