"""facebookresearch's SAM 2 from a checkout, untrained, and its weights in the hub's names.

What their code imports and a machine may lack is replaced by stand-ins: `torchvision`'s resize,
normalisation and suppression are written out here, and a config is built without `hydra`.
"""

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.nn.functional import interpolate

from experiments.bridges.fastsam_parity import StandIn, greedy

STAND_INS = (
    "iopath",
    "iopath.common",
    "iopath.common.file_io",
    "torchvision",
    "torchvision.ops",
    "torchvision.ops.boxes",
    "torchvision.transforms",
)
USED = re.compile(r"image_encoder\.|sam_|no_mem_embed$")
# Of their names to the hub's, in this order.
RENAMED = (
    (r"^image_encoder\.trunk", "vision_encoder.backbone"),
    (r"^image_encoder\.neck\.convs\.(\d)\.conv", r"vision_encoder.neck.convs.\1"),
    (r"^sam_", ""),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"patch_embed\.proj\b", "patch_embed.projection"),
    (r"\.norm", ".layer_norm"),
    (r"\bout_proj\b", "o_proj"),
    (r"\bmlp\.layers\.0", "mlp.proj_in"),
    (r"\bmlp\.layers\.1", "mlp.proj_out"),
    (r"(head|mlps\.\d)\.layers\.0", r"\1.proj_in"),
    (r"(head|mlps\.\d)\.layers\.1", r"\1.layers.0"),
    (r"(head|mlps\.\d)\.layers\.2", r"\1.proj_out"),
    (r"output_upscaling\.0", "upscale_conv1"),
    (r"output_upscaling\.1", "upscale_layer_norm"),
    (r"output_upscaling\.3", "upscale_conv2"),
    (r"mask_downscaling\.0", "mask_embed.conv1"),
    (r"mask_downscaling\.1", "mask_embed.layer_norm1"),
    (r"mask_downscaling\.3", "mask_embed.conv2"),
    (r"mask_downscaling\.4", "mask_embed.layer_norm2"),
    (r"mask_downscaling\.6", "mask_embed.conv3"),
    (r"pe_layer\.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
)


class Resize(nn.Module):
    """`torchvision`'s."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, image: Tensor) -> Tensor:
        """Resizes one float image ``[3 H W]``."""
        return interpolate(image[None], self.size, mode="bilinear", antialias=True)[0]


class Normalize(nn.Module):
    """`torchvision`'s."""

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Normalises one float image ``[3 H W]``."""
        return (image - self.mean) / self.std


class ToTensor:
    """`torchvision`'s."""

    def __call__(self, image: np.ndarray) -> Tensor:
        """``[3 H W]`` in 0..1 of ``[H W 3]`` bytes."""
        return torch.tensor(image).permute(2, 0, 1) / 255


def batched_nms(boxes: Tensor, scores: Tensor, kinds: Tensor, iou_threshold: float) -> Tensor:
    """`torchvision`'s, where all are of one kind."""
    assert not kinds.any()
    return greedy(boxes, scores, iou_threshold).long()


def stand_in(upstream: Path) -> None:
    """Makes their code importable."""
    sys.modules |= {name: StandIn(name) for name in STAND_INS}
    vars(sys.modules["torchvision.ops.boxes"])["batched_nms"] = batched_nms
    transforms = {"Resize": Resize, "Normalize": Normalize, "ToTensor": ToTensor}
    vars(sys.modules["torchvision.transforms"]).update(transforms)
    # Of the package itself only the place: what it runs when imported is for `hydra`.
    package = ModuleType("sam2")
    package.__path__ = [str(upstream / "sam2")]
    sys.modules["sam2"] = package


def build(config: Path) -> nn.Module:
    """The model of a config of theirs, with random values for everything learned."""
    torch.manual_seed(0)
    model = instantiate(yaml.safe_load(config.read_text())["model"]).eval().requires_grad_(False)
    # Untrained, much is zero, and no mask is stable.
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.normal_(1.0 if "norm" in name and "weight" in name else 0.0, 0.2)
        elif "embed" in name and "proj" not in name:
            parameter.normal_(0.0, 0.5)
        else:
            nn.init.xavier_normal_(parameter, gain=1.3)
    return model


def instantiate(node: Any) -> Any:
    """What a part of a config stands for, as `hydra` has it."""
    if isinstance(node, list):
        return [instantiate(item) for item in node]
    if isinstance(node, dict):
        named = {name: instantiate(item) for name, item in node.items()}
        module, _, name = named.pop("_target_").rpartition(".")
        return getattr(importlib.import_module(module), name)(**named)
    # Of YAML's two versions, `yaml` reads the one where 1e-6 is a word.
    return float(node) if re.fullmatch(r"\de-\d", str(node)) else node


def rename(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors in the hub's names, without those of the video model alone."""
    renamed = {hub_name(name): tensors[name].clone() for name in tensors if USED.match(name)}
    points = [renamed.pop(f"prompt_encoder.point_embeddings.{i}.weight") for i in range(4)]
    renamed["prompt_encoder.point_embed.weight"] = torch.cat(points)
    shared = renamed["prompt_encoder.shared_embedding.positional_embedding"]
    return renamed | {"shared_image_embedding.positional_embedding": shared.clone()}


def hub_name(name: str) -> str:
    """What the hub calls a tensor of theirs."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name
