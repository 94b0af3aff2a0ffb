"""Trains the mini semantic encoder on rooms rendered as it goes, some seconds at a time.

    python -m experiments.mini_backbones.train_semantic --run=RUN --seconds=300 --last

Run it again to go on, with the recipe it began with; `--last` ends the schedule with this piece.
The recipe's fields are options (``--rooms=64``).
"""

from experiments.mini_backbones.single_frames.command import run_piece

if __name__ == "__main__":
    run_piece("experiments.mini_backbones.train_semantic", __doc__ or "", "semantic")
