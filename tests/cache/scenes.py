"""Small scenes of random frames, every corner case of the format among them."""

import numpy as np

from moonseg_jax.cache import CacheWriter
from moonseg_jax.structs import Backbone, Frame, SceneInfo


def make_info(scene="room", c3=6, c2=4, state_tokens=3, **changes) -> SceneInfo:
    fields = {
        "scene": scene,
        "image_size": (32, 48),
        "patch": 16,
        "point_stride": 8,
        "mask_stride": 4,
        "units": "metre",
        "poses": "sensor",
        "stride": 2,
        "geometry": Backbone("sensor", c3, {"window": 3, "scales": [1, 2]}, "", "0.1.0"),
        "semantics": Backbone("classical", c2, {}, "ab" * 32, "0.1.0"),
        "masks": Backbone("felzenszwalb"),
        "image_transform": (0.5, 0.5, 0.0, -1.5),
        "state_tokens": state_tokens,
        "source": "here",
    }
    return SceneInfo(**{**fields, **changes})


def make_frame(info: SceneInfo, seed: int, num_masks: int = 5, words: int | None = None) -> Frame:
    rng = np.random.default_rng(seed)
    words = max(1, -(-num_masks // 32)) if words is None else words

    def floats(shape, dtype):
        values = rng.normal(size=shape).astype(dtype)
        values[rng.random(shape) < 0.1] = np.nan
        return values

    valid = np.arange(words * 32) < num_masks
    planes = rng.integers(0, 2**32, (*info.mask_size, words), np.uint32)
    keep = np.packbits(valid, bitorder="little").view("<u4").astype(np.uint32)
    return Frame(
        features_3d=floats((*info.grid, info.geometry.channels), np.float16),
        features_2d=floats((*info.grid, info.semantics.channels), np.float16),
        state_attention=(
            floats((info.state_tokens, *info.grid), np.float16) if info.state_tokens else None
        ),
        points=floats((*info.point_size, 3), np.float32),
        confidence=floats(info.point_size, np.float32),
        colors=rng.integers(0, 256, (*info.point_size, 3), np.uint8),
        T_world_from_cam=rng.normal(size=(4, 4)).astype(np.float32),
        intrinsics=rng.normal(size=(3, 3)).astype(np.float32),
        masks=planes & keep,
        mask_valid=valid,
        mask_scores=np.where(valid, rng.random(words * 32), 0).astype(np.float32),
        timestamp=np.float64(0.1 * seed),
    )


def write_scene(path, info: SceneInfo, frames: list[Frame]) -> None:
    with CacheWriter(path, info) as writer:
        for i, frame in enumerate(frames):
            writer.append(f"{i:06d}", frame)


def random_scene(path, num_frames: int, info: SceneInfo | None = None, **frame) -> list[Frame]:
    info = make_info() if info is None else info
    frames = [make_frame(info, 100 * num_frames + i, **frame) for i in range(num_frames)]
    write_scene(path, info, frames)
    return frames


def widened(frame: Frame, words: int) -> Frame:
    """The frame with its masks padded to more words."""
    extra = words - frame.masks.shape[-1]
    return frame.replace(
        masks=np.pad(frame.masks, ((0, 0), (0, 0), (0, extra))),
        mask_valid=np.pad(frame.mask_valid, (0, 32 * extra)),
        mask_scores=np.pad(frame.mask_scores, (0, 32 * extra)),
    )


def same_bits(a: Frame, b: Frame) -> bool:
    """Whether two frames agree in every bit, NaN payloads included."""
    for name in a.__dataclass_fields__:
        x, y = getattr(a, name), getattr(b, name)
        if (x is None) != (y is None):
            return False
        if x is None:
            continue
        x, y = np.asarray(x), np.asarray(y)
        if x.dtype != y.dtype or x.shape != y.shape or x.tobytes() != y.tobytes():
            return False
    return True
