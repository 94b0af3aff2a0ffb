from dataclasses import replace

import numpy as np
import pytest

from moonseg_jax.rooms import NO_CORRUPTION, CorruptionRates, corrupt_masks


@pytest.fixture(scope="module")
def labels():
    """Twelve discs in touching pairs on an empty background, ids not consecutive."""
    rows, cols = np.indices((96, 128))
    result = np.zeros((96, 128), np.int32)
    for k in range(12):
        row, col = 16 + 32 * (k // 4), 17 + 18 * (k % 4) + 24 * (k % 4 // 2)
        result[(rows - row) ** 2 + (cols - col) ** 2 < 100] = 5 * k + 3
    return result


def run(labels, frames=150, **rates):
    rng = np.random.default_rng(0)
    return [corrupt_masks(labels, rng, replace(NO_CORRUPTION, **rates)) for _ in range(frames)]


def count(masks):
    return len(np.unique(masks)) - 1


def same_partition(a, b):
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
    return len(np.unique(a)) == len(np.unique(b)) == pairs.shape[1]


def test_zero_rates_change_nothing(labels):
    result = corrupt_masks(labels, np.random.default_rng(0), NO_CORRUPTION)
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, labels)


def test_same_generator_same_masks(labels):
    a, b = (corrupt_masks(labels, np.random.default_rng(4), CorruptionRates()) for _ in "ab")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, corrupt_masks(labels, np.random.default_rng(5), CorruptionRates()))


def test_misses_keep_their_rate_and_the_rest(labels):
    results = run(labels, miss=0.3)
    assert np.mean([count(m) for m in results]) == pytest.approx(12 * 0.7, rel=0.08)
    for masks in results[:10]:
        assert same_partition(np.where(masks > 0, labels, 0), masks)


def test_splits_keep_their_rate_and_cover(labels):
    results = run(labels, split=0.25)
    parts = [len(np.unique(m[labels == 3])) for m in results]
    assert np.mean(np.array(parts) > 1) == pytest.approx(0.25, abs=0.1)
    assert max(parts) <= 4
    for masks in results[:10]:
        np.testing.assert_array_equal(masks > 0, labels > 0)
        for label in np.unique(masks)[1:]:
            assert len(np.unique(labels[masks == label])) == 1


def test_merges_join_only_what_touches(labels):
    results = run(labels, merge=0.3)
    assert 6 <= np.mean([count(m) for m in results]) < 11.5
    for masks in results:
        np.testing.assert_array_equal(masks > 0, labels > 0)
        assert count(masks) >= 6
        for label in np.unique(labels)[1:]:
            assert len(np.unique(masks[labels == label])) == 1


def test_jitter_moves_boundaries_only_and_about_as_far(labels):
    changed = []
    for masks in run(labels, frames=20, jitter=8.0):  # Two pixels of 128.
        assert count(masks) == 12
        changed.append(np.mean((masks > 0) != (labels > 0)) / np.mean(labels > 0))
    assert 0.05 < np.mean(changed) < 0.35


def test_false_masks_lie_on_the_background(labels):
    results = run(labels, false=1.5)
    assert np.mean([count(m) - 12 for m in results]) == pytest.approx(1.5, abs=0.35)
    for masks in results[:20]:
        assert same_partition(labels, np.where(labels > 0, masks, 0))


def test_fragments_are_small(labels):
    for masks in run(labels, frames=10, fragment=1.0):
        assert 12 < count(masks) <= 24
        sizes = np.sort(np.bincount(masks.ravel())[1:])
        assert sizes[0] < 40
