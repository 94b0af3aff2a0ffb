"""Trains the mini mask network on rooms rendered as it goes, some seconds at a time.

    python -m experiments.mini_backbones.train_masks --run=RUN --seconds=540 --last

Run it again to go on, with the recipe it began with; `--last` ends the schedule with this piece.
The recipe's fields are options (``--rooms=64``).
"""

from experiments.mini_backbones.single_frames.command import run_piece

if __name__ == "__main__":
    run_piece("experiments.mini_backbones.train_masks", __doc__ or "", "masks")
