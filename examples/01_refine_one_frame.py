"""One frame through the core: its masks become queries (Eq. 1, 2), and φ refines them (Eq. 3, 4).

python examples/01_refine_one_frame.py [RECORDING]
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import bridges
import moonseg_jax
from moonseg_jax.models import mask_coverage
from moonseg_jax.online.similarity import cosine
from moonseg_jax.rooms import CorruptionRates, write_room
from moonseg_jax.structs import unpack_masks


def main() -> None:
    """Prints, for each mask, the mask most like it before and after refinement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", nargs="?", type=Path, help="posed RGB-D; default: a room")
    folder = parser.parse_args().recording or write_room(
        "out/examples/frame", seed=7007, frames=1, size=(192, 256), rates=CorruptionRates()
    )
    masks = folder / "masks" if (folder / "masks").is_dir() else "felzenszwalb"

    # The frozen side: geometric and semantic features, pointmap, masks.
    backbones = bridges.load_backbones(bridges.BridgeConfig(masks=str(masks)))
    bridge = bridges.Bridge(bridges.open_source(folder, max_frames=1), backbones)
    [(name, frame)] = bridge.frames()

    # The trained side.
    core = moonseg_jax.load_core(bridge.info).module

    @jax.jit
    def likeness(frame: moonseg_jax.Frame) -> tuple[jax.Array, jax.Array]:
        coverage = mask_coverage(unpack_masks(frame.masks), bridge.info.grid)
        tokens = core.tokens(frame.features_3d, frame.features_2d)
        prototypes = core.prototypes(tokens, coverage)
        nothing_seen_before = jnp.zeros((1, core.width)), jnp.zeros(1, bool)
        queries = core.refine(
            prototypes, tokens, coverage, frame.mask_valid, *nothing_seen_before, bridge.info.grid
        )
        return cosine(prototypes, prototypes), cosine(queries, queries)

    count = int(np.sum(frame.mask_valid))
    print(f"frame {name}: {count} masks; the other mask most like each of them, and its cosine")
    before, after = (np.array(x)[:count, :count] - 2 * np.eye(count) for x in likeness(frame))
    for i, (b, a) in enumerate(zip(before, after, strict=True)):
        first, then = f"{b.argmax():2} ({b.max():5.2f})", f"{a.argmax():2} ({a.max():5.2f})"
        print(f"mask {i:2}   before φ: {first}   after: {then}")


if __name__ == "__main__":
    main()
