"""Trains the mini semantic encoder on rooms rendered as it goes, some seconds at a time.

    python -m experiments.mini_backbones.train_semantic --run=RUN --seconds=300 --last

Run it again to go on, with the recipe it began with; `--last` ends the schedule with this piece.
The recipe's fields are options (``--rooms=64``).
"""

import os
import time


def main() -> None:
    began = time.monotonic()  # The imports below take seconds of the piece.
    # Before JAX is imported: the GPU's memory is PyTorch's, but for what rendering takes.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import torch

    from experiments.mini_backbones.command import parser_of, recipe_options
    from experiments.mini_backbones.pieces import Piece, Spent, leave_in_time, spare_cores
    from experiments.mini_backbones.semantic import learner
    from experiments.mini_backbones.semantic.recipe import Recipe
    from experiments.mini_backbones.semantic.training import Kind, train

    arguments = parser_of(__doc__ or "", Recipe, torch.cuda.is_available()).parse_args()
    torch.set_float32_matmul_precision("high")
    piece = Piece(began + arguments.seconds, arguments.total, arguments.last)
    leave_in_time(piece)
    train(
        Kind(
            "experiments.mini_backbones.train_semantic", learner.begin, learner.load, learner.save
        ),
        arguments.run,
        recipe_options(arguments, Recipe),
        torch.device(arguments.device),
        compiled=arguments.device != "cpu" and not arguments.no_compile,
        workers=spare_cores() if arguments.workers is None else arguments.workers,
        log_every=arguments.log_every,
        piece=piece,
        spent=Spent(began, "start"),
    )


if __name__ == "__main__":
    main()
