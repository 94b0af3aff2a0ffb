"""What becomes of AP when a threshold, the masks or the keyframes change."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import astuple, fields, replace
from itertools import product
from pathlib import Path

import numpy as np

from experiments.classical_core.separability import read_labels
from experiments.classical_core.thresholds import Room, score, with_thresholds
from experiments.dataset import open_dataset
from experiments.sensitivity.study import APS, Point
from experiments.table2.in_memory import read_rooms, sample_labels
from moonseg_jax import LoadedCore
from moonseg_jax.rooms import CorruptionRates, corrupt_masks
from moonseg_jax.structs import Frame, SceneInfo, pack_masks

STRIDE = "{stride}"
KINDS = ("all", *(field.name for field in fields(CorruptionRates)))


def try_thresholds(
    rooms: list[Room], cores: dict[str, LoadedCore], merge: Sequence[float], match: Sequence[float]
) -> Iterator[Point]:
    """A curve over the threshold of matching for each of merging."""
    for (name, core), low, high in product(cores.items(), merge, match):
        yield _point(f"{name}, merge {low:g}", high, rooms, with_thresholds(core, low, high))


def try_masks(
    rooms: list[Room],
    recordings: Sequence[Path],
    cores: dict[str, LoadedCore],
    kinds: Sequence[str],
    factors: Sequence[float],
) -> Iterator[Point]:
    """Curves over multiples of the corruptor's rates: of all errors, or of one without the others.

    Args:
        rooms: whose masks are replaced.
        recordings: of each, with ``instance/``.
        cores: by name.
        kinds: of `KINDS`.
        factors: multiples of the default rates.
    """
    for kind, factor in product(kinds, factors):
        rates = rates_of(kind, factor)
        worse = [
            with_masks(room, recording, rates, seed)
            for seed, (room, recording) in enumerate(zip(rooms, recordings, strict=True))
        ]
        for name, core in cores.items():
            yield _point(f"{name}, {kind}", factor, worse, core)


def try_strides(
    args: argparse.Namespace, cores: dict[str, LoadedCore], strides: Sequence[int]
) -> Iterator[Point]:
    """A curve over the keyframes' stride.

    Args:
        args: of `add_data_flags`; where the caches' path has ``{stride}``, each stride has its own.
        cores: by name.
        strides: in frames of the recording, or of the caches.
    """
    for stride in strides:
        there = at_stride(args, stride)
        rooms = read_rooms(there, open_dataset(there))
        if STRIDE not in args.caches:
            rooms = [every(room, stride) for room in rooms]
        for name, core in cores.items():
            yield _point(name, stride, rooms, core)


def at_stride(args: argparse.Namespace, stride: int) -> argparse.Namespace:
    """The flags with the caches of one stride."""
    return argparse.Namespace(**{**vars(args), "caches": args.caches.replace(STRIDE, str(stride))})


def rates_of(kind: str, factor: float) -> CorruptionRates:
    """The default rates times a factor; of one kind, all others are zero."""
    rates = CorruptionRates()
    scaled = (factor * value for value in astuple(rates))
    wanted = (kind in ("all", field.name) for field in fields(rates))
    return CorruptionRates(*(v if w else 0.0 for v, w in zip(scaled, wanted, strict=True)))


def with_masks(room: Room, recording: Path, rates: CorruptionRates, seed: int) -> Room:
    """The room with its recording's instances as a mask model might see them."""
    rng = np.random.default_rng(seed)
    frames = []
    for frame, name in zip(room.frames, room.info.frame_names, strict=True):
        labels = corrupt_masks(read_labels(recording, name), rng, rates)
        frames.append(with_labels(frame, labels, room.info))
    return replace(room, frames=frames)


def with_labels(frame: Frame, labels: np.ndarray, info: SceneInfo) -> Frame:
    """A frame with the masks of a label map of its source image."""
    sampled = sample_labels(labels, info)
    ids = np.setdiff1d(sampled, 0)
    planes = pack_masks(sampled == ids[:, None, None])
    valid = np.arange(32 * planes.shape[-1]) < len(ids)
    scores = valid.astype(np.float32)
    return replace(frame, masks=planes, mask_valid=valid, mask_scores=scores)


def every(room: Room, stride: int) -> Room:
    """The room seen in every so many of its frames."""
    kept = {index: new for new, index in enumerate(range(0, len(room.frames), stride))}
    views = [replace(v, index=kept[v.index]) for v in room.views if v.index in kept]
    names = room.info.frame_names[::stride]
    info = replace(room.info, frame_names=names, stride=room.info.stride * stride)
    return replace(room, info=info, frames=room.frames[::stride], views=views)


def _point(curve: str, x: float, rooms: list[Room], core: LoadedCore) -> Point:
    scores = score(rooms, core)
    point = Point(curve, x, {name: scores[name] for name in APS})
    point.say()
    return point
