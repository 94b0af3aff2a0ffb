import itertools

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given

from moonseg_jax.online.match import match
from tests.reference.online import assign

THRESHOLD = 1.8
run = jax.jit(match, static_argnames=("threshold", "rule"))
both_rules = pytest.mark.parametrize("rule", ["score", "count"])


def solve(score, candidate, rule):
    score = np.asarray(score, np.float32)
    feasible = candidate & (score >= THRESHOLD)
    ours = np.asarray(run(score, candidate, threshold=THRESHOLD, rule=rule))
    return ours, assign(score, feasible, THRESHOLD, rule)


def total(score, choice):
    """The sum of E above the threshold."""
    masks = np.flatnonzero(choice >= 0)
    return (score[masks, choice[masks]].astype(float) - THRESHOLD).sum()


def assert_optimal(score, candidate, rule):
    """As good as SciPy's; each row taken once; feasible only."""
    score = np.asarray(score, np.float32)
    ours, theirs = solve(score, candidate, rule)
    taken, masks = ours[ours >= 0], np.flatnonzero(ours >= 0)
    assert len(set(taken)) == len(taken)
    assert candidate[masks, taken].all()
    assert (score[masks, taken] >= np.float32(THRESHOLD)).all()
    if rule == "count":
        assert len(taken) == (theirs >= 0).sum()
    np.testing.assert_allclose(total(score, ours), total(score, theirs), rtol=1e-5, atol=1e-4)


@both_rules
@pytest.mark.parametrize("q, n", [(1, 1), (8, 40), (40, 8), (32, 32), (64, 300)])
@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("levels", [0, 3])
def test_optimal_against_scipy(q, n, share, levels, rule):
    rng = np.random.default_rng((q, n, int(100 * share), levels))
    score = rng.uniform(1.5, 3, (q, n))
    if levels:  # Ties, some of them at the threshold.
        score = THRESHOLD + np.floor((score - THRESHOLD) / 1.2 * levels) * 1.2 / levels
    assert_optimal(score, rng.random((q, n)) < share, rule)


@both_rules
@given(
    level=hnp.arrays(np.int32, (6, 15), elements=st.integers(-1, 4)),
    candidate=hnp.arrays(bool, (6, 15), elements=st.booleans()),
)
def test_optimal_on_tied_costs(level, candidate, rule):
    assert_optimal(THRESHOLD + 0.3 * level, candidate, rule)


@pytest.mark.parametrize("rule, choice", [("count", [0, 1, 2]), ("score", [1, 2, -1])])
def test_more_pairs_or_a_greater_total(rule, choice):
    # Three masks on three rows: 1.9 thrice along the diagonal, or 3.0 twice beside it.
    score = np.array([[1.9, 3.0, 0], [0, 1.9, 3.0], [0, 0, 1.9]])
    ours, theirs = solve(score, np.ones((3, 3), bool), rule)
    assert list(ours) == list(theirs) == choice


@both_rules
def test_best_of_all_permutations(rule):
    rng = np.random.default_rng(5)
    score = rng.uniform(2.6, 3, (4, 4)).astype(np.float32)
    ours, _ = solve(score, np.ones((4, 4), bool), rule)
    best = max(itertools.permutations(range(4)), key=lambda p: score[range(4), p].sum())
    assert tuple(ours) == best


@both_rules
@pytest.mark.parametrize("q, n", [(5, 3), (3, 500)])
@pytest.mark.parametrize("score, candidate", [(3.0, False), (1.7, True)])
def test_nothing_feasible(q, n, score, candidate, rule):
    ours, _ = solve(np.full((q, n), score), np.full((q, n), candidate), rule)
    assert (ours == -1).all()


@both_rules
def test_more_masks_than_instances(rule):
    score = np.full((6, 2), 2.5)
    score[4] = score[5] = 2.9
    ours, _ = solve(score, np.ones((6, 2), bool), rule)
    assert sorted(ours[4:]) == [0, 1]
    assert (ours[:4] == -1).all()


@both_rules
@pytest.mark.parametrize("q, n", [(1, 1), (5, 5), (4, 300), (9, 4)])
def test_exactly_at_the_threshold_is_a_match(q, n, rule):
    ours, _ = solve(np.full((q, n), THRESHOLD), np.ones((q, n), bool), rule)
    assert (ours >= 0).sum() == min(q, n)
    below = np.nextafter(np.float32(THRESHOLD), np.float32(0))
    ours, _ = solve(np.full((q, n), below), np.ones((q, n), bool), rule)
    assert (ours == -1).all()


@both_rules
def test_one_row_wanted_by_all_goes_to_the_most_alike(rule):
    score = np.linspace(1.9, 2.8, 8)[:, None] * np.ones((1, 100))
    candidate = np.zeros((8, 100), bool)
    candidate[:, 71] = True
    ours, _ = solve(score, candidate, rule)
    assert list(ours) == [-1] * 7 + [71]


def test_unknown_rule_is_refused():
    with pytest.raises(ValueError, match=r"online\.assignment"):
        match(np.ones((1, 1)), np.ones((1, 1), bool), THRESHOLD, "most")
