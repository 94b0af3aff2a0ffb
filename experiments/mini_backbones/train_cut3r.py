"""Trains the small CUT3R on rooms rendered as it goes, some seconds at a time.

    python -m experiments.mini_backbones.train_cut3r --run=RUN --seconds=540

Run it again to go on; `--last` ends the schedule with this piece. `--finish=WEIGHTS.safetensors`
trains what an earlier training exported, in long sequences and at a rate that falls from the
beginning. For torch and JAX on one CUDA device; without one it runs slowly, best with
`--no-compile`.
"""

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path


def main() -> None:
    began = time.monotonic()  # The imports below take seconds of the piece.
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of the training")
    parser.add_argument("--seconds", type=float, default=540.0, help="of this piece, all in all")
    parser.add_argument("--total", type=float, default=1000.0, help="seconds of all steps")
    parser.add_argument("--last", action="store_true", help="the training ends with this piece")
    parser.add_argument("--finish", type=Path, help="exported weights to begin with")
    parser.add_argument("--no-compile", action="store_true", help="run the model as it is")
    parser.add_argument("--no-graphs", action="store_true", help="capture no CUDA graphs")
    parser.add_argument("--workers", type=int, help="processes that make rooms; 0: none")
    parser.add_argument("--rooms", type=int, help="at once; the recipe's if unset")
    parser.add_argument("--step-frames", type=int, help="of a step; the recipe's if unset")
    arguments = parser.parse_args()

    # Before JAX is imported: the GPU's memory is PyTorch's, but for what rendering takes.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import torch

    from bridges.backbones.cut3r.config import MINI
    from experiments.mini_backbones.cut3r import checkpoint
    from experiments.mini_backbones.cut3r.recipe import FINISHING, Recipe
    from experiments.mini_backbones.cut3r.trainer import Mode
    from experiments.mini_backbones.cut3r.training import train
    from experiments.mini_backbones.pieces import Piece, Spent, leave_in_time, spare_cores

    piece = Piece(began + arguments.seconds, arguments.total, arguments.last)
    leave_in_time(piece)
    given = {"rooms": arguments.rooms, "step_frames": arguments.step_frames}
    given = {name: value for name, value in given.items() if value is not None}
    recipe = replace(FINISHING if arguments.finish else Recipe(), **given)
    graphs = torch.cuda.is_available() and not arguments.no_graphs
    mode = Mode(compiled=not arguments.no_compile, graphs=graphs)
    workers = spare_cores() if arguments.workers is None else arguments.workers
    spent = Spent(began, "start")
    if arguments.finish:
        checkpoint.begin(arguments.run, arguments.finish, MINI, recipe)
    train(arguments.run, MINI, recipe, piece, mode, workers, spent)


if __name__ == "__main__":
    main()
