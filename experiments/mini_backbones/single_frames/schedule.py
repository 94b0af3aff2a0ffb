"""What every training on single frames of rooms is determined by: the rooms, and the rate."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Rooms that a training sees, and how its rate goes; a recipe adds what it learns.

    Attributes:
        warmup: steps until the full learning rate.
        cooldown: last part of the training's time, in which the learning rate falls to zero and
            images are of the ``fine`` size.
        learning_rate, weight_decay: of AdamW; decay of matrices only.
        coarse, fine: ``(H, W)`` of images, multiples of 16.
        rooms: that are rendered at a time, each never again.
        groups, views: cameras of a room: so many groups of so many, each group looking at one
            thing. A step trains on one group of each room.
        repeats: steps on each group, with new crops and colours.
        seed: of the first room and of all else.
    """

    warmup: int = 500
    cooldown: float = 0.25
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    coarse: tuple[int, int] = (96, 128)
    fine: tuple[int, int] = (144, 192)
    rooms: int = 128
    groups: int = 4
    views: int = 4
    repeats: int = 4
    seed: int = 0

    @property
    def steps_per_chunk(self) -> int:
        """Steps between two renderings."""
        return self.groups * self.repeats

    def chunk_of(self, step: int) -> tuple[int, int]:
        """The rendering that a step trains on, and the group of cameras in it."""
        chunk, within = divmod(step, self.steps_per_chunk)
        return chunk, within % self.groups

    def frames_of(self, step: int) -> slice:
        """Those of each of its rendering's rooms that a step trains on."""
        _, group = self.chunk_of(step)
        return slice(group * self.views, (group + 1) * self.views)

    def cools(self, progress: float) -> bool:
        """Whether the cooldown has begun at some progress, from 0 to 1."""
        return progress >= 1 - self.cooldown

    def rate_of(self, step: int, progress: float) -> float:
        """Learning rate: a ramp, a plateau, and a straight way down to zero."""
        left = (1 - progress) / self.cooldown
        return self.learning_rate * min((step + 1) / self.warmup, left, 1.0)
