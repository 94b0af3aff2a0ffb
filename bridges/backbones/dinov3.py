"""DINOv3 as the semantic encoder: patch tokens of a vision transformer, by `transformers`.

Siméoni et al., DINOv3, arXiv 2508.10104. Its weights come under the DINOv3 License and are gated.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from bridges.backbones.batch_graphs import BatchGraphs
from bridges.backbones.dinov3_official import is_official, official_config, rename_official
from bridges.backbones.hub_model import build_hub_model, import_transformers, read_hub_folder
from bridges.checkpoints import find_weights, read_tensors, tensors_sha256
from moonseg_jax.structs import InputError

NEEDED_BY = "--semantic=dinov3"
# Not dinov3_convnext, whose grid is another.
MODEL_TYPES = ("dinov3_vit",)
# ImageNet's mean and standard deviation of RGB in 0..1, which the web models were trained with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
# Width, hidden width of the feed-forward, layers, heads.
SIZES = {
    "small": (384, 1536, 12, 6),
    "base": (768, 3072, 12, 12),
    "large": (1024, 4096, 24, 16),
    "huge+": (1280, 5120, 32, 20),
}


class DinoV3:
    """Patch tokens after the last layer's norm; class and register tokens are dropped.

    Args:
        path_or_id: a hub folder, a hub id or name whose weights are on disk, or a ``.pth`` file
            as facebookresearch gives it out.
        device: of the model and of what it returns.
        dtype: that the model computes in; features are float16 always.

    Attributes:
        channels: c2, 1024 for ViT-L.
        weights_sha256: of the tensors in the hub's names, so the same for a folder and a file of
            the same weights; empty for random weights.

    Raises:
        InputError: no weights, not those of a DINOv3 ViT, or `transformers` is missing.
    """

    name = "dinov3"
    threaded = False

    def __init__(
        self,
        path_or_id: str | Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        transformers = import_transformers(NEEDED_BY)
        path = find_weights("dinov3", str(path_or_id))
        read = read_hub_folder(path, MODEL_TYPES) if path.is_dir() else _read_official(path)
        fields, tensors = read
        config = transformers.DINOv3ViTConfig(**fields)
        model = build_hub_model(transformers.DINOv3ViTModel, config, tensors, dtype, path)
        self._place(model, device)
        self.weights_sha256 = tensors_sha256(tensors)

    @classmethod
    def random(
        cls,
        size: str,
        seed: int = 0,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> "DinoV3":
        """An untrained model, for measuring and trying; ``size`` is one of `SIZES`."""
        transformers = import_transformers(NEEDED_BY)
        width, hidden, layers, heads = SIZES[size]
        gated = size.endswith("+")
        config = transformers.DINOv3ViTConfig(
            hidden_size=width,
            intermediate_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_register_tokens=4,
            use_gated_mlp=gated,
            hidden_act="silu" if gated else "gelu",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = transformers.DINOv3ViTModel(config)
        backbone = cls.__new__(cls)
        backbone._place(model.to(dtype), device)
        backbone.weights_sha256 = ""
        return backbone

    def _place(self, model: Any, device: str | torch.device) -> None:
        self.model = model.eval().requires_grad_(False).to(device)
        self.channels = int(model.config.hidden_size)
        shape = (1, 3, 1, 1)
        self._tokens = BatchGraphs(lambda pixels: (self.model(pixels).last_hidden_state,))
        self._mean = torch.tensor(MEAN, device=device).view(shape)
        self._std = torch.tensor(STD, device=device).view(shape)

    @property
    def config(self) -> dict[str, Any]:
        """What defines the numbers, for the cache's provenance."""
        names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
        sizes = {name: getattr(self.model.config, name) for name in names}
        return {**sizes, "dtype": str(self.model.dtype).removeprefix("torch.")}

    def __call__(self, image: np.ndarray) -> torch.Tensor:
        """Describes a processed image ``[H W 3]`` uint8 as ``[h w c]`` float16 on the device."""
        return self.batch(image[None])[0]

    def batch(self, images: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Describes many images of one size at once.

        Args:
            images: ``[b H W 3]`` uint8 RGB; H and W are multiples of 16.

        Returns:
            ``[b H/16 W/16 c]`` float16 on the device.
        """
        return self.patch_tokens(images).to(torch.float16)

    @torch.inference_mode()
    def patch_tokens(self, images: np.ndarray | torch.Tensor) -> torch.Tensor:
        """`batch`, in the dtype of the model."""
        if isinstance(images, np.ndarray):
            images = torch.tensor(images)
        pixels = images.to(self._mean.device, non_blocking=True).permute(0, 3, 1, 2)
        pixels = ((pixels / 255 - self._mean) / self._std).to(self.model.dtype)
        (tokens,) = self._tokens(pixels)
        patches = tokens[:, 1 + self.model.config.num_register_tokens :]
        side = self.model.config.patch_size
        b, height, width = images.shape[:3]
        return patches.reshape(b, height // side, width // side, -1)


def _read_official(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Config and tensors of a file in facebookresearch's names, whatever it is called."""
    tensors = read_tensors(path)
    if not is_official(tensors):
        raise InputError(
            f"{path} holds no DINOv3 ViT in facebookresearch's names: give their .pth file of a"
            " ViT, or a hub folder with config.json and model.safetensors."
        )
    return official_config(tensors), rename_official(tensors)
