"""Time and memory of ours and of the comparators, and how they grow with the sequence."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp

from comparators import METHODS
from comparators.costs import Costs, Elapsed
from moonseg_jax import load_core
from moonseg_jax.cache import CacheReader
from moonseg_jax.online import OnlineLoop
from moonseg_jax.structs import Frame, SceneInfo


@dataclass(frozen=True)
class Turns:
    """A cache played several times over, as if the camera went round the room again and again."""

    reader: CacheReader
    count: int

    @property
    def info(self) -> SceneInfo:
        """Of the cache."""
        return self.reader.info

    def frames(self) -> Iterator[Frame]:
        """All frames, ``count`` times."""
        for _ in range(self.count):
            yield from self.reader.frames()


def measure_growth(
    method: str, checkpoint: str | None, cache: Path, turns: int, clock: str
) -> dict[str, float]:
    """One turn, and several: what a frame takes, what is kept, and how much more of both.

    Args:
        method: a key of `METHODS`, or else ours.
        checkpoint: of ours, as `load_core` takes it.
        cache: to play.
        turns: how often.
        clock: ``wall`` or ``cpu``.
    """
    reader = CacheReader(cache, state_attention=method not in METHODS)
    one, many = (
        METHODS[method].segment(played, METHODS[method].published).costs
        if method in METHODS
        else costs_of_ours(checkpoint, played)
        for played in (Turns(reader, 1), Turns(reader, turns))
    )
    return {
        "ms_per_frame": one.ms_per_frame(clock),
        "megabytes": one.state_bytes / 1e6,
        "time_growth": many.ms_per_frame(clock) / one.ms_per_frame(clock),
        "memory_growth": many.state_bytes / max(one.state_bytes, 1),
    }


def costs_of_ours(checkpoint: str | None, played: Turns) -> Costs:
    """Of the online loop with everything compiled; reading the frames is not in it."""
    core = load_core(played.info, checkpoint)
    loop = OnlineLoop(core.graphdef, core.params, played.info, core.config)
    empty = loop.state
    for _ in range(2):  # All shapes are compiled in the first round.
        loop.state, spent = jax.tree.map(jnp.copy, empty), []
        for frame in played.frames():
            start = Elapsed.now()
            jax.block_until_ready(loop.step(frame))
            spent.append(Elapsed.now().since(start))
    kept = sum(leaf.nbytes for leaf in jax.tree.leaves(loop.state))
    return Costs(spent, Elapsed(0.0, 0.0), kept)
