"""Everything that a training run is determined by."""

from dataclasses import dataclass

from experiments.mini_backbones.single_frames.schedule import Schedule


@dataclass(frozen=True)
class Recipe(Schedule):
    """One training run; see `Schedule` for rooms, sizes and rate.

    Attributes:
        width, depth: of the network (`MiniVitConfig`).
        head: hidden and output channels of the projection that the loss sees, not shipped.
        momentum: of the teacher, an exponential mean of the student.
        geometry: whether positives are patches that show one point of the room, by depth and
            pose, or one point of one picture (the plain self-supervised variant; ``views`` is 1).
        queries: patches of a room's views that enter the loss of a step.
        others: patches of other rooms that each query is told from.
        apart: metres from which patches of one room count as different; nearer ones, unless they
            show the same point, do not count.
        temperature: of the softmax.
        crop: least side of a student's crop, in sides of the frame.
        hide: greatest part of a student's patches that is hidden from it.
    """

    width: int = 192
    depth: int = 8
    head: tuple[int, int] = (384, 128)
    momentum: float = 0.996
    geometry: bool = True
    queries: int = 512
    others: int = 2048
    apart: float = 0.4
    temperature: float = 0.1
    crop: float = 0.45
    hide: float = 0.5
