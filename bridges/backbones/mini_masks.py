"""The mini mask model: masks of the objects in an image, by a network of a million parameters."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bridges.backbones.interfaces import MASK_STRIDE, Masks
from bridges.backbones.mask_filters import to_masks
from bridges.backbones.mini_mask_net import (
    COARSEST,
    WINDOW,
    MiniMaskConfig,
    MiniMaskNet,
    Told,
    mask_logits,
)
from bridges.checkpoints import read_tensors, tensors_sha256
from moonseg_jax.structs import InputError, SourceFrame

CONFIDENCE = 0.3  # Chosen on frames of rooms: experiments/mini_backbones/README.md.


class MiniMasks:
    """`MiniMaskNet` as the bridge asks for it; masks do not overlap.

    Cells are taken from the best score on. A mask that mostly lies on what better ones cover is a
    duplicate, or a part, and goes; a pixel that several of the others claim belongs to the
    greatest logit. The score of a mask is what the network expects its IoU to be.

    Args:
        model: the network; kept as it is, a copy is run.
        device: of the network.
        dtype: that the network computes in.
        image_size: long side of the image that the network sees, pixels; 512x384 is averaged
            down to 256x192.
        confidence: lowest score.
        fresh: least part of a mask that no better mask covers.
        min_area: pixels of the processed image; smaller masks are left out.

    Attributes:
        weights_sha256: of the tensors; empty for a network that came from no file.

    Source: the rule for overlaps after Kirillov et al., "Panoptic segmentation", 2019.
    """

    name = "mini"
    threaded = False

    def __init__(
        self,
        model: MiniMaskNet,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        image_size: int = 256,
        confidence: float = CONFIDENCE,
        fresh: float = 0.5,
        min_area: int = 64,
    ) -> None:
        own = MiniMaskNet(model.config)
        own.load_state_dict(model.state_dict())
        own = _fused(own.eval().requires_grad_(False)).to(device, dtype)
        self.model = own.to(memory_format=torch.channels_last)  # pyright: ignore
        self.device, self.dtype = torch.device(device), dtype
        self.image_size = image_size
        self.confidence = confidence
        self.fresh = fresh
        self.min_area = min_area
        self.weights_sha256 = ""

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        **options: Any,
    ) -> "MiniMasks":
        """Reads a ``.safetensors`` file; sizes are read off its tensors.

        Raises:
            InputError: no such file, or not the tensors of a `MiniMaskNet`.
        """
        tensors = read_tensors(path)
        wrong = f"{path} holds no mini mask network: give one that training wrote."
        try:
            model = MiniMaskNet(_config_of(tensors))
            model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        except (KeyError, RuntimeError) as error:
            raise InputError(wrong) from error
        masks = cls(model, device, dtype, **options)
        masks.weights_sha256 = tensors_sha256(tensors)
        return masks

    @property
    def config(self) -> dict[str, Any]:
        """What defines the masks, for the cache's provenance."""
        names = ("image_size", "confidence", "fresh", "min_area")
        own = {name: getattr(self, name) for name in names}
        dtype = str(self.dtype).removeprefix("torch.")
        return {**asdict(self.model.config), **own, "dtype": dtype}

    def __call__(self, frame: SourceFrame, image: np.ndarray) -> Masks:
        """Finds the masks of a frame; ``image`` is the processed one, ``[H W 3]`` uint8."""
        return self.batch(image[None])[0]

    @torch.inference_mode()
    def batch(self, images: np.ndarray) -> list[Masks]:
        """Finds the masks of many images of one size at once.

        Args:
            images: ``[b H W 3]`` uint8 RGB.
        """
        told = self.model(self.prepare(images))
        grid = (images.shape[1] // MASK_STRIDE, images.shape[2] // MASK_STRIDE)
        return [self._masks(Told(*(x[i] for x in told)), grid) for i in range(len(images))]

    def prepare(self, images: np.ndarray) -> Tensor:
        """Images ``[b H W 3]`` uint8 as the network takes them, sides multiples of 16."""
        scale = self.image_size / max(images.shape[1:3]) / COARSEST
        size = [max(round(side * scale), 1) * COARSEST for side in images.shape[1:3]]
        pixels = torch.tensor(images).to(self.device).permute(0, 3, 1, 2).float() / 255
        shrunk = F.interpolate(pixels, size, mode="area")
        return shrunk.to(self.dtype).contiguous(memory_format=torch.channels_last)

    def _masks(self, told: Told, grid: tuple[int, int]) -> Masks:
        """Masks of one image, of which ``told`` has no leading axis."""
        scores, kernels, features = told
        likely = scores.float().sigmoid().flatten()
        best = likely.argsort(descending=True)
        best = best[likely[best] > self.confidence]
        at = torch.stack([best // scores.shape[1], best % scores.shape[1]], dim=-1)
        logits = mask_logits(kernels.flatten(0, 1)[best][None], at[None], features[None])[0]
        kept = _apart(logits > 0, self.fresh)
        raised = F.interpolate(logits[kept][:, None], grid, mode="bilinear")[:, 0]
        return to_masks(_exclusive(raised), likely[best[kept]], self.min_area)


def _apart(masks: Tensor, fresh: float) -> Tensor:
    """Indices of ``masks [q h w]``, best first, that mostly lie where no better one does."""
    planes = masks.flatten(1).cpu().numpy()
    painted = np.zeros(planes.shape[1], bool)
    kept = []
    for i, plane in enumerate(planes):
        new = np.count_nonzero(plane & ~painted)
        if new and new >= fresh * np.count_nonzero(plane):
            kept.append(i)
            painted |= plane
    return torch.tensor(kept, dtype=torch.long, device=masks.device)


def _exclusive(logits: Tensor) -> Tensor:
    """Masks ``[q *grid]``: each pixel of the greatest of ``logits`` there, if positive."""
    if not len(logits):
        return logits > 0
    most, which = logits.max(dim=0)
    numbers = torch.arange(len(logits), device=logits.device)
    return (which == numbers[:, None, None]) & (most > 0)


def _fused(model: MiniMaskNet) -> MiniMaskNet:
    """Batch norms become part of the convolutions before them; in place."""
    for module in model.modules():
        if isinstance(module, nn.Sequential) and len(module) > 1:
            first, second = module[0], module[1]
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                module[0], module[1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return model


def _config_of(tensors: Mapping[str, Tensor]) -> MiniMaskConfig:
    """Sizes of the network that tensors belong to."""
    c2, c4, c8, c16 = (
        len(tensors[f"{name}.weight"]) for name in ("stem.0", "down4.0.0", "down8.0.0", "norm")
    )
    depth = sum(name.endswith(".qkv.weight") for name in tensors)
    return MiniMaskConfig((c2, c4, c8, c16), depth, len(tensors["kernel.weight"]) - WINDOW)
