"""Everything that a training run is determined by."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """One training run.

    Attributes:
        width, depth: of the network (`MiniVitConfig`).
        head: hidden and output channels of the projection that the loss sees, not shipped.
        warmup: steps until the full learning rate.
        cooldown: last part of the training's time, in which the learning rate falls to zero and
            images are of the ``fine`` size.
        learning_rate, weight_decay: of AdamW; decay of matrices only.
        momentum: of the teacher, an exponential mean of the student.
        coarse, fine: ``(H, W)`` of images, multiples of 16.
        rooms: that are rendered at a time, each never again.
        groups, views: cameras of a room: so many groups of so many, each group looking at one
            thing. A step trains on one group of each room.
        repeats: steps on each group, with new crops and colours.
        geometry: whether positives are patches that show one point of the room, by depth and
            pose, or one point of one picture (the plain self-supervised variant; ``views`` is 1).
        queries: patches of a room's views that enter the loss of a step.
        others: patches of other rooms that each query is told from.
        apart: metres from which patches of one room count as different; nearer ones, unless they
            show the same point, do not count.
        temperature: of the softmax.
        crop: least side of a student's crop, in sides of the frame.
        hide: greatest part of a student's patches that is hidden from it.
        seed: of the first room and of all else.
    """

    width: int = 192
    depth: int = 8
    head: tuple[int, int] = (384, 128)
    warmup: int = 500
    cooldown: float = 0.25
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    momentum: float = 0.996
    coarse: tuple[int, int] = (96, 128)
    fine: tuple[int, int] = (144, 192)
    rooms: int = 128
    groups: int = 4
    views: int = 4
    repeats: int = 4
    geometry: bool = True
    queries: int = 512
    others: int = 2048
    apart: float = 0.4
    temperature: float = 0.1
    crop: float = 0.45
    hide: float = 0.5
    seed: int = 0

    @property
    def steps_per_chunk(self) -> int:
        """Steps between two renderings."""
        return self.groups * self.repeats

    def chunk_of(self, step: int) -> tuple[int, int]:
        """The rendering that a step trains on, and the group of cameras in it."""
        chunk, within = divmod(step, self.steps_per_chunk)
        return chunk, within % self.groups

    def cools(self, progress: float) -> bool:
        """Whether the cooldown has begun at some progress, from 0 to 1."""
        return progress >= 1 - self.cooldown

    def rate_of(self, step: int, progress: float) -> float:
        """Learning rate: a ramp, a plateau, and a straight way down to zero."""
        left = (1 - progress) / self.cooldown
        return self.learning_rate * min((step + 1) / self.warmup, left, 1.0)
