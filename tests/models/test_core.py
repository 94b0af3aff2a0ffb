import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from moonseg_jax.models import Core, FeatureCore, split_core
from tests.models.conftest import C2, C3, GRID, N, Q, make_core, make_view, run_core, small_config

PATCHES = GRID[0] * GRID[1]
TRACES = []


def refine(core, view, **options):
    """Refined queries of a view: a dict of the fields of `View`."""
    tokens = core.tokens(view["features_3d"], view["features_2d"])
    first = core.prototypes(tokens, view["coverage"])
    rest = (view["coverage"], view["valid"], view["context"], view["context_valid"])
    return core.refine(first, tokens, *rest, GRID, **options)


@functools.partial(jax.jit, static_argnums=0)
def summed(graphdef, params, view):
    """The queries, and the gradients of their sum with respect to the parameters."""
    TRACES.append(graphdef)
    core = nnx.merge(graphdef, params)
    return refine(core, view), jax.grad(lambda p: jnp.sum(refine(nnx.merge(graphdef, p), view)))(
        params
    )


PAPER = make_core(small_config())


def queries(core=PAPER, **changes):
    return np.asarray(summed(*core, vars(make_view()) | changes)[0])


def test_no_visible_context_is_an_exact_identity():
    graphdef, params = PAPER
    without = nnx.merge(graphdef, params)
    for layer in without.phi:
        layer.context = False
    view = vars(make_view()) | {"context_valid": np.zeros(N, bool)}
    with_context = nnx.merge(graphdef, params)
    np.testing.assert_array_equal(refine(with_context, view), refine(without, view))
    branch = with_context.phi[0].context_attention
    nobody = np.zeros((1, N), bool)
    assert not np.any(branch(view["context"][:Q], view["context"], nobody))


def test_context_changes_the_queries_and_only_visible_rows_do():
    view = make_view()
    base = queries()
    assert not np.allclose(base, queries(context_valid=np.zeros(N, bool)))
    unseen = np.where(view.context_valid[:, None], view.context, 7.0).astype(np.float32)
    np.testing.assert_array_equal(base, queries(context=unseen))


@pytest.mark.parametrize("seen", [[], [0], [1, 4], [4], [8], range(N)])
def test_context_in_pieces_is_the_context(seen):
    view, core = vars(make_view()), nnx.merge(*PAPER)
    view["context_valid"] = np.isin(np.arange(N), seen)
    # Pieces behind the last row seen are not looked at.
    unlooked = 3 * -(-(max(seen, default=-1) + 1) // 3)
    spoilt = np.where(np.arange(N)[:, None] < unlooked, view["context"], np.nan)
    told = refine(core, view | {"context": spoilt.astype(np.float32)}, piece=3)
    np.testing.assert_allclose(told, refine(core, view), atol=3e-6)


def test_each_query_may_see_other_pieces():
    view, attention = make_view(), nnx.merge(*PAPER).phi[0].context_attention
    mask = np.random.default_rng(6).random((Q, N)) < 0.3
    mask[0], mask[1] = False, np.arange(N) >= N - 1
    args = view.context[:Q], view.context, mask
    np.testing.assert_allclose(attention(*args, piece=3), attention(*args), atol=3e-6)


def test_queries_are_permuted_with_their_masks():
    view, order = make_view(), np.random.default_rng(3).permutation(Q)
    permuted = queries(coverage=view.coverage[order], valid=view.valid[order])
    np.testing.assert_allclose(permuted, queries()[order], atol=3e-6)


def test_padding_with_queries_and_context_rows_changes_nothing():
    view, more = make_view(), np.random.default_rng(4).random((5, PATCHES)).astype(np.float32)
    padded = queries(
        coverage=np.concatenate([view.coverage, more]),
        valid=np.concatenate([view.valid, np.zeros(5, bool)]),
        context=np.concatenate([view.context, np.full((8, 16), 5.0, np.float32)]),
        context_valid=np.concatenate([view.context_valid, np.zeros(8, bool)]),
    )
    np.testing.assert_allclose(padded[:Q], queries(), atol=3e-6)


@pytest.mark.parametrize(
    "empty", [{"coverage": np.zeros((Q, PATCHES), np.float32)}, {"valid": np.zeros(Q, bool)}]
)
def test_empty_frames_are_finite_with_finite_gradients(empty):
    for x in jax.tree.leaves(summed(*PAPER, vars(make_view()) | empty)):
        assert np.isfinite(x).all()


def test_one_trace_serves_all_frames_and_the_structure_is_hashable():
    graphdef, params = PAPER
    queries()
    before = len(TRACES)
    for i in range(3):
        view = make_view(seed=i)
        view.valid = np.arange(Q) < i
        summed(make_core(small_config())[0], params, vars(view))
    assert len(TRACES) == before
    assert hash(graphdef) != hash(make_core(small_config(context=False))[0])


def test_positions_tell_patches_apart():
    view = make_view()
    same = {name: np.ones_like(getattr(view, name)) for name in ("features_3d", "features_2d")}
    view = vars(view) | same | {"coverage": np.eye(Q, PATCHES, dtype=np.float32)}
    spread = {}
    for kind in ("none", "sincos"):
        core = nnx.merge(*make_core(small_config(positional_encoding=kind)))
        spread[kind] = np.ptp(refine(core, view)[:5], axis=0).max()
    assert spread["none"] < 1e-5
    assert spread["sincos"] > 1e-3


def test_bfloat16_is_close_and_keeps_queries_in_float32(view):
    config = small_config()
    exact = run_core(nnx.merge(*PAPER), view)
    graphdef, params = make_core(config, dtype=jnp.bfloat16)
    refined, reference = run_core(nnx.merge(graphdef, params), view)
    assert refined.dtype == jnp.float32
    assert reference.dtype == jnp.bfloat16
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(params))
    for a, b in zip((refined, reference.astype(jnp.float32)), exact, strict=True):
        assert np.linalg.norm(a - b) < 0.03 * np.linalg.norm(b)


