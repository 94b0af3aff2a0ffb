"""Our SAM 2 masks beside facebookresearch's own code: the same random weights and images.

    python -m experiments.bridges.sam2_parity --upstream DIR [--models tiny large]

DIR is a checkout of github.com/facebookresearch/sam2; of its requirements, torch and pyyaml do
(`sam2_upstream`). The weights go through a folder as the hub lays it out. Prints one JSON object.
Of the network: ``max |ours - theirs| / max |theirs|`` of what the mask decoder takes and says for
every point. Of the masks left of them, and of drawn ones (see `drawn`): how many there are, how
many of ours have a counterpart equal in every pixel, how many a near one, and the smallest IoU
with the best one.
Thresholds are set so that each filter has something to do; suppression has it with drawn masks
alone, as an untrained network's reach over the whole image. Theirs is asked for masks on our grid;
``their grid`` is what it finds at the image's resolution, sampled on ours.
"""

import argparse
import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

from bridges.backbones.interfaces import MASK_STRIDE
from bridges.backbones.mask_filters import stability_score
from bridges.backbones.sam2 import Sam2
from experiments.bridges.masks_speed import picture, sam2_config
from experiments.bridges.sam2_upstream import build, rename, stand_in

SIZES = ((384, 512), (288, 512))
CONFIGS = {"tiny": "sam2.1_hiera_t.yaml", "large": "sam2.1_hiera_l.yaml"}
# What the mask decoder takes, ours and theirs.
INPUTS = {
    "image_embeddings": "image_embeddings",
    "high_resolution_features": "high_res_features",
    "image_positional_embeddings": "image_pe",
    "sparse_prompt_embeddings": "sparse_prompt_embeddings",
    "dense_prompt_embeddings": "dense_prompt_embeddings",
}
Calls = list[tuple[dict[str, Any], tuple[Tensor, ...]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upstream", type=Path, required=True, metavar="DIR")
    parser.add_argument("--models", nargs="+", choices=CONFIGS, default=["tiny"])
    parser.add_argument("--points", type=int, default=8, help="along a side")
    args = parser.parse_args()
    stand_in(args.upstream)
    rows = {}
    for model in args.models:
        rows[model] = compare(model, args.upstream, args.points)
    print(json.dumps(rows, indent=1))


def compare(model: str, upstream: Path, points: int) -> dict[str, Any]:
    """Of a model: its network and masks of each size of image, and drawn masks."""
    theirs = build(upstream / "sam2/configs/sam2.1" / CONFIGS[model])
    with tempfile.TemporaryDirectory() as folder:
        sam2_config(model).save_pretrained(folder)
        save_file(rename(theirs.state_dict()), Path(folder) / "model.safetensors")
        ours = Sam2(folder, points_per_side=points, box_iou=1.0, min_area=0, max_masks=10**6)
    rows: dict[str, Any] = {}
    for size in SIZES:
        rows["x".join(map(str, size))] = row = compare_image(ours, theirs, picture(1, size)[0])
        print(f"{model} {size}: {row}", file=sys.stderr)
    ours.box_iou = 0.7
    for decoder in (ours.model.mask_decoder, theirs.sam_mask_decoder):
        decoder.forward = Says(*drawn(points**2))
    drawn_rows = compare_image(ours, theirs, picture(1, SIZES[0])[0])
    return rows | {"drawn": {name: drawn_rows[name] for name in ("our grid", "their grid")}}


def compare_image(ours: Sam2, theirs: nn.Module, image: np.ndarray) -> dict[str, Any]:
    """Relative errors of what the decoder takes and says, and how alike the masks are."""
    generators = importlib.import_module("sam2.automatic_mask_generator")
    set_thresholds(ours, image)
    generator = generators.SAM2AutomaticMaskGenerator(
        theirs,
        points_per_side=ours.points_per_side,
        pred_iou_thresh=ours.predicted_iou,
        stability_score_thresh=ours.stability,
        box_nms_thresh=ours.box_iou,
    )
    at_theirs = masks_of(generator, image)[:, ::MASK_STRIDE, ::MASK_STRIDE]
    ask_for_our_grid(generator.predictor)
    our_calls, their_calls = record(ours.model.mask_decoder), record(theirs.sam_mask_decoder)
    found, at_ours = ours.batch(image[None])[0].masks, masks_of(generator, image)
    return {
        **differences(our_calls, their_calls),
        "our grid": agreement(found, at_ours),
        "their grid": agreement(found, at_theirs),
    }


def set_thresholds(ours: Sam2, image: np.ndarray) -> None:
    """Half of an image's masks get a good score, and half of these a stable one."""
    ours.predicted_iou, ours.stability = 0.0, 0.0
    calls = record(ours.model.mask_decoder)
    ours.batch(image[None])
    logits, scores = (torch.cat([out[i][0].flatten(0, 1) for _, out in calls]) for i in range(2))
    ours.predicted_iou = float(scores.quantile(0.5))
    grid = [side // MASK_STRIDE for side in image.shape[:2]]
    good = interpolate(logits[scores > ours.predicted_iou][:, None], grid, mode="bilinear")[:, 0]
    ours.stability = float(stability_score(good, 1.0).quantile(0.5))


def record(module: nn.Module) -> Calls:
    """What a module is asked from now on, and what it answers."""
    calls: Calls = []
    module._forward_hooks.clear()
    module.register_forward_hook(
        lambda _, args, named, out: calls.append((named, out)), with_kwargs=True
    )
    return calls


def ask_for_our_grid(predictor: Any) -> None:
    """Makes a predictor of theirs give masks at `MASK_STRIDE` of the image."""
    whole = predictor.set_image

    def set_image(image: np.ndarray) -> None:
        whole(image)
        predictor._orig_hw = [tuple(side // MASK_STRIDE for side in image.shape[:2])]

    predictor.set_image = set_image


def masks_of(generator: Any, image: np.ndarray) -> np.ndarray:
    """Theirs of an image, ``[q H W]`` bool."""
    return np.stack([record["segmentation"] for record in generator.generate(image)])


def differences(ours: Calls, theirs: Calls) -> dict[str, float]:
    """Relative error of each input and output, the worst of all points."""
    errors = {}
    for a_name, b_name in INPUTS.items():
        pairs = [(a[a_name], b[b_name]) for (a, _), (b, _) in zip(ours, theirs, strict=True)]
        if isinstance(pairs[0][0], list):
            pairs = [level for a, b in pairs for level in zip(a, b, strict=True)]
        errors[a_name] = max(relative(a, b) for a, b in pairs)
    for i, name in enumerate(("logits", "scores")):
        pairs = [(a[i], b[i]) for (_, a), (_, b) in zip(ours, theirs, strict=True)]
        errors[name] = max(relative(a, b) for a, b in pairs)
    return errors


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def agreement(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """How many masks, how many of ours theirs has too, exactly or nearly, and the worst match."""
    a, b = (torch.tensor(masks).flatten(1).float() for masks in (ours, theirs))
    shared = a @ b.T
    best = (shared / (a.sum(1)[:, None] + b.sum(1) - shared)).max(1).values
    return {
        "ours": len(a),
        "theirs": len(b),
        "equal": int((best == 1).sum()),
        "IoU > 0.95": int((best > 0.95).sum()),
        "least IoU": float(best.min()),
    }


def drawn(points: int) -> tuple[Tensor, Tensor]:
    """Logits ``[points 3 256 256]`` and scores ``[points 3]`` as a trained network might say.

    Ellipses of many sizes, soft and firm, many nearly the same.
    """
    generator = torch.Generator().manual_seed(0)
    x0, y0, rx, ry, slope, score = torch.rand(6, points, 3, 1, 1, generator=generator)
    y, x = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    x0, y0 = (256 * (4 * c).round() / 4 + 6 * c for c in (x0, y0))
    rx, ry = (4 + 60 * r for r in (rx, ry))
    inside = 1 - torch.sqrt(((x - x0) / rx) ** 2 + ((y - y0) / ry) ** 2)
    return inside * (4 + 80 * slope), score[..., 0, 0]


class Says:
    """What a mask decoder says, ready for as many points as it is asked about in turn."""

    def __init__(self, logits: Tensor, scores: Tensor) -> None:
        self.logits, self.scores, self.said = logits, scores, 0

    def __call__(self, sparse_prompt_embeddings: Tensor, **_: Any) -> tuple[Tensor, ...]:
        """Answers in the shape that it was asked in, ``[n ...]`` or ``[1 n ...]``."""
        batch = sparse_prompt_embeddings.shape[:-2]
        chosen = torch.arange(self.said, self.said + batch[-1]) % len(self.scores)
        self.said += batch[-1]
        logits, scores = (x[chosen].unflatten(0, batch) for x in (self.logits, self.scores))
        return logits, scores, torch.zeros(0), torch.zeros(0)


if __name__ == "__main__":
    main()
