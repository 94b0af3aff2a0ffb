"""Our FastSAM beside the code in its makers' repository: the same random weights and images.

    git clone https://github.com/CASIA-IVA-Lab/FastSAM      # AGPL-3.0
    pip install opencv-python-headless matplotlib pandas psutil pyyaml requests tqdm "setuptools<81"
    python -m experiments.bridges.fastsam_parity --upstream FastSAM

Prints one JSON object. Of the network, with batch norms apart (as theirs is) and fused (as ours
runs): ``max |ours - theirs| / max |theirs|`` of each output. Of what follows it: how many masks
there are, and the smallest IoU of one of ours with its counterpart. Theirs is asked for masks on
our grid, and cuts them where a cell's centre leaves the box; it would do so at the cell's upper
left corner. What their code imports and does not need here, torchvision above all, is replaced by
stand-ins; its NMS by the greedy rule, written out.
"""

import argparse
import importlib
import importlib.machinery
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bridges.backbones.fastsam import FastSam
from bridges.backbones.mask_filters import box_iou
from bridges.backbones.yolov8_seg import YoloV8Seg, random_network

STAND_INS = (
    "torchvision",
    "torchvision.datasets",
    "torchvision.models",
    "torchvision.ops",
    "torchvision.ops.boxes",
    "torchvision.transforms",
    "torchvision.transforms.functional",
    "thop",
    "seaborn",
    "git",
)
OUTPUTS = ("boxes", "scores", "coefficients", "prototypes")


class StandIn(types.ModuleType):
    """A module of which any name can be imported."""

    __version__ = "0.16.0"
    __path__: list[str] = []  # noqa: RUF012

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {}) if name[0].isupper() else StandIn(name)

    def __call__(self, *arguments: Any, **named: Any) -> None:
        """Does nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upstream", type=Path, required=True, metavar="DIR")
    parser.add_argument("--sizes", nargs="+", default=["s", "x"])
    args = parser.parse_args()
    sys.path.insert(0, str(args.upstream))
    for name in STAND_INS:
        sys.modules[name] = StandIn(name)
        sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)
    sys.modules["torchvision"].ops = sys.modules["torchvision.ops"]  # type: ignore
    sys.modules["torchvision.ops"].nms = greedy  # type: ignore
    rows = {f"network {size}": compare_network(size) for size in args.sizes}
    rows |= {f"masks, seed {seed}": compare_masks(seed) for seed in range(3)}
    print(json.dumps(rows, indent=1))


def compare_network(size: str) -> dict[str, float]:
    """Relative errors of each output."""
    tasks = importlib.import_module("ultralytics.nn.tasks")
    theirs = tasks.SegmentationModel(f"yolov8{size}-seg.yaml", nc=1, verbose=False).eval()
    scatter(theirs)
    ours = YoloV8Seg(size).eval()
    ours.load_state_dict(theirs.state_dict())
    image = torch.rand(2, 3, 192, 256, generator=torch.Generator().manual_seed(0))
    errors = {}
    with torch.no_grad():
        said, (*_, prototypes) = theirs(image)
        low, high = said[:, :2] - said[:, 2:4] / 2, said[:, :2] + said[:, 2:4] / 2
        boxes = torch.cat([low, high], 1).transpose(1, 2)
        expected = (boxes, said[:, 4], said[:, 5:].transpose(1, 2), prototypes)
        for kind in ("apart", "fused"):
            found = ours(image) if kind == "apart" else ours.fuse()(image)
            for name, a, b in zip(OUTPUTS, found, expected, strict=True):
                errors[f"{name} {kind}"] = float((a - b).abs().max() / b.abs().max())
    return errors


def scatter(network: torch.nn.Module) -> None:
    """Random batch norms: those that a network starts with do nothing."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.2, generator=generator)


def compare_masks(seed: int) -> dict[str, float]:
    """Masks of an image out of the same outputs of the network."""
    masker = FastSam(random_network("s", seed), min_area=0, max_masks=300)
    blocks = np.random.default_rng(seed).integers(0, 256, (12, 16, 3))
    image = blocks.repeat(32, 0).repeat(32, 1).astype(np.uint8)
    with torch.inference_mode():
        boxes, scores, coefficients, prototypes = masker.network(masker.prepare(image[None]))
        masker.confidence = float(scores.quantile(0.985))
        center, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
        said = torch.cat([center, sides, scores[..., None], coefficients], 2).transpose(1, 2)
        theirs = their_masks(said, prototypes[0], masker)
        ours = torch.tensor(masker.batch(image[None])[0].masks)
    a, b = ours.flatten(1).float(), theirs.flatten(1).float()
    shared = a @ b.T
    iou = shared / (a.sum(1)[:, None] + b.sum(1) - shared)
    return {"ours": len(a), "theirs": len(b), "least IoU": float(iou.max(1).values.min())}


def their_masks(said: Tensor, prototypes: Tensor, masker: FastSam) -> Tensor:
    """What the repository's predictor does with a network's outputs, up to the masks."""
    ops = importlib.import_module("ultralytics.yolo.utils.ops")
    border = importlib.import_module("fastsam.utils")
    ops.crop_mask = crop_at_centres
    found = ops.non_max_suppression(said, masker.confidence, masker.iou, max_det=300, nc=1)[0]
    height, width = (4 * side for side in prototypes.shape[1:])
    whole = torch.tensor([0.0, 0.0, width, height])
    # Moves the boxes near the border, too.
    is_whole = border.bbox_iou(whole, found[:, :4], 0.9, image_shape=(height, width))
    found[is_whole, :4] = whole
    grid = tuple(prototypes.shape[1:])
    masks = ops.process_mask_native(prototypes, found[:, 6:], found[:, :4] / 4, grid).bool()
    return masks[masks.any(2).any(1)]


def crop_at_centres(masks: Tensor, boxes: Tensor) -> Tensor:
    y, x = (torch.arange(side) + 0.5 for side in masks.shape[1:])
    x0, y0, x1, y1 = boxes[:, :, None].unbind(1)
    in_rows, in_cols = (y >= y0) & (y < y1), (x >= x0) & (x < x1)
    return masks * in_rows[:, :, None] * in_cols[:, None, :]


def greedy(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    left, kept = scores.argsort(descending=True).tolist(), []
    while left:
        kept.append(left.pop(0))
        iou = box_iou(boxes[kept[-1:]], boxes[left])[0] if left else []
        left = [i for i, value in zip(left, iou, strict=True) if value <= threshold]
    return torch.tensor(kept)


if __name__ == "__main__":
    main()
