import dataclasses

import numpy as np
import pytest
from flax import nnx

from moonseg_jax.config import model_config
from moonseg_jax.models import Core
from tests.reference.parity import random_core

GRID, C3, C2, Q, N = (3, 4), 10, 13, 6, 9


@dataclasses.dataclass
class View:
    """Random inputs of one frame; the sixth query is not valid, the fifth covers nothing."""

    features_3d: np.ndarray
    features_2d: np.ndarray
    coverage: np.ndarray
    valid: np.ndarray
    context: np.ndarray
    context_valid: np.ndarray


def small_config(**changes):
    config = model_config()
    config.update(width=16, heads=4, feed_forward=24, refine_layers=2)
    config.update(changes)
    return config


def make_view(width=16, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    coverage = rng.random((Q, GRID[0] * GRID[1])) * (rng.random((Q, GRID[0] * GRID[1])) < 0.6)
    coverage[3] *= 0.5  # No patch by half: its best one.
    coverage[4] = 0
    return View(
        rng.normal(size=(*GRID, C3)).astype(np.float16),
        rng.normal(size=(*GRID, C2)).astype(np.float16),
        coverage.astype(dtype),
        np.arange(Q) < Q - 1,
        rng.normal(size=(N, width)).astype(dtype),
        np.arange(N) % 3 > 0,
    )


def make_core(config, seed=0, **kinds):
    """``(graphdef, params)`` of a core with random parameters."""
    return random_core(lambda: Core(config, C3, C2, rngs=nnx.Rngs(0), **kinds), seed)


def run_core(core, view):
    """All of a frame: refined queries and reference features."""
    tokens = core.tokens(view.features_3d, view.features_2d)
    first = core.prototypes(tokens, view.coverage)
    rest = (view.coverage, view.valid, view.context, view.context_valid)
    return core.refine(first, tokens, *rest, GRID), core.reference(tokens)


@pytest.fixture
def view():
    return make_view()
