import jax
import jax.numpy as jnp
import numpy as np
import pytest

from moonseg_jax.losses import dist_loss, merge_loss, seg_loss, xseg_loss
from moonseg_jax.losses.merging import pairs
from moonseg_jax.losses.segmentation import binary_cross_entropy, products
from tests.reference import losses as twin
from tests.reference.parity import assert_agree, precision, to_torch

GRID, P, Q, D = (3, 4), 12, 5, 8
DTYPES = ["float64", "float32"]


def inputs(dtype):
    rng = np.random.default_rng(0)
    coverage = np.clip(rng.random((Q, P)) * 1.4 - 0.2, 0, 1)
    target = np.clip(rng.random((Q, 6, 16)) * 1.4 - 0.2, 0, 1)
    floats = [rng.normal(size=s) for s in ((P, D), (Q, D), (P, 6), (P, 7))]
    return [jnp.asarray(x, dtype) for x in (*floats, coverage, target)]


def agree(ours, theirs, arguments, tolerance):
    """Value, and the gradient with respect to every argument."""
    value, grads = jax.value_and_grad(ours, argnums=tuple(range(len(arguments))))(*arguments)
    tensors = [to_torch(x, True) for x in arguments]
    expected = theirs(*tensors)
    expected.backward()
    assert value.dtype == arguments[0].dtype
    assert_agree(value, expected, tolerance, "value")
    for i, (grad, tensor) in enumerate(zip(grads, tensors, strict=True)):
        assert_agree(grad, tensor.grad, tolerance, f"argument {i}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("logits", ["dot", "cosine"])
def test_seg_loss_agrees_with_the_twin(logits, dtype):
    with precision(dtype) as tolerance:
        features, queries, *_, target = inputs(dtype)
        valid = np.arange(Q) != 2
        agree(
            lambda f, q, t: seg_loss(f, q, t, valid, GRID, logits=logits),
            lambda f, q, t: twin.seg_loss(f, q, t, to_torch(valid), GRID, logits),
            (features, queries, target),
            tolerance,
        )


def some_goals():
    """Two parts of one object, two others apart, a part of the last, and a mask that is not one."""
    goals = np.zeros((6, P))
    goals[:2, :4], goals[2, 4:6], goals[3:5, 6:], goals[4, 9:] = 0.9, 1, 0.7, 0
    return goals


@pytest.mark.parametrize("dtype", DTYPES)
def test_merge_loss_agrees_with_the_twin(dtype):
    with precision(dtype) as tolerance:
        queries = jnp.asarray(np.random.default_rng(1).normal(size=(6, D)), dtype)
        goals, valid = some_goals().astype(dtype), np.arange(6) != 5
        agree(
            lambda q: merge_loss(q, goals, valid),
            lambda q: twin.merge_loss(q, to_torch(goals), to_torch(valid)),
            (queries,),
            tolerance,
        )


def test_merge_loss_counts_pairs_of_one_object_and_of_two():
    same, other = pairs(jnp.asarray(some_goals()), np.arange(6) != 5)
    assert np.argwhere(np.triu(same)).tolist() == [[0, 1]]
    apart = [[0, 2], [0, 3], [0, 4], [1, 2], [1, 3], [1, 4], [2, 3], [2, 4]]
    assert np.argwhere(np.triu(other)).tolist() == apart


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_dist_loss_agrees_with_the_twin(reduction, dtype):
    with precision(dtype) as tolerance:
        features, _, f3, f2, *_ = inputs(dtype)
        agree(
            lambda *x: dist_loss(*x, reduction),
            lambda *x: twin.dist_loss(*x, reduction),
            (features, f3, f2),
            tolerance,
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("logits", ["dot", "cosine"])
def test_xseg_loss_agrees_with_the_twin(logits, dtype):
    with precision(dtype) as tolerance:
        context, queries, _, _, coverage, _ = inputs(dtype)
        seen, valid = np.arange(P) % 3 > 0, np.arange(Q) != 2
        agree(
            lambda c, q, m: xseg_loss(c, seen, q, m, valid, logits=logits),
            lambda c, q, m: twin.xseg_loss(c, to_torch(seen), q, m, to_torch(valid), logits),
            (context, queries, coverage),
            tolerance,
        )


def test_cross_entropy_holds_at_extreme_logits():
    x = jnp.array([-1e4, -100.0, 0.0, 100.0, 1e4])
    value = jax.vmap(binary_cross_entropy)
    np.testing.assert_allclose(value(x, jnp.zeros(5)), [0, 0, np.log(2), 100, 1e4], rtol=1e-6)
    np.testing.assert_allclose(value(x, jnp.ones(5)), [1e4, 100, np.log(2), 0, 0], rtol=1e-6)
    slope = jax.vmap(jax.grad(binary_cross_entropy))(x, jnp.full(5, 0.25))
    np.testing.assert_allclose(slope, [-0.25, -0.25, 0.25, 0.75, 0.75], atol=1e-7)


def test_a_frame_without_queries_costs_nothing():
    features, queries, _, _, coverage, target = inputs("float32")
    nobody, nowhere = np.zeros(Q, bool), np.zeros(P, bool)
    somewhere = ~nowhere

    def total(features, queries):
        return (
            seg_loss(features, queries, target, nobody, GRID)
            + xseg_loss(features, somewhere, queries, coverage, nobody)
            + xseg_loss(features, nowhere, queries, coverage, ~nobody)
        )

    value, grads = jax.value_and_grad(total, argnums=(0, 1))(features, queries)
    assert value == 0
    assert all((g == 0).all() for g in grads)


def test_dist_loss_vanishes_where_all_structures_agree():
    features = inputs("float32")[0]
    assert dist_loss(features, 3 * features, 0.1 * features) < 1e-10
    grad = jax.grad(dist_loss)(jnp.zeros_like(features), features, features)
    assert np.isfinite(grad).all()


def test_in_bfloat16_the_backward_pass_multiplies_in_bfloat16():
    rows = jnp.ones((3, 4), jnp.bfloat16), jnp.ones((5, 4), jnp.bfloat16)
    assert products(*rows).dtype == jnp.float32
    gradient = jax.grad(lambda a, b: jnp.sum(jnp.square(products(a, b))), (0, 1))
    text = str(jax.make_jaxpr(gradient)(*rows))
    assert text.count("dot_general") == 3
    assert "preferred_element_type=bfloat16" in text
    ours, exact = (gradient(*(x.astype(kind) for x in rows)) for kind in ("bfloat16", "float32"))
    for a, b in zip(ours, exact, strict=True):
        assert a.dtype == jnp.bfloat16
        np.testing.assert_allclose(a.astype(jnp.float32), b, rtol=1e-2)
