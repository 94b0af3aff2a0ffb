"""Models of `transformers` from folders as the hub lays them out: strictly, quietly, offline."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bridges.checkpoints import read_tensors
from moonseg_jax.structs import InputError, install


def import_transformers(needed_by: str) -> Any:
    """The package; InputError where it is missing, naming the option that needs it."""
    try:
        import transformers
    except ImportError as error:
        raise InputError(f"{needed_by} needs transformers: {install('torch')}.") from error
    return transformers


def read_hub_folder(folder: Path, kinds: tuple[str, ...]) -> tuple[dict[str, Any], dict]:
    """Reads ``config.json`` and the tensors of ``*.safetensors``.

    Args:
        folder: as the hub lays it out.
        kinds: values of the config's ``model_type`` that will do.

    Returns:
        The config, and name to tensor.

    Raises:
        InputError: no such folder, files missing or damaged, or another kind of model.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        config = None
    files = sorted(folder.glob("*.safetensors"))
    if not isinstance(config, dict) or not files:
        raise InputError(
            f"{folder} is no model's folder: give one with config.json and model.safetensors."
        )
    if config.get("model_type") not in kinds:
        raise InputError(
            f"{folder} holds a model of type {config.get('model_type')}: give one of type"
            f" {' or '.join(kinds)}."
        )
    return config, {name: tensor for file in files for name, tensor in read_tensors(file).items()}


def build_hub_model(
    model: Any, config: Any, tensors: dict[str, Tensor], dtype: torch.dtype, path: Path
) -> Any:
    """Builds a model with these tensors, all of its own and none that it does not know.

    Args:
        model: class of `transformers`.
        config: of the model.
        tensors: name to tensor.
        dtype: of the parameters.
        path: where the tensors are from, for errors.

    Raises:
        InputError: tensors are missing, surplus or misshapen.
    """
    try:
        with _quiet():
            built, loading = model.from_pretrained(
                None, config=config, state_dict=tensors, dtype=dtype, output_loading_info=True
            )
    except RuntimeError as error:  # Shapes that differ.
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} does not fit its own config ({reason}).") from error
    odd = sorted(str(name) for names in loading.values() for name in names)
    if odd:
        raise InputError(
            f"{path} is not the {model.__name__} that it says it is: {len(odd)} tensors are"
            f" missing or surplus, such as {odd[0]}. Download it again."
        )
    return built


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps progress bars and reports off the terminal; what is wrong is raised in words."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
