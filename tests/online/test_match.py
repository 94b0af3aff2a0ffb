import itertools

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given

from moonseg_jax.online.match import match
from tests.reference.online import assign

run = jax.jit(match, static_argnames="best")


def solve(score, feasible):
    score = np.asarray(score, np.float32)
    return np.asarray(run(score, feasible, best=3)), assign(score, feasible)


def assert_as_good(ours, theirs, score, feasible):
    """The same number of pairs and the same total; each row taken once; feasible only."""
    taken = ours[ours >= 0]
    assert len(set(taken)) == len(taken)
    masks = np.flatnonzero(ours >= 0)
    assert feasible[masks, ours[masks]].all()
    assert len(taken) == (theirs >= 0).sum()
    total = score[np.flatnonzero(theirs >= 0), theirs[theirs >= 0]].sum()
    np.testing.assert_allclose(score[masks, ours[masks]].sum(), total, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("q, n", [(1, 1), (8, 40), (40, 8), (32, 32), (64, 300)])
@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("levels", [0, 3])
def test_optimal_against_scipy(q, n, share, levels):
    rng = np.random.default_rng((q, n, int(100 * share), levels))
    score = rng.uniform(1.8, 3, (q, n))
    if levels:  # Ties.
        score = 1.8 + np.floor((score - 1.8) / 1.2 * levels) * 1.2 / levels
    feasible = rng.random((q, n)) < share
    ours, theirs = solve(score, feasible)
    assert_as_good(ours, theirs, score.astype(np.float32), feasible)


@given(
    hnp.arrays(np.int32, (6, 15), elements=st.integers(0, 4)),
    hnp.arrays(bool, (6, 15), elements=st.booleans()),
)
def test_optimal_on_tied_costs(level, feasible):
    score = (1.8 + 0.3 * level).astype(np.float32)
    ours, theirs = solve(score, feasible)
    assert_as_good(ours, theirs, score, feasible)


def test_prefers_more_pairs_to_a_greater_total():
    # Three masks on three rows: 1.8 thrice along the diagonal, or 3.0 twice beside it.
    score = np.array([[1.8, 3.0, 0], [0, 1.8, 3.0], [0, 0, 1.8]])
    ours, theirs = solve(score, score >= 1.8)
    assert list(ours) == list(theirs) == [0, 1, 2]


def test_best_of_all_permutations():
    rng = np.random.default_rng(5)
    score = rng.uniform(1.8, 3, (4, 4)).astype(np.float32)
    ours, _ = solve(score, np.ones((4, 4), bool))
    best = max(itertools.permutations(range(4)), key=lambda p: score[range(4), p].sum())
    assert tuple(ours) == best


@pytest.mark.parametrize("q, n", [(5, 3), (3, 500)])
def test_nothing_feasible(q, n):
    ours, _ = solve(np.full((q, n), 3.0), np.zeros((q, n), bool))
    assert (ours == -1).all()


def test_more_masks_than_instances():
    score = np.full((6, 2), 2.5)
    score[4] = score[5] = 2.9
    ours, _ = solve(score, np.ones((6, 2), bool))
    assert sorted(ours[4:]) == [0, 1]
    assert (ours[:4] == -1).all()


def test_one_row_wanted_by_all_goes_to_the_most_alike():
    score = np.linspace(1.9, 2.8, 8)[:, None] * np.ones((1, 100))
    feasible = np.zeros((8, 100), bool)
    feasible[:, 71] = True
    ours, _ = solve(score, feasible)
    assert list(ours) == [-1] * 7 + [71]
