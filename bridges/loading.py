"""The backbones of a config: what is heavy is loaded once for many scenes."""

import logging
from pathlib import Path
from typing import Any

from bridges.backbones.classical import ClassicalSemantics
from bridges.backbones.felzenszwalb import FelzenszwalbMasks
from bridges.backbones.interfaces import GeometrySource, MaskSource, Semantics
from bridges.backbones.masks import LabelMapFolder
from bridges.backbones.sensor import SensorGeometry
from bridges.checkpoints import find_weights, tensors_sha256
from bridges.config import MASK_MODELS, NEURAL, BridgeConfig
from bridges.preprocess import PATCH, ImageTransform, plan_transform
from bridges.sources import Source
from bridges.weights import MINI_CUT3R, MINI_MASKS, MINI_SEMANTIC, shipped
from moonseg_jax.structs import InputError, install

log = logging.getLogger(__name__)


class Backbones:
    """The models of a `BridgeConfig`, ready for any scene.

    Raises:
        InputError: weights or packages that are missing.
    """

    def __init__(self, config: BridgeConfig) -> None:
        self.config = config
        self._device, self._dtype = _placement(config)
        self._threads = _threads_of_torch() if config.neural else 0
        self.take_device()
        self._cut3r, self._cut3r_sha256 = self._load_cut3r()
        # By image size: capturing a step takes seconds, and memory.
        self._runners: dict[tuple[int, int], Any] = {}
        self.semantics: Semantics = self._load_semantics()
        self._mask_model = self._load_mask_model()

    def take_device(self) -> None:
        """Lets the calling thread compute as the one did that loaded the models.

        A GPU asked for by number becomes its own, for its streams and events. On a CPU it gets as
        many threads, which PyTorch keeps by thread: rounding hangs on their number.
        """
        if not self._threads and ":" not in self._device:
            return
        import torch

        if self._threads:
            torch.set_num_threads(self._threads)
        if ":" in self._device:
            torch.cuda.set_device(self._device)

    def transform(self, source: Source) -> ImageTransform:
        """From the source's image to the one that everything sees."""
        if self._cut3r is None:
            return plan_transform(source.image_size)
        from bridges.backbones.cut3r import plan_image

        return plan_image(source.image_size, self._cut3r.config)

    def geometry(self, source: Source, transform: ImageTransform) -> GeometrySource:
        """Geometry of one scene; InputError where the source lacks what it needs."""
        if self._cut3r is None:
            _check_sensor(source)
            return SensorGeometry(transform)
        from bridges.backbones.cut3r_geometry import Cut3rGeometry, Cut3rSettings, make_runner

        config, size = self.config, transform.image_size
        settings = Cut3rSettings(config.update_rule, config.resets, config.state_attention)
        if size not in self._runners:
            shrink = self._cut3r.config.shrink
            seen = size[0] // shrink, size[1] // shrink
            self._runners[size] = make_runner(self._cut3r, seen, settings)
        return Cut3rGeometry(self._runners[size], self._cut3r_sha256, settings, config.rfm)

    def masks(self, source: Source, transform: ImageTransform) -> MaskSource:
        """Masks of one scene; InputError where a folder of them does not fit the source."""
        if self._mask_model is not None:
            return self._mask_model
        if self.config.masks == "felzenszwalb":
            return FelzenszwalbMasks(transform)
        if not source.names:
            raise InputError(
                f"--masks={self.config.masks} is a folder, and the frames of {source.path} are not"
                f" known beforehand: use {' or '.join(MASK_MODELS)}."
            )
        return LabelMapFolder(Path(self.config.masks).expanduser(), transform, source)

    def _load_cut3r(self) -> tuple[Any, str]:
        if self.config.rfm not in NEURAL["rfm"]:
            return None, ""
        from bridges.backbones.cut3r import MINI, Cut3r, compile_blocks

        if self.config.rfm == "mini":
            model = Cut3r.from_checkpoint(shipped(MINI_CUT3R, self.config.rfm_weights), MINI)
        else:
            model = Cut3r.from_checkpoint(_weights("cut3r", self.config.rfm_weights))
        # Over the tensors, so that a downloaded file and what was converted from it are one.
        sha256 = tensors_sha256(model.state_dict())
        model = model.to(self._device).cast(self._dtype)
        # Of the small one a step is fast as captured; compiling would take longer than most scenes.
        if self._device != "cpu" and self.config.rfm == "cut3r":
            compile_blocks(model)
        return model, sha256

    def _load_semantics(self) -> Semantics:
        if self.config.semantic == "classical":
            return ClassicalSemantics()
        if self.config.semantic == "mini":
            from bridges.backbones.mini_vit import MiniSemantics

            path = shipped(MINI_SEMANTIC, self.config.semantic_weights)
            return MiniSemantics.from_checkpoint(path, self._device, self._dtype, cell=PATCH)
        from bridges.backbones.dinov3 import DinoV3

        path = _weights("dinov3", self.config.semantic_weights)
        return DinoV3(path, self._device, self._dtype)

    def _load_mask_model(self) -> MaskSource | None:
        if self.config.masks not in NEURAL["masks"]:
            return None
        if self.config.masks == "mini":
            from bridges.backbones.mini_masks import MiniMasks

            path = shipped(MINI_MASKS, self.config.mask_weights)
            return MiniMasks.from_checkpoint(path, self._device, self._dtype)
        path = _weights(self.config.masks, self.config.mask_weights)
        if self.config.masks == "fastsam":
            from bridges.backbones.fastsam import FastSam

            return FastSam(path, self._device, self._dtype)
        from bridges.backbones.sam2 import Sam2

        return Sam2(path, self._device, self._dtype)


def load_backbones(config: BridgeConfig) -> Backbones:
    """Loads what a config names, once for all scenes of a process."""
    return Backbones(config)


def _weights(kind: str, given: str) -> Path:
    """Finds weights and says so: loading them takes seconds."""
    path = find_weights(kind, given)
    log.info("loading %s from %s", kind, path)
    return path


def _placement(config: BridgeConfig) -> tuple[str, Any]:
    """The torch device and dtype; PyTorch is not asked for where nothing needs it."""
    if not config.neural:
        return "cpu", None
    try:
        import torch
    except ImportError:
        raise InputError(
            f"PyTorch is needed for {' and '.join(sorted(config.neural))}: {install('torch')}."
        ) from None
    device = _device(config.device, torch.cuda.device_count())
    dtype = config.dtype
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "bfloat16"
    return device, getattr(torch, dtype)


def _threads_of_torch() -> int:
    import torch

    return torch.get_num_threads()


def _device(name: str, gpus: int) -> str:
    """A device that is there, of those that PyTorch sees."""
    if name == "auto":
        return "cuda" if gpus else "cpu"
    there = ["cpu", *(["cuda"] if gpus else []), *(f"cuda:{index}" for index in range(gpus))]
    if name not in there:
        raise InputError(
            f"--device={name} is no device that PyTorch sees here: use auto or"
            f" {' or '.join(there)}; `moonseg doctor` says what was found."
        )
    return name


def _check_sensor(source: Source) -> None:
    if source.lacks:
        raise InputError(
            f"{source.path} has no {' and no '.join(source.lacks)}, and --rfm=sensor needs depth,"
            " poses and intrinsics: give a posed RGB-D folder (color/ depth/ pose/"
            " intrinsics.txt), a 7-Scenes folder, or --rfm=cut3r or --rfm=mini."
        )
