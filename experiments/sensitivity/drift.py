"""How the errors of the recurrent reconstruction grow with the sequence, by the rule of its state.

Rooms, paces and errors are those of `experiments.mini_backbones.evaluate_cut3r`.
"""

from collections.abc import Iterator, Sequence

import torch

from bridges.backbones.cut3r import Cut3r, UpdateRule
from experiments.mini_backbones.cut3r.batches import Batch, relative_poses
from experiments.mini_backbones.cut3r.clips import Clip
from experiments.mini_backbones.cut3r.evaluation import (
    FIRST_SEED,
    RULES,
    as_batch,
    measure,
    predict,
    unseen_rooms,
)
from experiments.sensitivity.study import Point

PIECE = 32  # Frames that are rendered at once.


def try_lengths(
    model: Cut3r, rooms: int, lengths: Sequence[int], reset_every: int, first: int = FIRST_SEED
) -> Iterator[Point]:
    """A curve for each rule, and one for CUT3R's whose state begins anew every so many frames.

    Args:
        model: on its device.
        rooms: unseen ones.
        lengths: in frames.
        reset_every: in frames; the poses go on from one part to the next.
        first: seed of the rooms.
    """
    true = long_batch(unseen_rooms(rooms, max(lengths), first), model.initial_tokens.device)
    rules: dict[str, tuple[UpdateRule, int]] = {rule: (rule, 0) for rule in RULES}
    rules[f"cut3r, reset every {reset_every}"] = ("cut3r", reset_every)
    for name, (rule, reset) in rules.items():
        predicted = predict(model, true.images, rule, reset)
        for length in lengths:
            point = Point(name, length, measure(predicted, true, length))
            point.say()
            yield point


def long_batch(clips: Clip, device: torch.device) -> Batch:
    """Whole clips as sequences, rendered piece by piece."""
    starts = range(0, clips.poses.shape[1], PIECE)
    pieces = [
        as_batch(clips._replace(poses=clips.poses[:, start : start + PIECE]), device)
        for start in starts
    ]
    images, depth = (torch.cat([getattr(p, name) for p in pieces]) for name in ("images", "depth"))
    T = relative_poses(torch.from_numpy(clips.poses).to(device).movedim(1, 0))
    return Batch(images, depth, T, pieces[0].intrinsics)
