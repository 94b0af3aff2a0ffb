"""Our DINOv3 beside facebookresearch's own code: the same random weights, the same image.

    python experiments/bridges/dinov3_parity.py --upstream=DIR [--models dinov3_vits16 ...]

DIR is a checkout of github.com/facebookresearch/dinov3. The weights go through a file in their
names, read as a downloaded one would be. Prints one JSON object: for each model, image size and
dtype of ours, ``max |ours - theirs| / max |theirs|`` over the patch tokens, theirs in float32;
``folder`` is the same for float32 from a folder as the hub lays it out. ViT-H+ needs 9 GB.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from bridges.backbones.dinov3 import DinoV3

SIZES = ((384, 512), (288, 512))
DTYPES = (torch.float32, torch.bfloat16)
MODELS = (
    "dinov3_vits16",
    "dinov3_vits16plus",
    "dinov3_vitb16",
    "dinov3_vitl16",
    "dinov3_vith16plus",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upstream", required=True, metavar="DIR")
    parser.add_argument("--models", nargs="+", default=MODELS)
    args = parser.parse_args()
    sys.path.insert(0, args.upstream)
    errors = {}
    for model in args.models:
        errors[model] = compare(model)
        print(f"{model}: {errors[model]}", file=sys.stderr)
    print(json.dumps(errors, indent=2))


def compare(model: str) -> dict[str, float]:
    """Relative error of each dtype and image size."""
    from dinov3.hub import backbones

    torch.manual_seed(0)
    theirs = getattr(backbones, model)(pretrained=False).eval()
    scatter(theirs)
    images = [np.random.default_rng(1).integers(0, 256, (1, *s, 3), np.uint8) for s in SIZES]
    expected = [official_tokens(theirs, image) for image in images]
    errors = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(theirs.state_dict(), path)
        del theirs
        for dtype in DTYPES:
            ours = DinoV3(path, dtype=dtype)
            for image, tokens in zip(images, expected, strict=True):
                size = "x".join(map(str, image.shape[1:3]))
                name = f"{str(dtype).removeprefix('torch.')} {size}"
                errors[name] = relative_error(ours, image, tokens)
            if dtype == torch.float32:
                ours.model.save_pretrained(Path(folder) / "hub")
            del ours
        errors["folder"] = relative_error(DinoV3(Path(folder) / "hub"), images[0], expected[0])
    return errors


def relative_error(ours: DinoV3, images: np.ndarray, tokens: torch.Tensor) -> float:
    return float((ours.patch_tokens(images).float() - tokens).abs().max() / tokens.abs().max())


def scatter(model: torch.nn.Module) -> None:
    """Random values for everything learned.

    Their initial layer scale of 1e-5 and zero biases would hide what the blocks do.
    """
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):
            parameter.data.uniform_(0.1, 0.5)
        elif parameter.ndim == 1:
            parameter.data.normal_(1.0 if "norm" in name and "weight" in name else 0.0, 0.2)
        elif "token" in name:
            parameter.data.normal_(0.0, 0.5)


@torch.inference_mode()
def official_tokens(model: torch.nn.Module, images: np.ndarray) -> torch.Tensor:
    """Their patch tokens ``[b h w c]``, of pixels normalised as their README does."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    pixels = (images.astype(np.float32) / 255 - np.float32(mean)) / np.float32(std)
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    (tokens,) = model.get_intermediate_layers(batch, n=1, reshape=True)
    return tokens.permute(0, 2, 3, 1)


if __name__ == "__main__":
    main()
