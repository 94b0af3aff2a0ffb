"""2D masks of a frame, read from a folder of label maps."""

from pathlib import Path
from typing import Any

import numpy as np

from bridges.backbones.interfaces import MASK_STRIDE, Masks
from bridges.backbones.mask_manifest import read_manifest
from bridges.preprocess import ImageTransform
from bridges.sources import Source
from bridges.sources.files import list_files, open_image, same_shape
from moonseg_jax.structs import InputError, SourceFrame

# Pillow's modes with one channel that holds ids; of a palette image the indices are the ids.
LABEL_MODES = {"1", "L", "P", "I", "I;16", "I;16B", "I;16L"}
NO_MASK = (0, 65535)  # 65535 is what -1 becomes in 16 bits.


class LabelMapFolder:
    """One label map a frame: single-channel PNG, 8 or 16 bits, 0 or 65535 = no mask.

    Found by the frame's stem; else, where no stem fits and the folder has as many maps as the
    recording has frames, by position. Sampled with nearest neighbour by the image's transform;
    ids without a sample left (cropped away, or under two pixels wide) are no masks of the frame.
    Label maps carry no scores: all are 1 unless the folder's ``manifest.json`` says otherwise
    (`mask_manifest`).

    Raises:
        InputError: missing folder, no map for a frame, a map in colour or of another shape, a
            manifest that is wrong.
    """

    name = "label-maps"
    threaded = True
    weights_sha256 = ""

    def __init__(self, path: Path, transform: ImageTransform, source: Source) -> None:
        files = list_files(path, {".png"}) if path.is_dir() else []
        if not files:
            raise InputError(
                f"{path} is not a folder of PNG files: give --masks=felzenszwalb, fastsam, sam2 or"
                " mini, or a folder of label maps, one PNG a frame."
            )
        self.path = path
        self.transform = transform
        self.manifest = read_manifest(path)
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
        made = {"folder": str(self.path), "matched_by": self.matched_by}
        return made | self.manifest.provenance

    def __call__(self, frame: SourceFrame, image: np.ndarray) -> Masks:
        """Reads the masks of a frame."""
        path = self._files[frame.name]
        labels = _read_labels(path, frame.image.shape)
        rows, cols = self.transform.nearest(labels.shape, MASK_STRIDE)
        sampled = labels[rows[:, None], cols]
        ids = np.setdiff1d(sampled, NO_MASK)
        least = self.manifest.min_area
        if least:
            ids = ids[[np.count_nonzero(labels == i) >= least for i in ids]]
        return Masks(sampled == ids[:, None, None], self.manifest.scores_of(path, ids))


def _read_labels(path: Path, size: tuple[int, ...]) -> np.ndarray:
    """Ids ``[H W]`` int64 of the label map of an image of ``size``."""
    image = open_image(path)
    if image.mode not in LABEL_MODES:
        raise InputError(
            f"{path} is a colour image (Pillow mode {image.mode}): write ids as a"
            " single-channel PNG of 8 or 16 bits, 0 = no mask."
        )
    labels = np.asarray(image).astype(np.int64)
    if not same_shape(labels.shape, size):
        raise InputError(
            f"{path} is {labels.shape[1]}x{labels.shape[0]} and its image {size[1]}x{size[0]}:"
            " write label maps of the whole image, in its aspect ratio."
        )
    return labels
