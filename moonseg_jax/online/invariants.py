"""What must hold of an online loop, whatever its core and its config, as reusable asserts.

Each takes ``step(state, frame) -> (state, result)``, best jitted, a first state with room for all
frames, and frames of one shape.
"""

from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from moonseg_jax.online.state import OnlineState
from moonseg_jax.structs import Frame, FrameResult

Step = Callable[[OnlineState, Frame], tuple[OnlineState, FrameResult]]


def assert_scan_equals_loop(
    step: Step, state: OnlineState, frames: Sequence[Frame], rtol: float = 1e-5
) -> None:
    """A scan gives what a loop gives: numbers to ``rtol``, decisions exactly."""
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *frames)
    scanned = jax.jit(lambda state, frames: jax.lax.scan(step, state, frames))(state, stacked)
    end, results = _loop(step, state, frames)
    looped = (end, jax.tree.map(lambda *leaves: jnp.stack(leaves), *results))
    chex.assert_trees_all_close(scanned, looped, rtol=rtol, atol=rtol)


def assert_one_trace(step: Step, state: OnlineState, frames: Sequence[Frame]) -> None:
    """After the first frame nothing is traced again."""
    traces = 0

    def counted(state: OnlineState, frame: Frame) -> tuple[OnlineState, FrameResult]:
        nonlocal traces
        traces += 1
        return step(state, frame)

    traced = jax.jit(counted)
    for frame in frames:
        traced.lower(state, frame)
        state = step(state, frame)[0]
    assert traces == 1, f"{traces} traces for {len(frames)} frames"


def assert_constant_spec(step: Step, state: OnlineState, frames: Sequence[Frame]) -> None:
    """The state keeps its structure, shapes and dtypes: what one step gives, the next one takes."""
    for frame in frames:
        after = jax.eval_shape(step, state, frame)[0]
        chex.assert_trees_all_equal_shapes_and_dtypes(state, after)


def assert_restores_anywhere(step: Step, state: OnlineState, frames: Sequence[Frame]) -> None:
    """A state saved to the host after any frame continues bit for bit as if never interrupted."""
    end, results = _loop(step, state, frames)
    for at in range(len(frames)):
        saved = jax.tree.map(np.asarray, _loop(step, state, frames[:at])[0])
        resumed = jax.tree.map(jnp.asarray, saved)
        again, remainder = _loop(step, resumed, frames[at:])
        chex.assert_trees_all_equal((again, remainder), (end, results[at:]))


def _loop(step: Step, state: OnlineState, frames: Sequence[Frame]) -> tuple[OnlineState, list[Any]]:
    results = []
    for frame in frames:
        state, result = step(state, frame)
        results.append(result)
    return state, results
