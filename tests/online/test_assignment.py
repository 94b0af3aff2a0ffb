import functools

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given
from scipy.optimize import linear_sum_assignment

from moonseg_jax.online import assignment
from moonseg_jax.online.assignment import assign

run = jax.jit(assign, static_argnames="alone")


def in_one_kernel(cost, alone):
    """As on a GPU, interpreted."""
    solve = functools.partial(assignment._in_one_kernel, interpret=True)
    return np.asarray(jax.jit(solve)(cost, np.float32(alone)))


def total(cost, choice, alone):
    taken = choice[choice >= 0]
    assert len(set(taken)) == len(taken)
    picked = cost[np.flatnonzero(choice >= 0), taken]
    return picked.sum() + alone * (choice < 0).sum()


def least(cost, alone):
    """SciPy's, every row with a column of its own for staying alone."""
    own = np.where(np.eye(len(cost), dtype=bool), alone, 1e6)
    whole = np.concatenate([np.where(np.isfinite(cost), cost, 1e6), own], axis=1)
    return whole[linear_sum_assignment(whole)].sum()


costs = hnp.arrays(np.float32, (6, 5), elements=st.sampled_from([0, 0.25, 0.5, 1, 4, np.inf]))


@given(costs, st.sampled_from([0.5, 1.0, 40.0]))
def test_least_total_on_tied_costs(cost, alone):
    choice = np.asarray(run(cost, alone=alone))
    np.testing.assert_allclose(total(cost, choice, alone), least(cost, alone), rtol=1e-6)


@given(costs, st.sampled_from([0.5, 1.0]))
def test_costs_may_be_negative(cost, alone):
    choice = np.asarray(run(cost - 1, alone=alone - 1))
    expected = least(cost - 1, alone - 1)
    np.testing.assert_allclose(total(cost - 1, choice, alone - 1), expected, atol=1e-5)


@pytest.mark.parametrize("q, n, common", [(32, 64, 8), (64, 16, 16), (48, 48, 47)])
def test_rivals_for_few_columns(q, n, common):
    """More rows than columns that any of them can have: bidding alone would not end."""
    rng = np.random.default_rng(q)
    cost = np.full((q, n), np.inf, np.float32)
    cost[:, :common] = rng.uniform(0, 1, (q, common))
    choice = np.asarray(run(cost, alone=100.0))
    assert (choice >= 0).sum() == min(q, common)
    np.testing.assert_allclose(total(cost, choice, 100.0), least(cost, 100.0), rtol=1e-5)


def test_a_tie_with_staying_alone_goes_to_the_column():
    np.testing.assert_array_equal(run(np.full((3, 2), 5.0, np.float32), alone=5.0) >= 0, [1, 1, 0])
    # The first row can move over for the second one at no cost.
    np.testing.assert_array_equal(
        run(np.array([[1.0, 1.0], [5.0, np.inf]], np.float32), alone=5.0), [1, 0]
    )


def test_staying_alone_is_chosen_where_it_is_cheaper():
    cost = np.array([[2.0, 9.0], [3.0, 9.0], [9.0, 9.0]], np.float32)
    np.testing.assert_array_equal(run(cost, alone=5.0), [0, -1, -1])


@pytest.mark.parametrize(
    "q, n, tile, share, levels",
    [(64, 256, 1 << 11, 0.03, 0), (24, 90, 128, 0.3, 3), (40, 9, 1 << 13, 1.0, 0)],
)
def test_the_kernel_of_a_gpu_decides_the_same(q, n, tile, share, levels, monkeypatch):
    """All rows bidding together or in pieces; ties, and more rows than columns."""
    monkeypatch.setattr(assignment, "_TILE", tile)
    rng = np.random.default_rng((q, int(100 * share)))
    cost = rng.uniform(-1.2, 0, (q, n)).astype(np.float32)
    if levels:
        cost = np.floor(cost * levels) / np.float32(levels)
    cost[rng.random((q, n)) >= share] = np.inf
    for alone in (0.0, 80.0):
        choice = in_one_kernel(cost, alone)
        np.testing.assert_array_equal(choice, run(cost, alone=alone))
        expected = least(cost + 2, alone + 2)
        np.testing.assert_allclose(total(cost + 2, choice, alone + 2), expected, rtol=1e-5)


def test_on_a_gpu_it_is_one_kernel():
    cost = jax.ShapeDtypeStruct((60, 300), np.float32)
    alone = jax.ShapeDtypeStruct((), np.float32)
    names = [e.primitive.name for e in jax.make_jaxpr(assignment._in_one_kernel)(cost, alone).eqns]
    assert names.count("pallas_call") == 1
    assert not {"while", "cond", "scan"} & set(names)
