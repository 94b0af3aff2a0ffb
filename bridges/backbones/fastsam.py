"""FastSAM: masks of everything in an image by one pass of a YOLOv8-seg network.

Our own network and post-processing; no package of its makers is needed. The published weights
(FastSAM-x.pt, FastSAM-s.pt), and the code they were trained with, are under AGPL-3.0.

Source: Zhao et al., "Fast Segment Anything", arXiv 2306.12156.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from bridges.backbones.batch_graphs import BatchGraphs
from bridges.backbones.interfaces import MASK_STRIDE, Masks
from bridges.backbones.mask_filters import box_iou, nms, to_masks
from bridges.backbones.module_pickle import read_module_tensors
from bridges.backbones.yolov8_seg import SIZES, STRIDES, YoloV8Seg, random_network
from bridges.checkpoints import tensors_sha256
from moonseg_jax.structs import InputError, SourceFrame

CANDIDATES = 4096  # The best of these are compared with each other.
MARGIN = 20.0  # Boxes that end this near to the network's image's border end at the border.
WHOLE = 0.9  # IoU with the image above which a box is the image.


class FastSam:
    """Masks of everything, overlaps kept.

    The processed image is resized until its long side is ``image_size``. At 512x384 and 1024 the
    network's masks then lie on the cache's grid and are taken as they are. A mask is what of its
    logits is positive inside its box; its score is the detection's.

    Args:
        weights: FastSAM's checkpoint, its tensors as ``.safetensors``, or a network.
        device: of the network.
        dtype: that the network computes in; boxes, scores and masks are float32.
        image_size: long side of the network's image, pixels.
        confidence: lowest score.
        iou: of boxes, above which the worse of two detections goes.
        min_area: pixels of the processed image; smaller masks are left out. 256 is what 400
            pixels of 640x480 are at 512x384.
        max_masks: of a frame; the best are kept.

    Attributes:
        dropped: detections beyond ``max_masks``, of all frames so far.
        weights_sha256: of the tensors; empty for a network.

    Raises:
        InputError: no weights, or not those of FastSAM.

    Source: the values of ``image_size``, ``confidence`` and ``iou``, and the rules for boxes
    near the border, are those of github.com/CASIA-IVA-Lab/FastSAM.
    """

    name = "fastsam"
    threaded = False

    def __init__(
        self,
        weights: str | Path | YoloV8Seg,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        image_size: int = 1024,
        confidence: float = 0.4,
        iou: float = 0.9,
        min_area: int = 256,
        max_masks: int = 128,
    ) -> None:
        if isinstance(weights, YoloV8Seg):
            network, self.weights_sha256 = weights, ""
        else:
            network, self.weights_sha256 = _load(Path(weights))
        self.size = network.size
        network = network.eval().requires_grad_(False).fuse().to(device, dtype)
        # PyTorch's stubs do not know this overload.
        self.network = network.to(memory_format=torch.channels_last)  # pyright: ignore
        self._detect = BatchGraphs(lambda image: self.network(image))
        self.device = torch.device(device)
        self.dtype = dtype
        self.image_size = image_size
        self.confidence = confidence
        self.iou = iou
        self.min_area = min_area
        self.max_masks = max_masks
        self.dropped = 0

    @classmethod
    def random(
        cls,
        size: str = "n",
        seed: int = 0,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        **options: Any,
    ) -> "FastSam":
        """An untrained network, for measuring and trying; ``size`` is one of `SIZES`."""
        return cls(random_network(size, seed), device, dtype, **options)

    @property
    def config(self) -> dict[str, Any]:
        """What defines the masks, for the cache's provenance."""
        names = ("size", "image_size", "confidence", "iou", "min_area", "max_masks")
        own = {name: getattr(self, name) for name in names}
        return own | {"dtype": str(self.dtype).removeprefix("torch.")}

    def __call__(self, frame: SourceFrame, image: np.ndarray) -> Masks:
        """Finds the masks of a frame; ``image`` is the processed one, ``[H W 3]`` uint8."""
        return self.batch(image[None])[0]

    @torch.inference_mode()
    def batch(self, images: np.ndarray) -> list[Masks]:
        """Finds the masks of many images of one size at once.

        Args:
            images: ``[b H W 3]`` uint8 RGB.
        """
        image = self.prepare(images)
        boxes, scores, coefficients, prototypes = self._detect(image)
        size = (image.shape[2], image.shape[3])
        grid = (images.shape[1] // MASK_STRIDE, images.shape[2] // MASK_STRIDE)
        masks = []
        for i in range(len(images)):
            best = self._best(boxes[i], scores[i])
            logits = torch.einsum("qc,chw->qhw", coefficients[i][best], prototypes[i]).float()
            found = _draw(logits, boxes[i][best], size, grid)
            masks.append(to_masks(found, scores[i][best], self.min_area))
        return masks

    def prepare(self, images: np.ndarray) -> Tensor:
        """Images ``[b H W 3]`` uint8 as the network takes them, sides multiples of 32."""
        scale = self.image_size / max(images.shape[1:3]) / STRIDES[-1]
        size = [max(round(side * scale), 1) * STRIDES[-1] for side in images.shape[1:3]]
        pixels = torch.tensor(images).to(self.device).permute(0, 3, 1, 2).to(self.dtype) / 255
        resized = interpolate(pixels, size, mode="bilinear")
        return resized.contiguous(memory_format=torch.channels_last)

    def _best(self, boxes: Tensor, scores: Tensor) -> Tensor:
        """Indices of the detections that stay, best first."""
        best = scores.topk(min(len(scores), CANDIDATES)).indices
        best = best[scores[best] > self.confidence]
        best = best[nms(boxes[best], scores[best], self.iou)]
        self.dropped += max(len(best) - self.max_masks, 0)
        return best[: self.max_masks]


def _load(path: Path) -> tuple[YoloV8Seg, str]:
    """The network with the weights in a file, and the SHA-256 of its tensors."""
    tensors = read_module_tensors(path)
    first = tensors.get("model.0.conv.weight")
    by_width = {scale.channels(64): size for size, scale in SIZES.items()}
    try:
        network = YoloV8Seg(by_width[0 if first is None else len(first)])
        network.load_state_dict(tensors)
    except (KeyError, RuntimeError) as error:
        raise InputError(
            f"{path} does not hold FastSAM's network (YOLOv8-seg with one class): give"
            " FastSAM-x.pt or FastSAM-s.pt."
        ) from error
    return network, tensors_sha256(tensors)


def _draw(logits: Tensor, boxes: Tensor, size: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Masks ``[q *grid]`` where logits ``[q h w]`` are positive inside ``boxes``.

    A cell is inside a box where its centre is.

    Args:
        logits: over the whole image.
        boxes: ``[q 4]``, pixels of an image of ``size``.
        size: ``(H, W)`` of the network's image.
        grid: ``(Hm, Wm)`` of the masks.
    """
    if logits.shape[1:] != grid:
        logits = interpolate(logits[:, None], grid, mode="bilinear")[:, 0]
    y, x = (
        (torch.arange(cells, device=boxes.device) + 0.5) * (pixels / cells)
        for cells, pixels in zip(grid, size, strict=True)
    )
    x0, y0, x1, y1 = _to_border(boxes, size)[:, :, None].unbind(1)
    in_rows, in_cols = (y >= y0) & (y < y1), (x >= x0) & (x < x1)
    return (logits > 0) & in_rows[:, :, None] & in_cols[:, None, :]


def _to_border(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes ``[q 4]`` that nearly reach the image's border reach it."""
    far = boxes.new_tensor((size[1], size[0]))
    low, high = boxes[:, :2], boxes[:, 2:]
    low = torch.where(low < MARGIN, 0.0, low)
    high = torch.where(high > far - MARGIN, far, high)
    boxes = torch.cat([low, high], 1)
    image = torch.cat([torch.zeros_like(far), far])
    return torch.where(box_iou(boxes, image[None]) > WHOLE, image, boxes)
