"""The Python API: what `import moonseg_jax` offers, and what the command line runs on."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jax
from flax import nnx
from ml_collections import ConfigDict

from moonseg_jax.config import default_config, features_only_config
from moonseg_jax.models import Core, FeatureCore, load_weights, split_core
from moonseg_jax.models.weights import WeightsInfo
from moonseg_jax.online import Instance, OnlineLoop, SceneResult, SegmentedScene
from moonseg_jax.structs import Frame, FrameResult, InputError, SceneInfo
from moonseg_jax.structs.arrays import for_jax
from moonseg_jax.weights import weights_for


class FrameSource(Protocol):
    """Frames and what they have in common: a `CacheReader`, or anything of this shape."""

    @property
    def info(self) -> SceneInfo:
        """Of the scene."""
        ...

    def frames(self) -> Iterable[Frame]:
        """In order."""
        ...


@dataclass(frozen=True)
class LoadedCore:
    """A core ready to run.

    Attributes:
        graphdef: structure, as `moonseg_jax.models.split_core` gives it.
        params: parameters, likewise.
        config: the settings that go with it; its fields may be changed before it is used.
        origin: the weights file, or ``none``.
    """

    graphdef: Any
    params: Any
    config: ConfigDict
    origin: str

    @property
    def module(self) -> Core | FeatureCore:
        """Structure and parameters in one."""
        return nnx.merge(self.graphdef, self.params)


Weights = str | Path | LoadedCore | None


def load_core(
    info: SceneInfo,
    weights: str | Path | None = None,
    change: Callable[[ConfigDict], ConfigDict] = lambda config: config,
) -> LoadedCore:
    """Finds the weights for a scene and the settings that go with them.

    Args:
        info: of the scene.
        weights: a training's workdir, a ``.safetensors`` file, or ``none`` for features only;
            None takes the shipped ones that fit the features.
        change: what to make of the settings that come with the weights.

    Raises:
        InputError: no such weights, or they were trained on another backbone's features, or by
            another version.
    """
    if str(weights) == "none":
        plain = features_only_config((info.geometry.name, info.semantics.name))
        config = change(plain)  # `model.sources` gives the core its shape.
        core = FeatureCore(config.model, info.geometry.channels, info.semantics.channels)
        return LoadedCore(*split_core(core), config, "none")
    path = weights_for(info) if weights is None else _weights_file(Path(weights))
    graphdef, params, told = load_weights(path)
    told.check_fits(info, f"scene {info.scene}")
    return LoadedCore(graphdef, params, change(_config_of(told, path)), str(path))


def _config_of(told: WeightsInfo, path: Path) -> ConfigDict:
    """The settings that the weights were trained with."""
    config = default_config()
    try:
        config.update(told.extra["recipe"])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path}: its settings are those of another version ({error.args[0]}): use the"
            " moonseg_jax that trained it, or a newer one."
        ) from error
    return config


class Segmenter:
    """Segments a scene while it is recorded.

    Args:
        info: of the scene: ``CacheReader(...).info``, or a bridge's.
        weights: as for `load_core`, or what it gave.
        voxel: side of the instances' and the cloud's voxels in scene units.
        keep_label_maps: some kilobytes a frame, for `scene`; without them the memory is bounded by
            the surface seen, however long it runs.

    Attributes:
        num_frames: segmented so far.

    Raises:
        InputError: no such weights, or they were trained on another backbone's features.
    """

    def __init__(
        self,
        info: SceneInfo,
        weights: Weights = None,
        *,
        voxel: float = 0.02,
        keep_label_maps: bool = True,
    ):
        core = weights if isinstance(weights, LoadedCore) else load_core(info, weights)
        self._info = info
        self._loop = OnlineLoop(core.graphdef, core.params, info, core.config)
        self._result = SceneResult(core.config, voxel, keep_label_maps=keep_label_maps)
        self.num_frames = 0

    def step(self, frame: Frame) -> FrameResult:
        """Segments the next frame and remembers it.

        Args:
            frame: as a cache or a bridge gives it.

        Returns:
            What became of its masks, on the host. Ids stay: the same object has the same id in
            every later frame, and ids are never joined.

        Raises:
            InputError: the frame is of another size or width than the scene.
        """
        _check_fits(frame, self._info, self.num_frames)
        frame = for_jax(frame)
        result = jax.device_get(self._loop.step(frame))
        self._result.add(frame, result)
        self.num_frames += 1
        return result

    def instances(self) -> list[Instance]:
        """The instances so far, with the ids of `step`.

        Those seen in ``online.min_observations`` frames (2 by default) or more. Labels the whole
        cloud: call it when an answer is needed, not with every frame.
        """
        return self.scene().instances(online_ids=True)

    def scene(self) -> SegmentedScene:
        """Everything so far; its ids are 1..n, without the gaps of those that did not stay."""
        return self._result.finish(self._loop.state)


def segment(frames: FrameSource, weights: Weights = None) -> SegmentedScene:
    """Segments a recording, as `moonseg segment` does.

    Args:
        frames: a `CacheReader`, or whatever else has ``info`` and ``frames()``.
        weights: as for `Segmenter`.

    Raises:
        InputError: no such weights, or ones that do not fit the frames; or a path instead of them.
    """
    if isinstance(frames, str | Path):
        raise InputError(f"{frames} is a path, not its frames: give CacheReader({str(frames)!r}).")
    segmenter = Segmenter(frames.info, weights)
    for frame in frames.frames():
        segmenter.step(frame)
    return segmenter.scene()


def _weights_file(weights: Path) -> Path:
    file = weights / "weights.safetensors" if weights.is_dir() else weights
    if not file.is_file():
        raise InputError(
            f"{file} does not exist: give the workdir of a training (of a sweep, one of its"
            " members/), a .safetensors file, or none for features only; without any, shipped"
            " weights are taken."
        )
    return file


def _check_fits(frame: Frame, info: SceneInfo, index: int) -> None:
    wanted = {
        "features_3d": (*info.grid, info.geometry.channels),
        "features_2d": (*info.grid, info.semantics.channels),
        "points": (*info.point_size, 3),
        "colors": (*info.point_size, 3),
        "masks": (*info.mask_size, frame.masks.shape[-1]),
    }
    if info.state_tokens:
        wanted["state_attention"] = (info.state_tokens, *info.grid)
    for name, shape in wanted.items():
        found = tuple(getattr(getattr(frame, name), "shape", ()))
        if found != shape:
            raise InputError(
                f"frame {index}: its {name} are {_text(found)}, and those of scene {info.scene}"
                f" {_text(shape)}: take frames and info from one and the same cache or bridge."
            )


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "missing"
