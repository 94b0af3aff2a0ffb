"""What a scene says about itself: sizes, units, and which backbones made its arrays."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Backbone:
    """Provenance of one kind of array.

    Attributes:
        name: as on the command line, e.g. ``sensor``, ``classical``, ``cut3r``.
        channels: feature channels (or state tokens); 0 where it has none.
        config: whatever defines the numbers, JSON-serialisable.
        weights_sha256: of the weights file; empty where there are none.
        code_version: of the code that ran it.
    """

    name: str
    channels: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""
    code_version: str = ""


@dataclass(frozen=True)
class SceneInfo:
    """Everything about a scene that is the same for all its frames.

    Attributes:
        scene: name.
        image_size: ``(H, W)`` of the processed image, multiples of ``patch``.
        patch: pixels per side of a patch; the patch grid is ``image_size / patch``.
        point_stride: pixels of the processed image per cell of the pointmap.
        mask_stride: the same of the masks.
        units: ``metre`` or ``scene`` (arbitrary scale).
        poses: ``sensor`` (measured, usable as ground truth) or ``predicted``.
        stride: every how many source frames one was taken.
        geometry: the backbone; its ``channels`` = c3.
        semantics: the backbone; its ``channels`` = c2.
        masks: the backbone.
        image_transform: ``(sx, sy, ox, oy)``: source pixel ``(u, v)`` lies at ``(sx·u + ox,
            sy·v + oy)`` in the processed image, pixel centres at +0.5 in both.
        state_tokens: ``s``; 0 where no state attention is stored.
        source: where the frames came from, for people.
        frame_names: source stem of each frame, in order.
        skipped: source stem and reason of each frame left out.
    """

    scene: str
    image_size: tuple[int, int]
    patch: int
    point_stride: int
    mask_stride: int
    units: str
    poses: str
    stride: int
    geometry: Backbone
    semantics: Backbone
    masks: Backbone
    image_transform: tuple[float, float, float, float] = (1.0, 1.0, 0.0, 0.0)
    state_tokens: int = 0
    source: str = ""
    frame_names: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def grid(self) -> tuple[int, int]:
        """``(h, w)`` of the patch grid."""
        return self.image_size[0] // self.patch, self.image_size[1] // self.patch

    @property
    def point_size(self) -> tuple[int, int]:
        """``(Hp, Wp)`` of the pointmap."""
        return self.image_size[0] // self.point_stride, self.image_size[1] // self.point_stride

    @property
    def mask_size(self) -> tuple[int, int]:
        """``(Hm, Wm)`` of the masks."""
        return self.image_size[0] // self.mask_stride, self.image_size[1] // self.mask_stride

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "SceneInfo":
        """The inverse of `dataclasses.asdict`, also after a trip through JSON."""
        backbones = {name: Backbone(**raw[name]) for name in ("geometry", "semantics", "masks")}
        tuples = {
            name: tuple(raw[name]) for name in ("image_size", "image_transform", "frame_names")
        }
        skipped = tuple((name, reason) for name, reason in raw["skipped"])
        return cls(**{**raw, **backbones, **tuples, "skipped": skipped})


class Recording(Protocol):
    """What a result is written with: a cache's reader, or what a live run kept of its frames."""

    @property
    def info(self) -> SceneInfo:
        """With the name of every frame."""
        ...

    @property
    def cache(self) -> Path | None:
        """The cache; None where there is none."""
        ...

    @property
    def cameras(self) -> tuple[np.ndarray, np.ndarray]:
        """``T_world_from_cam [t 4 4]`` and ``intrinsics [t 3 3]``."""
        ...

    def colors(self, index: int) -> np.ndarray:
        """``[Hp Wp 3]`` uint8 of a frame."""
        ...
