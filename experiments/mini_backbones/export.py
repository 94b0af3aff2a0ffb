"""Weights of a training as the file that ships, in float16, with a header that says where from.

    python -m experiments.mini_backbones.export cut3r RUN mini_cut3r.safetensors
    python -m experiments.mini_backbones.export semantic RUN mini_semantic.safetensors
    python -m experiments.mini_backbones.export masks RUN mini_masks.safetensors

`Cut3r.from_checkpoint(file, MINI)`, `MiniSemantics.from_checkpoint(file)` and
`MiniMasks.from_checkpoint(file)` read them.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from bridges.backbones.cut3r import Cut3r, Cut3rConfig
from bridges.backbones.cut3r.checkpoint import published_tensors
from bridges.backbones.cut3r.config import MINI
from bridges.backbones.mini_masks import MiniMasks
from bridges.backbones.mini_vit import MiniSemantics
from bridges.checkpoints import file_sha256, tensors_sha256
from experiments.mini_backbones.cut3r import checkpoint
from experiments.mini_backbones.masks.learner import network_tensors
from experiments.mini_backbones.semantic.learner import encoder_tensors
from experiments.mini_backbones.single_frames.state import read_state
from moonseg_jax import __version__

LICENCE = "Apache-2.0"
DATA = "procedural rooms of moonseg_jax.rooms, rendered while it trained; nothing else"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("kind", choices=list(EXPORTS))
    parser.add_argument("run", type=Path, help="folder of the training")
    parser.add_argument("out", type=Path, help="the .safetensors file to write")
    arguments = parser.parse_args()
    EXPORTS[arguments.kind](arguments.run, arguments.out)
    size, sha256 = arguments.out.stat().st_size, file_sha256(arguments.out)
    print(f"{arguments.out}: {size} bytes, sha256 {sha256}")


def export_cut3r(run: Path, out: Path, config: Cut3rConfig = MINI) -> None:
    """Writes the averaged weights under the published names, and reads them again."""
    about, stored = checkpoint.read(run)
    named = ((key.partition("/"), tensor) for key, tensor in stored.items())
    average = ((name, tensor) for (kind, _, name), tensor in named if kind == "average")
    tensors = published_tensors(average, config.head)
    _write(tensors, out, {"model": "cut3r", "variant": config.name}, about)
    Cut3r.from_checkpoint(out, config)


def export_semantic(run: Path, out: Path) -> None:
    """Writes the teacher's encoder, and reads it again."""
    about = read_state(run)
    _write(encoder_tensors(run), out, {"model": "mini semantic encoder"}, about)
    MiniSemantics.from_checkpoint(out)


def export_masks(run: Path, out: Path) -> None:
    """Writes the mask network, and reads it again."""
    about = read_state(run)
    _write(network_tensors(run), out, {"model": "mini mask network"}, about)
    MiniMasks.from_checkpoint(out)


EXPORTS = {"cut3r": export_cut3r, "semantic": export_semantic, "masks": export_masks}


def _write(
    tensors: dict[str, Tensor], out: Path, what: dict[str, str], about: dict[str, Any]
) -> None:
    origin = {
        **what,
        "licence": LICENCE,
        "data": DATA,
        "code_version": __version__,
        "tensors_sha256": tensors_sha256(tensors),
        "training": about,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out, {"moonseg": json.dumps(origin)})


if __name__ == "__main__":
    main()
