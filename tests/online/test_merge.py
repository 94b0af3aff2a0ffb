import jax.numpy as jnp
import numpy as np
import pytest

from moonseg_jax.models import mask_coverage
from moonseg_jax.online.merge import (
    group_members,
    merge_groups,
    merge_observations,
    union_coverage,
)
from moonseg_jax.online.observe import Observation
from moonseg_jax.online.similarity import cosine
from moonseg_jax.structs import pack_masks, unpack_masks
from tests.reference.online import merge_greedy, merge_union_find


def random_queries(seed, q=32, d=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(q, d)).astype(np.float32), rng.random(q) < 0.8


@pytest.mark.parametrize("rule, twin", [("components", merge_union_find), ("greedy", merge_greedy)])
@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95, 2.0])
def test_groups_match_the_twin(rule, twin, threshold):
    for seed in range(5):
        queries, valid = random_queries(seed)
        ours = np.asarray(merge_groups(jnp.asarray(queries), jnp.asarray(valid), threshold, rule))
        np.testing.assert_array_equal(ours, twin(queries, valid, threshold))
        assert (ours[~valid] == np.flatnonzero(~valid)).all()


def test_a_chain_is_one_component_but_one_greedy_pair():
    angle = np.deg2rad([0, 30, 60, 90, 119])  # The last two are the most alike.
    queries = jnp.asarray(np.stack([np.cos(angle), np.sin(angle)], 1), jnp.float32)
    valid = jnp.ones(5, bool)
    threshold = float(np.cos(np.deg2rad(31)))
    chain = merge_groups(queries, valid, threshold, "components")
    np.testing.assert_array_equal(chain, [0, 0, 0, 0, 0])
    pairs = merge_groups(queries, valid, threshold, "greedy")
    assert pairs[4] == 3
    assert len(set(np.asarray(pairs).tolist())) == 3


def test_unknown_rule():
    with pytest.raises(ValueError, match="merge_rule"):
        merge_groups(jnp.ones((2, 2)), jnp.ones(2, bool), 0.8, "both")


def test_zero_vectors_are_like_nothing():
    a = jnp.asarray([[0.0, 0.0], [1.0, 0.0]])
    np.testing.assert_array_equal(cosine(a, a), [[0, 0], [0, 1]])


def test_merged_observation_is_mean_union_and_best():
    rng = np.random.default_rng(0)
    valid = np.array([True, True, False, True])
    low = rng.normal(size=(4, 3))
    boxes = np.stack([low, low + 1], 1)
    observed = Observation(
        queries=jnp.asarray(rng.normal(size=(4, 5))),
        tokens=jnp.asarray(rng.normal(size=(4, 2))),
        boxes=jnp.asarray(boxes),
        scores=jnp.asarray([0.2, 0.9, 1.0, 0.5]),
        valid=jnp.asarray(valid),
    )
    merged = merge_observations(observed, jnp.asarray([0, 1, 2, 0]))
    np.testing.assert_array_equal(merged.valid, [True, True, False, False])
    both = np.asarray(observed.queries)[[0, 3]].mean(0)
    np.testing.assert_allclose(merged.queries[0], both, rtol=1e-6)
    both = np.asarray(observed.tokens)[[0, 3]].mean(0)
    np.testing.assert_allclose(merged.tokens[0], both, rtol=1e-6)
    np.testing.assert_allclose(merged.boxes[0, 0], boxes[[0, 3], 0].min(0), rtol=1e-6)
    np.testing.assert_allclose(merged.boxes[0, 1], boxes[[0, 3], 1].max(0), rtol=1e-6)
    np.testing.assert_allclose(merged.scores[:2], [0.5, 0.9])
    np.testing.assert_allclose(merged.queries[1], observed.queries[1], rtol=1e-6)


def test_coverage_of_unions_is_that_of_the_united_masks():
    rng = np.random.default_rng(1)
    planes = jnp.asarray(pack_masks(rng.random((40, 16, 24)) < 0.3))
    masks = np.asarray(unpack_masks(planes))
    group = rng.integers(0, 10, len(masks))
    group = jnp.asarray([np.flatnonzero(group == g)[0] for g in group], jnp.int32)
    member = group_members(group, jnp.asarray(np.arange(len(masks)) < 40))
    united = np.stack([masks[row].any(0) for row in np.asarray(member)])
    ours = union_coverage(planes, member, (4, 6))
    np.testing.assert_array_equal(ours, mask_coverage(jnp.asarray(united), (4, 6)))
