"""2D masks of a frame: the interface, and label maps read from a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bridges.preprocess import ImageTransform
from bridges.sources import Source
from bridges.sources.files import list_files, open_image, same_shape
from moonseg_jax.structs import InputError, SourceFrame

MASK_STRIDE = 2
# Pillow's modes with one channel that holds ids; of a palette image the indices are the ids.
LABEL_MODES = {"1", "L", "P", "I", "I;16", "I;16B", "I;16L"}
NO_MASK = (0, 65535)  # 65535 is what -1 becomes in 16 bits.


@dataclass(frozen=True)
class Masks:
    """Masks of one frame.

    Attributes:
        masks: ``[q Hm Wm]`` bool at ``MASK_STRIDE``; q may be 0, no mask is empty.
        scores: ``[q]`` float32 in 0..1.
    """

    masks: np.ndarray
    scores: np.ndarray


class MaskSource(Protocol):
    """Whatever yields masks."""

    name: str

    @property
    def config(self) -> dict[str, Any]:
        """What defines the masks, for the cache's provenance."""
        ...

    def __call__(self, frame: SourceFrame, image: np.ndarray) -> Masks:
        """Finds the masks of a frame; ``image`` is the processed one, ``[H W 3]`` uint8."""
        ...


class LabelMapFolder:
    """One label map a frame: single-channel PNG, 8 or 16 bits, 0 or 65535 = no mask.

    Found by the frame's stem; else, where no stem fits and the folder has as many maps as the
    recording has frames, by position. Sampled with nearest neighbour by the image's transform;
    ids without a sample left (cropped away, or under two pixels wide) are no masks of the frame.
    Label maps carry no scores: all are 1.

    Raises:
        InputError: missing folder, no map for a frame, a map in colour or of another shape.
    """

    name = "label-maps"

    def __init__(self, path: Path, transform: ImageTransform, source: Source) -> None:
        files = list_files(path, {".png"}) if path.is_dir() else []
        if not files:
            raise InputError(
                f"{path} is not a folder of PNG files: give --masks=felzenszwalb, or a folder of"
                " label maps, one PNG a frame."
            )
        self.path = path
        self.transform = transform
        self._files = {file.stem: file for file in files}
        self.matched_by = "stem"
        if self._files.keys().isdisjoint(source.all_names) and len(files) == len(source.all_names):
            self._files = dict(zip(source.all_names, files, strict=True))
            self.matched_by = "position"
        missing = next((name for name in source.names if name not in self._files), None)
        if missing is not None:
            raise InputError(
                f"{path} has no label map for frame {missing}: write {missing}.png (all zero"
                " where the frame has no masks)."
            )

    @property
    def config(self) -> dict[str, Any]:
        """What defines the masks, for the cache's provenance."""
        return {"folder": str(self.path), "matched_by": self.matched_by}

    def __call__(self, frame: SourceFrame, image: np.ndarray) -> Masks:
        """Reads the masks of a frame."""
        labels = self._read(frame)
        rows, cols = self.transform.nearest(labels.shape, MASK_STRIDE)
        sampled = labels[rows[:, None], cols]
        ids = np.setdiff1d(sampled, NO_MASK)
        return Masks(sampled == ids[:, None, None], np.ones(len(ids), np.float32))

    def _read(self, frame: SourceFrame) -> np.ndarray:
        path = self._files[frame.name]
        image = open_image(path)
        if image.mode not in LABEL_MODES:
            raise InputError(
                f"{path} is a colour image (Pillow mode {image.mode}): write ids as a"
                " single-channel PNG of 8 or 16 bits, 0 = no mask."
            )
        labels = np.asarray(image).astype(np.int64)
        size = frame.image.shape
        if not same_shape(labels.shape, size):
            raise InputError(
                f"{path} is {labels.shape[1]}x{labels.shape[0]} and its image {size[1]}x{size[0]}:"
                " write label maps of the whole image, in its aspect ratio."
            )
        return labels
