import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from moonseg_jax.models.layers import attend, masked_logits
from tests.models.conftest import GRID, N, Q, make_core, make_view, small_config
from tests.reference.parity import precision

HEADS, WIDTH = 2, 4


def make_inputs(dtype):
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(HEADS, n, WIDTH)) for n in (Q, N, N))
    mask = rng.random((Q, N)) < 0.4
    mask[0] = False
    return *(jnp.asarray(x, dtype) for x in (q, k, v)), jnp.asarray(mask)


def plain(q, k, v, mask):
    """What `attend` says it computes; its gradient is JAX's."""
    weights = jax.nn.softmax(masked_logits(q, k, mask), axis=-1).astype(v.dtype)
    return jnp.einsum("hqn,hnc->hqc", weights, v)


def test_the_gradient_is_that_of_the_formula():
    with precision("float64"):
        *arrays, mask = make_inputs("float64")
        results = []
        for function in (attend, plain):
            out, pullback = jax.vjp(lambda *x, f=function: f(*x, mask), *arrays)
            results.append((out, *pullback(jnp.sin(1.0 + jnp.arange(out.size)).reshape(out.shape))))
        for ours, theirs in zip(*results, strict=True):
            assert ours.dtype == "float64"
            np.testing.assert_allclose(ours, theirs, atol=1e-12)
        assert np.abs(results[0][1]).max() > 0.1


def test_what_is_kept_for_the_gradient_is_in_the_dtype_of_the_values():
    q, k, v, mask = make_inputs("bfloat16")
    _, pullback = jax.vjp(lambda *x: attend(*x, mask), q, k, v)
    kept = [x for x in jax.tree.leaves(pullback) if x.size >= HEADS * Q * N]
    assert [x.dtype for x in kept] == ["bfloat16"]


@pytest.mark.parametrize("piece", [None, 3])
def test_frames_looked_at_ahead_are_refined_the_same(piece):
    view, core = vars(make_view()), nnx.merge(*make_core(small_config()))
    names = ("features_3d", "features_2d", "coverage", "valid", "context", "context_valid")
    f3, f2, coverage, valid, context, seen = (jnp.asarray(view[name]) for name in names)
    tokens = core.tokens(f3, f2)
    first = core.prototypes(tokens, coverage)
    expected = core.refine(first, tokens, coverage, valid, context, seen, GRID, piece)
    sight = core.look(first, tokens, coverage, GRID)
    told = core.recall(sight, valid, core.remember(context), seen)
    np.testing.assert_allclose(told, expected, atol=3e-6)
