"""Checkpoints in pieces that are small enough to be carried.

Four bytes a parameter: weights and their averages in float16, of the second moments the means of
rows and columns (Adafactor; Shazeer and Stern, 2018), no first moments, which last ten steps
anyway. What is written is also put in place of what the running training held, so that going on
and going on from the files are the same to the bit.
"""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from bridges.backbones.cut3r import Cut3r, Cut3rConfig
from experiments.mini_backbones.cut3r.recipe import Recipe
from experiments.mini_backbones.cut3r.trainer import Trainer, put_moments
from moonseg_jax.structs import InputError

PIECE = 15_000_000  # Bytes of a file.
FOLDER = "checkpoint"
ABOUT = "training.json"


def save(trainer: Trainer, workdir: Path, about: dict[str, Any]) -> None:
    """Writes ``workdir/checkpoint`` as a whole or not at all, and goes on from what it holds.

    Args:
        trainer: to save.
        workdir: of the training.
        about: what else shall be told of it; JSON-serialisable.
    """
    tensors = _stored(trainer)
    counts = {"steps": trainer.steps, "seen": trainer.seen, "recipe": asdict(trainer.recipe)}
    _write(tensors, workdir, counts | about)
    _take(trainer, tensors)


def begin(workdir: Path, weights: Path, config: Cut3rConfig, recipe: Recipe) -> None:
    """Writes the checkpoint of a training that has exported weights to begin with, where none is.

    Its rooms follow those that the weights have seen; moments begin anew.

    Args:
        workdir: of the training.
        weights: what `export` wrote, of the same kind of model.
        config: of the model.
        recipe: of the training.
    """
    if (workdir / FOLDER / ABOUT).is_file():
        return
    model = Cut3r.from_checkpoint(weights, config)
    with safe_open(weights, "pt") as file:
        origin = json.loads(file.metadata()["moonseg"])
    tensors = {
        f"{kind}/{name}": parameter.detach().half().contiguous()
        for kind in ("weight", "average")
        for name, parameter in model.named_parameters()
    }
    before = origin["training"]
    counts = {"steps": 0, "seen": before["seen"], "recipe": asdict(recipe), "seconds": 0.0}
    _write(tensors, workdir, counts | {"chunks": before["chunks"], "pieces": [{"after": origin}]})


def load(trainer: Trainer, workdir: Path) -> dict[str, Any]:
    """Goes on from ``workdir/checkpoint``; what it told besides, empty where there is none.

    Raises:
        InputError: it was made by another recipe.
    """
    folder = workdir / FOLDER
    if not (folder / ABOUT).is_file():
        return {}
    about, tensors = read(workdir)
    if about["recipe"] != json.loads(json.dumps(asdict(trainer.recipe))):
        raise InputError(f"{folder} was trained by another recipe: name another --run")
    trainer.steps, trainer.seen = about["steps"], about["seen"]
    _take(trainer, tensors)
    return about


def read(workdir: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a checkpoint tells, and its tensors: ``weight/NAME``, ``average/NAME``, moments."""
    folder = workdir / FOLDER
    if not (folder / ABOUT).is_file():
        raise InputError(f"{folder} holds no checkpoint: give the folder of a training")
    tensors: dict[str, Tensor] = {}
    for piece in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(piece)
    return json.loads((folder / ABOUT).read_text()), tensors


def _write(tensors: dict[str, Tensor], workdir: Path, about: dict[str, Any]) -> None:
    part, folder = workdir / f".{FOLDER}", workdir / FOLDER
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for number, piece in enumerate(_pieces(tensors)):
        save_file(piece, part / f"{number}.safetensors")
    (part / ABOUT).write_text(json.dumps(about, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _stored(trainer: Trainer) -> dict[str, Tensor]:
    tensors = {}
    both = zip(trainer.model.named_parameters(), trainer.average, strict=True)
    for (name, parameter), average in both:
        tensors[f"weight/{name}"] = parameter.detach().half()
        tensors[f"average/{name}"] = average.half()
        # Of single frames, what only the next frame reads has had no gradient yet.
        moment = trainer.optimizer.state.get(parameter, {}).get("exp_avg_sq")
        if moment is None:
            continue
        if parameter.ndim == 1:
            tensors[f"moment/{name}"] = moment
        else:
            matrix = moment.flatten(1)
            tensors[f"moment_rows/{name}"] = matrix.mean(dim=1)
            tensors[f"moment_columns/{name}"] = matrix.mean(dim=0)
    return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}


@torch.no_grad()
def _take(trainer: Trainer, tensors: dict[str, Tensor]) -> None:
    moments = {}
    both = zip(trainer.model.named_parameters(), trainer.average, strict=True)
    for (name, parameter), average in both:
        parameter.copy_(tensors[f"weight/{name}"])
        average.copy_(tensors[f"average/{name}"])
        if f"moment/{name}" in tensors:
            moments[parameter] = tensors[f"moment/{name}"]
        elif f"moment_rows/{name}" in tensors:
            row, column = tensors[f"moment_rows/{name}"], tensors[f"moment_columns/{name}"]
            moment = torch.outer(row, column) / row.mean().clamp(min=1e-30)
            moments[parameter] = moment.view_as(parameter)
    put_moments(trainer, moments)


def _pieces(tensors: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    pieces: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if size + tensor.nbytes > PIECE:
            pieces.append({})
            size = 0
        pieces[-1][name] = tensor
        size += tensor.nbytes
    return pieces
