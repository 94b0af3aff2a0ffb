"""What a converted checkpoint holds."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from bridges.backbones.cut3r.checkpoint import check_tensors, find_config, published_shapes
from bridges.backbones.cut3r.config import Cut3rConfig
from bridges.backbones.cut3r.model import Cut3r


def needed_tensors(
    tensors: Mapping[str, Tensor], path: str | Path, variant: str | Cut3rConfig | None = None
) -> tuple[dict[str, Tensor], Cut3rConfig]:
    """What of a published checkpoint the model needs, under the published names.

    Args:
        tensors: of the checkpoint.
        path: it came from, for errors.
        variant: as in `Cut3r.from_checkpoint`.

    Returns:
        The tensors, and the sizes they fit.

    Raises:
        InputError: missing, surplus or misshapen tensors.
    """
    config = find_config(tensors, variant, path)
    with torch.device("meta"):
        shapes = published_shapes(Cut3r(config), config.head)
    return check_tensors(tensors, shapes, config, path), config
