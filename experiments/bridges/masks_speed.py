"""How long the mask models take for a frame: FastSAM and SAM 2, random weights, full size.

    python -m experiments.bridges.masks_speed [--models fastsam-x ...] [--json FILE]

A frame is everything from the processed image in memory to masks in memory; the network alone is
beside it. Each row runs in turn, warmed up (compiled, where it says so) before it is timed.
Untrained networks find nothing worth the name, so thresholds are set to let about ``CANDIDATES``
through and no two count as doubles: filtering and copying work at their limit of masks.
``tf32`` is float32 with TF32 in products and convolutions. ``--quick`` is for trying the script
on a CPU: tiny models, few frames, figures that mean nothing.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import transformers

from bridges.backbones.fastsam import FastSam
from bridges.backbones.sam2 import Sam2

CANDIDATES = 300
PRECISIONS = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
COLUMNS = ("model", "precision", "mode", "batch", "network", "network_p95", "frame", "frame_p95")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--frames", type=int, default=40, help="timed, of each row")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", metavar="FILE", help="also write the rows here")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    print(f"{device_name(args.device)}, torch {torch.__version__}, 512x384, milliseconds a frame")
    print(f"{'':12}{'':10}{'':10}{'':>6}{'network':>16}{'frame':>18}{'masks':>8}{'GiB':>6}")
    print(f"{'model':12}{'precision':10}{'mode':10}{'batch':>6}" + f"{'median':>9}{'p95':>9}" * 2)
    rows = []
    for model in args.models:
        for precision in args.precisions:
            for mode in args.modes:
                rows += measure(model, precision, mode, args)
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"device": device_name(args.device), "rows": rows}, file, indent=1)


def measure(model: str, precision: str, mode: str, args: argparse.Namespace) -> list[dict]:
    """Rows of one model in one precision and mode, one for each batch size."""
    high = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = high
    size = (96, 128) if args.quick else (384, 512)
    masker = MODELS[model](args.device, PRECISIONS[precision], args.quick)
    let_through(masker, picture(1, size))
    if mode == "compiled":
        compile_networks(masker)
    rows = []
    for batch in args.batches:
        if args.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()
        images = picture(batch, size)
        found = masker.batch(images)
        alone = timed(partial(run_network, masker, masker.prepare(images)), args, batch)
        whole = timed(partial(masker.batch, images), args, batch)
        row = {
            **dict(zip(COLUMNS, (model, precision, mode, batch, *alone, *whole), strict=True)),
            "masks": float(np.mean([len(masks.masks) for masks in found])),
            "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if on_gpu(args) else 0.0,
        }
        rows.append(row)
        print(
            f"{model:12}{precision:10}{mode:10}{batch:6}"
            + "".join(f"{row[name]:9.2f}" for name in COLUMNS[4:])
            + f"{row['masks']:8.0f}{row['peak_gib']:6.1f}",
            flush=True,
        )
    del masker
    gc.collect()
    torch._dynamo.reset()
    return rows


def timed(call: Callable[[], Any], args: argparse.Namespace, batch: int) -> tuple[float, float]:
    """Median and 95th percentile of the milliseconds that an image takes."""
    repeats = max(args.frames // batch, 3)
    seconds = []
    for i in range(3 + repeats):
        start = time.perf_counter()
        call()
        if on_gpu(args):
            torch.cuda.synchronize()
        if i >= 3:
            seconds.append((time.perf_counter() - start) / batch)
    return float(np.median(seconds)) * 1e3, float(np.percentile(seconds, 95)) * 1e3


def let_through(masker: FastSam | Sam2, image: np.ndarray) -> None:
    """Sets the threshold on scores so that about `CANDIDATES` of the image are above it."""
    seen = []
    module = masker.network if isinstance(masker, FastSam) else masker.model.mask_decoder
    hook = module.register_forward_hook(lambda *called: seen.append(called[2][1].flatten()))
    masker.batch(image)
    hook.remove()
    scores = torch.cat(seen).float().sort(descending=True).values
    threshold = float(scores[min(CANDIDATES, len(scores) - 1)])
    if isinstance(masker, FastSam):
        masker.confidence = threshold
    else:
        masker.predicted_iou = threshold


def picture(batch: int, size: tuple[int, int]) -> np.ndarray:
    """Images ``[batch *size 3]`` of blocks of colour."""
    blocks = np.random.default_rng(0).integers(0, 256, (batch, size[0] // 32, size[1] // 32, 3))
    return blocks.repeat(32, 1).repeat(32, 2).astype(np.uint8)


def fastsam(name: str, device: str, dtype: torch.dtype, quick: bool) -> FastSam:
    options = {"image_size": 256} if quick else {}
    return FastSam.random("n" if quick else name, 0, device, dtype, iou=1.0, min_area=0, **options)


def sam2(name: str, device: str, dtype: torch.dtype, quick: bool) -> Sam2:
    config = None if quick else sam2_config(name)
    options = {"points_per_side": 8} if quick else {}
    return Sam2.random(config, 0, device, dtype, box_iou=1.0, stability=0.0, min_area=0, **options)


def sam2_config(name: str) -> transformers.Sam2Config:
    """Sizes as in the configs that SAM 2's makers publish; the package's default is tiny's."""
    if name == "tiny":
        return transformers.Sam2Config()
    widths = [144, 288, 576, 1152]
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=144,
        num_attention_heads=2,
        blocks_per_stage=[2, 6, 36, 4],
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[2, 4, 8, 16],
        window_size_per_stage=[8, 4, 16, 8],
        global_attention_blocks=[23, 33, 43],
    )
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=widths[::-1]
    )
    return transformers.Sam2Config(vision_config=vision)


def compile_networks(masker: FastSam | Sam2) -> None:
    """With CUDA graphs where the outputs are used up before the next call."""
    if isinstance(masker, FastSam):
        masker.network = torch.compile(masker.network, mode="reduce-overhead")
    else:
        encoder, decoder = masker.model.vision_encoder, masker.model.mask_decoder
        masker.model.vision_encoder = torch.compile(encoder, mode="reduce-overhead")
        masker.model.mask_decoder = torch.compile(decoder)


@torch.inference_mode()
def run_network(masker: FastSam | Sam2, image: torch.Tensor) -> None:
    """The network alone; of SAM 2, its image encoder."""
    network = masker.network if isinstance(masker, FastSam) else masker.model.vision_encoder
    network(image)


def on_gpu(args: argparse.Namespace) -> bool:
    return args.device.startswith("cuda")


def device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"


MODELS = {
    "fastsam-x": partial(fastsam, "x"),
    "fastsam-s": partial(fastsam, "s"),
    "sam2-large": partial(sam2, "large"),
    "sam2-tiny": partial(sam2, "tiny"),
}
MODES = ("eager", "compiled")

if __name__ == "__main__":
    main()
