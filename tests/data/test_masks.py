import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from moonseg_jax.data import fit_masks
from moonseg_jax.structs import pack_masks


def unpacked(planes: np.ndarray) -> np.ndarray:
    """``[q H W]`` bool, one bit at a time."""
    q = 32 * planes.shape[-1]
    return np.stack([(planes[..., i // 32] >> np.uint32(i % 32)) & np.uint32(1) for i in range(q)])


@settings(max_examples=40, deadline=None)
@given(data=st.data(), words=st.integers(1, 3), seed=st.integers(0, 1000))
def test_against_the_definition(data, words, seed):
    capacity = 32 * data.draw(st.integers(1, words))
    rng = np.random.default_rng(seed)
    masks = rng.random((32 * words, 4, 5)) < rng.random((32 * words, 1, 1))
    valid = rng.random(32 * words) < data.draw(st.floats(0, 1))
    scores = np.arange(32 * words, dtype=np.float32) + 1
    before = pack_masks(masks)
    planes, kept, kept_scores, dropped = fit_masks(before.copy(), valid, scores, capacity)

    ids = np.flatnonzero(valid)
    order = sorted(ids, key=lambda i: (-masks[i].sum(), i))
    expected = set(order[:capacity])
    assert planes.shape == (4, 5, capacity // 32) and planes.dtype == np.uint32
    assert kept.shape == (capacity,) and kept_scores.dtype == np.float32
    assert dropped == max(0, len(ids) - capacity)
    found = {}
    for slot in np.flatnonzero(kept):
        found[int(kept_scores[slot]) - 1] = unpacked(planes)[slot].astype(bool)
    assert set(found) == expected
    assert all((found[i] == masks[i]).all() for i in expected)
    assert not kept_scores[~kept].any()


def test_masks_below_the_capacity_stay_where_they_are():
    masks = np.random.default_rng(0).random((40, 6, 6)) < 0.5
    valid = np.arange(64) % 3 == 0
    valid[40:] = False
    scores = np.arange(64, dtype=np.float32)
    _, kept, kept_scores, dropped = fit_masks(pack_masks(masks), valid, scores, 32)
    stays = np.flatnonzero(valid[:32])
    np.testing.assert_array_equal(kept_scores[stays], stays)
    assert dropped == 0 and kept.sum() == valid.sum()
