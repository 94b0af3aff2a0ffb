"""`moonseg convert`: CUT3R's published checkpoint as safetensors, the model's tensors only."""

import argparse
import importlib.util
import json
from contextlib import suppress
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """From where, to where."""
    parser.add_argument("source", metavar="SRC", help="the .pth file as it was downloaded")
    parser.add_argument("target", metavar="DST", help="the .safetensors file to write")
    parser.add_argument("--variant", help="dpt_512 or linear_224; told by the tensors if left out")


def run(args: argparse.Namespace) -> None:
    """Converts, and says what was written."""
    made = convert_checkpoint(args.source, args.target, args.variant)
    for name, value in made.items():
        print(f"{name:<16}{value}")


def convert_checkpoint(source: str | Path, target: str | Path, variant: str | None = None) -> dict:
    """Writes the tensors that CUT3R needs, under their published names.

    Nothing in the source is run. An older target is replaced once the new one is complete.

    Returns:
        ``variant``, ``tensors``, ``bytes``, ``source sha256`` and ``sha256`` of the target.

    Raises:
        InputError: a source that cannot be read or is no CUT3R checkpoint, or a target that
            cannot be written.
    """
    _check(Path(target))
    from bridges.backbones.cut3r import needed_tensors
    from bridges.checkpoints import file_sha256, read_tensors
    from moonseg_jax import __version__

    tensors, config = needed_tensors(read_tensors(source), source, variant)
    origin = {
        "model": "cut3r",
        "variant": config.name,
        "source": Path(source).name,
        "source_sha256": file_sha256(source),
        "code_version": __version__,
    }
    _write(tensors, Path(target), origin)
    return {
        "variant": config.name,
        "tensors": len(tensors),
        "bytes": Path(target).stat().st_size,
        "source sha256": origin["source_sha256"],
        "sha256": file_sha256(target),
    }


def _check(target: Path) -> None:
    from moonseg_jax.structs import InputError, install

    if not importlib.util.find_spec("torch"):
        raise InputError(f"convert needs PyTorch: {install('torch')}.")
    if target.suffix != ".safetensors":
        raise InputError(f"{target}: name the file to write with the suffix .safetensors.")
    if target.is_dir():
        raise InputError(f"{target} is a folder: name a file to write.")


def _write(tensors: dict[str, Any], target: Path, origin: dict[str, str]) -> None:
    """Writes beside the target, then renames: a target that is there is complete."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    from moonseg_jax.structs import InputError

    partial = target.with_name(f"{target.name}.partial")
    own = {name: tensor.contiguous() for name, tensor in tensors.items()}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        save_file(own, partial, metadata={"moonseg": json.dumps(origin)})
        partial.replace(target)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            partial.unlink()
        raise InputError(f"{target} cannot be written ({error}).") from error
