"""SAM 2's automatic masks: a grid of points asks for masks, the good and stable ones stay.

The network is that of `transformers`. SAM 2's code and weights are under Apache-2.0.

Source: Ravi et al., "SAM 2: Segment Anything in Images and Videos", arXiv 2408.00714; thresholds
and the order of the filters are those of github.com/facebookresearch/sam2.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from bridges.backbones.hub_model import build_hub_model, import_transformers, read_hub_folder
from bridges.backbones.interfaces import MASK_STRIDE, Masks
from bridges.backbones.mask_filters import boxes_of, nms, stability_score, to_masks
from bridges.backbones.sam2_tiny import tiny_config
from bridges.checkpoints import tensors_sha256
from moonseg_jax.structs import SourceFrame

NEEDED_BY = "--masks=sam2"
# The hub's folders hold the video model: the same and a memory, which images do not need.
MODEL_TYPES = ("sam2", "sam2_video")
# ImageNet's mean and standard deviation of RGB in 0..1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class Sam2:
    """Masks of everything, overlaps and parts of parts kept.

    The processed image is stretched to the network's square. Each point of a grid gives three
    masks (whole, part, subpart). Those stay whose predicted IoU and stability suffice; of two with
    nearly one box the better stays. Stability and boxes are those at the cache's resolution, not
    the source's. The score of a mask is its predicted IoU.

    Args:
        weights: a folder as the hub lays it out, such as sam2.1-hiera-large, or a model.
        device: of the network.
        dtype: that the network computes in; points are embedded, and masks judged, in float32.
        points_per_side: of the grid.
        points_per_batch: decoded at once.
        predicted_iou: lowest score.
        stability: lowest stability score, of logits 1 up and 1 down.
        box_iou: above which the worse of two masks goes.
        min_area: pixels of the processed image; smaller masks are left out. 256 is what 400
            pixels of 640x480 are at 512x384.
        max_masks: of a frame; the best are kept.

    Attributes:
        dropped: masks beyond ``max_masks``, of all frames so far.
        weights_sha256: of the tensors; empty for a model.

    Raises:
        InputError: no weights, not those of SAM 2, or `transformers` is missing.
    """

    name = "sam2"
    threaded = False

    def __init__(
        self,
        weights: str | Path | Any,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        points_per_side: int = 32,
        points_per_batch: int = 64,
        predicted_iou: float = 0.8,
        stability: float = 0.95,
        box_iou: float = 0.7,
        min_area: int = 256,
        max_masks: int = 128,
    ) -> None:
        if isinstance(weights, str | Path):
            model, self.weights_sha256 = _load(Path(weights), dtype)
        else:
            model, self.weights_sha256 = weights, ""
        self.dtype = dtype
        self.device = torch.device(device)
        self.points_per_side = points_per_side
        self.points_per_batch = points_per_batch
        self.predicted_iou = predicted_iou
        self.stability = stability
        self.box_iou = box_iou
        self.min_area = min_area
        self.max_masks = max_masks
        self.dropped = 0
        self.model = model.to(device, dtype).eval().requires_grad_(False)
        self._place_points()

    @classmethod
    def random(
        cls,
        model_config: Any = None,
        seed: int = 0,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        **options: Any,
    ) -> "Sam2":
        """An untrained model, for measuring and trying; a tiny one where no config is given."""
        transformers = import_transformers(NEEDED_BY)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = transformers.Sam2Model(model_config or tiny_config(transformers))
            for weight in model.parameters():
                if weight.ndim > 1:  # The package's own are so small that no mask is stable.
                    torch.nn.init.xavier_normal_(weight, gain=1.3)
        return cls(model, device, dtype, **options)

    @property
    def config(self) -> dict[str, Any]:
        """What defines the masks, for the cache's provenance."""
        names = ("points_per_side", "predicted_iou", "stability", "box_iou")
        own = {name: getattr(self, name) for name in (*names, "min_area", "max_masks")}
        backbone = self.model.config.vision_config.backbone_config
        own["image_size"] = self.model.config.prompt_encoder_config.image_size
        own["embed_dim_per_stage"] = list(backbone.embed_dim_per_stage)
        own["blocks_per_stage"] = list(backbone.blocks_per_stage)
        return own | {"dtype": str(self.dtype).removeprefix("torch.")}

    def __call__(self, frame: SourceFrame, image: np.ndarray) -> Masks:
        """Finds the masks of a frame; ``image`` is the processed one, ``[H W 3]`` uint8."""
        return self.batch(image[None])[0]

    @torch.inference_mode()
    def batch(self, images: np.ndarray) -> list[Masks]:
        """Finds the masks of images of one size; they are encoded at once.

        Args:
            images: ``[b H W 3]`` uint8 RGB.
        """
        grid = (images.shape[1] // MASK_STRIDE, images.shape[2] // MASK_STRIDE)
        features = self.model.get_image_embeddings(self.prepare(images))
        return [
            self._select([level[i : i + 1] for level in features], grid) for i in range(len(images))
        ]

    def prepare(self, images: np.ndarray) -> Tensor:
        """Images ``[b H W 3]`` uint8 as the network takes them: square, normalised."""
        side = self.model.config.prompt_encoder_config.image_size
        pixels = torch.tensor(images).to(self.device).permute(0, 3, 1, 2) / 255
        pixels = interpolate(pixels, (side, side), mode="bilinear", antialias=True)
        mean, std = (pixels.new_tensor(rgb).view(3, 1, 1) for rgb in (MEAN, STD))
        return ((pixels - mean) / std).to(self.dtype)

    def _place_points(self) -> None:
        """Embeds the grid of points: the same for every image."""
        model = self.model
        # The phase of these is too fine for 16 bits.
        model.shared_image_embedding.float()
        model.prompt_encoder.shared_embedding.float()
        side = model.config.prompt_encoder_config.image_size
        axis = (torch.arange(self.points_per_side, device=self.device) + 0.5) * (
            side / self.points_per_side
        )
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        points = torch.stack([x, y], -1).view(1, -1, 1, 2)
        labels = torch.ones(points.shape[:3], dtype=torch.int, device=self.device)
        with torch.inference_mode():
            self._sparse, self._dense = model.prompt_encoder(points, labels, None, None)
            self._positions = model.get_image_wide_positional_embeddings().to(self.dtype)

    def _select(self, features: list[Tensor], grid: tuple[int, int]) -> Masks:
        """Masks of one image, of which ``features`` are the levels."""
        parts = [
            self._good(points, features, grid)
            for points in self._sparse.split(self.points_per_batch, 1)
        ]
        masks, scores = (torch.cat(part) for part in zip(*parts, strict=True))
        boxes = boxes_of(masks)
        boxes[:, 2:] -= 1  # As SAM 2's, which end at the last pixel.
        best = nms(boxes, scores, self.box_iou)
        self.dropped += max(len(best) - self.max_masks, 0)
        best = best[: self.max_masks]
        return to_masks(masks[best], scores[best], self.min_area)

    def _good(
        self, points: Tensor, features: list[Tensor], grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Good and stable masks ``[n *grid]`` of embedded points, and their scores."""
        logits, scores, *_ = self.model.mask_decoder(
            image_embeddings=features[-1],
            image_positional_embeddings=self._positions,
            sparse_prompt_embeddings=points,
            dense_prompt_embeddings=self._dense,
            multimask_output=True,
            high_resolution_features=features[:-1],
        )
        logits, scores = logits.flatten(0, 2), scores.flatten().float()
        good = scores > self.predicted_iou
        logits = interpolate(logits[good][:, None].float(), grid, mode="bilinear")[:, 0]
        stable = stability_score(logits, 1.0) >= self.stability
        return logits[stable] > 0, scores[good][stable]


def _load(folder: Path, dtype: torch.dtype) -> tuple[Any, str]:
    """The model in a folder, and the SHA-256 of its tensors."""
    transformers = import_transformers(NEEDED_BY)
    config, tensors = read_hub_folder(folder, MODEL_TYPES)
    model_config = transformers.Sam2Config.from_dict(config | {"model_type": "sam2"})
    model = build_hub_model(transformers.Sam2Model, model_config, tensors, dtype, folder)
    return model, tensors_sha256(tensors)
