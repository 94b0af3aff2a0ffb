"""A run's optimiser, and its state as files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bridges.checkpoints import read_tensors
from experiments.mini_backbones.single_frames.schedule import Schedule
from moonseg_jax.structs import InputError

STATE = "state.json"
MOMENTS = {"mean": "exp_avg", "square": "exp_avg_sq"}  # Files to AdamW's names.


def adamw(model: nn.Module, schedule: Schedule) -> torch.optim.AdamW:
    """Decays matrices only."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    return torch.optim.AdamW(
        [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}],
        lr=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        betas=(0.9, 0.98),
        fused=True,
    )


def moments(
    named: Mapping[str, Tensor], optimizer: torch.optim.AdamW
) -> dict[str, dict[str, Tensor]]:
    """AdamW's moments of named parameters, by file."""
    state = optimizer.state
    return {
        file: {name: state[p][key] for name, p in named.items()} for file, key in MOMENTS.items()
    }


@torch.no_grad()
def read_moments(
    folder: Path, named: Mapping[str, Tensor], optimizer: torch.optim.AdamW, step: int
) -> None:
    """Gives an optimiser the moments that lie in a run's folder."""
    kept = {key: read_tensors(folder / f"{file}.safetensors") for file, key in MOMENTS.items()}
    for name, p in named.items():
        # Laid out as the parameter is: the fused step goes through memory.
        own = {key: torch.empty_like(p).copy_(tensors[name]) for key, tensors in kept.items()}
        optimizer.state[p] = {"step": torch.tensor(float(step), device=p.device), **own}


def write_state(
    folder: Path, content: Mapping[str, Mapping[str, Tensor]], told: dict[str, Any]
) -> None:
    """Writes tensors, a file each, and what is told of the run."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, tensors in content.items():
        save_file(
            {k: v.detach().cpu().contiguous() for k, v in tensors.items()},
            folder / f"{file}.safetensors",
        )
    (folder / STATE).write_text(json.dumps(told, indent=1) + "\n")


def read_state(folder: Path) -> dict[str, Any]:
    """What a run's folder tells of it.

    Raises:
        InputError: no run lies there.
    """
    if not (folder / STATE).is_file():
        raise InputError(f"{folder} holds no run: give the folder of a training")
    return json.loads((folder / STATE).read_text())


def recipe_fields(told: dict[str, Any]) -> dict[str, Any]:
    """The recipe of a run, from what `read_state` gives."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in told["recipe"].items()}
