"""How well the mini masks fit objects of unseen rooms, beside imitated masks and Felzenszwalb's.

python -m experiments.mini_backbones.evaluate_masks WEIGHTS.safetensors --out=FOLDER
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from bridges.backbones.felzenszwalb import FelzenszwalbMasks
from bridges.backbones.interfaces import Masks
from bridges.backbones.mini_masks import CONFIDENCE, MiniMasks
from bridges.preprocess import plan_transform
from experiments.mini_backbones.masks.judge import Find, from_labels, mask_sheet, measure
from experiments.mini_backbones.semantic.judge import SIZE, unseen
from moonseg_jax.rooms import CorruptionRates, corrupt_masks
from moonseg_jax.structs import SourceFrame

PICTURES = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of table and pictures")
    parser.add_argument("--rooms", type=int, default=16)
    parser.add_argument("--frames", type=int, default=16, help="of a room")
    parser.add_argument("--first-seed", type=int, default=0, help="of rooms; below 1,000,000")
    parser.add_argument("--confidence", type=float, default=CONFIDENCE, help="lowest score")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    model = MiniMasks.from_checkpoint(
        arguments.weights, arguments.device, confidence=arguments.confidence
    )
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.rooms)
    rooms = [unseen(seed, arguments.frames) for seed in seeds]
    judge(rooms, model, arguments.out)


def judge(rooms: list[tuple[np.ndarray, np.ndarray]], model: MiniMasks, out: Path) -> None:
    """Writes ``masks.json`` and ``masks.png``: truth, the network, imitations, Felzenszwalb."""
    out.mkdir(parents=True, exist_ok=True)
    frames = [frame for images, ids in rooms for frame in zip(images, ids, strict=True)]
    table = {}
    for name, find in sources(model).items():
        table[name] = measure(frames, find)
        print(name, {k: round(v, 3) for k, v in table[name].items()}, flush=True)
    (out / "masks.json").write_text(json.dumps(table, indent=1) + "\n")
    shown = frames[:: max(len(frames) // PICTURES, 1)][:PICTURES]
    mask_sheet(
        shown, {"truth": lambda _, ids: from_labels(ids), **sources(model)}, out / "masks.png"
    )


def sources(model: MiniMasks) -> dict[str, Find]:
    """What is compared; of images alone, but for the imitation."""
    classical = FelzenszwalbMasks(plan_transform(SIZE))
    rng = np.random.default_rng(0)

    def frame_of(image: np.ndarray) -> SourceFrame:
        return SourceFrame(name="", timestamp=0.0, image=image)

    def imitated(image: np.ndarray, ids: np.ndarray) -> Masks:
        return from_labels(corrupt_masks(ids, rng, CorruptionRates()))

    return {
        "mini": lambda image, ids: model(frame_of(image), image),
        "imitated": imitated,
        "felzenszwalb": lambda image, ids: classical(frame_of(image), image),
    }


if __name__ == "__main__":
    main()