def test_a_source_left_out_is_not_read(view):
    core = nnx.merge(*make_core(small_config(sources="2d")))
    base = core.tokens(view.features_3d, view.features_2d)
    assert base.shape == (PATCHES, C2)
    np.testing.assert_array_equal(base, core.tokens(view.features_3d * np.nan, view.features_2d))


def test_a_new_core_starts_from_its_seed():
    def params(seed):
        return split_core(Core(small_config(refine_layers=1), C3, C2, rngs=nnx.Rngs(seed)))[1]

    jax.tree.map(np.testing.assert_array_equal, params(0), params(0))
    kernels = [p["eta"]["mlp"]["layers"][0]["kernel"][...] for p in (params(0), params(1))]
    assert not np.allclose(*kernels)


def test_an_untrained_core_keeps_the_angles_of_the_features():
    view = make_view(width=24)
    core = Core(small_config(width=24), C3, C2, rngs=nnx.Rngs(0))
    tokens = core.tokens(view.features_3d, view.features_2d)
    queries, plain = core.prototypes(tokens, view.coverage)[:4], tokens[:4]
    np.testing.assert_allclose(
        core.reference(tokens) @ core.reference(plain).T, tokens @ plain.T, atol=1e-4
    )
    mean = view.coverage[:4] @ tokens / view.coverage[:4].sum(1, keepdims=True)
    np.testing.assert_allclose(queries @ core.reference(tokens).T, mean @ tokens.T, atol=1e-4)
    refined = refine(core, vars(view))
    np.testing.assert_allclose(refined, core.phi_norm(core.prototypes(tokens, view.coverage)))


def test_the_baseline_is_the_mean_token_and_has_no_parameters(view):
    core = FeatureCore(small_config(), C3, C2)
    tokens = core.tokens(view.features_3d, view.features_2d)
    assert not jax.tree.leaves(split_core(core)[1])
    assert core.width == tokens.shape[1] == C3 + C2
    expected = view.coverage[:4] @ tokens / view.coverage[:4].sum(1, keepdims=True)
    first = core.prototypes(tokens, view.coverage)
    np.testing.assert_allclose(first[:4], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(first[4], 0)
    np.testing.assert_array_equal(refine(core, vars(view)), first)
    np.testing.assert_array_equal(core.reference(tokens), tokens)
