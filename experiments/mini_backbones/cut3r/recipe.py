"""What a training is: its stages and rates, told in shares of its time."""

from dataclasses import dataclass

SIZE = (96, 128)  # (H, W) of training.
CLIP_FRAMES = 32  # Rendered of each room; the longest sequence.


@dataclass(frozen=True)
class Stage:
    """Part of a training.

    Attributes:
        until: share of the training's time at which it ends.
        length: frames of a sequence; divides `Recipe.step_frames`.
        reach: a frame is followed by one of the next ``reach`` of its clip, evenly in a sequence.
    """

    until: float
    length: int
    reach: int = 1


@dataclass(frozen=True)
class Recipe:
    """How to train. Progress goes from 0 to 1: the share of the time that the training is given.

    Attributes:
        stages: in turn; the last is until 1.
        step_frames: of each step, whatever the length of sequences.
        rooms: rendered at once.
        uses: of each rendered frame, on average; their frames make whole steps.
        learning_rate: after the warm-up.
        warm_up: steps of linear increase.
        decay: share of the time, at the end, of linear decrease to nothing.
        weight_decay: of matrices.
        betas: of AdamW.
        clip_norm: largest norm of a gradient.
        average: frames after which the averaged weights have forgotten half.
        alpha: of the confidences' logarithm.
        pose: weight of the pose's errors.
        seed: of the initial weights.
    """

    stages: tuple[Stage, ...] = (
        Stage(0.03, 1),
        Stage(0.05, 2, reach=2),
        Stage(0.35, 4, reach=2),
        Stage(0.85, 16, reach=2),
        Stage(1.00, 32),
    )
    step_frames: int = 256
    rooms: int = 64
    uses: int = 4
    learning_rate: float = 4e-4
    warm_up: int = 300
    decay: float = 0.4
    weight_decay: float = 0.03
    betas: tuple[float, float] = (0.9, 0.98)
    clip_norm: float = 1.0
    average: float = 1.5e5
    alpha: float = 0.2
    pose: float = 2.0
    seed: int = 0

    @property
    def steps_per_chunk(self) -> int:
        """Steps between two renderings."""
        return self.rooms * CLIP_FRAMES * self.uses // self.step_frames

    def stage(self, progress: float) -> Stage:
        """The stage at some progress."""
        return next((s for s in self.stages if progress < s.until), self.stages[-1])

    def rate(self, step: int, progress: float) -> float:
        """The learning rate of the ``step``-th step, from 0 on."""
        return self.learning_rate * max(
            0.0, min(1.0, (step + 1) / self.warm_up, (1 - progress) / self.decay)
        )


# For weights that a training has ended with, over steps of twice the frames. At a steady rate long
# sequences hardly advance, so this one falls from the beginning; beginning with twice as high a one
# the first minutes only lose what the weights had reached.
FINISHING = Recipe(
    stages=(Stage(0.35, 16, reach=2), Stage(1.0, 32)),
    step_frames=512,
    learning_rate=2e-4,
    decay=1.0,
)
