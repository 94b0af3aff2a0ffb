import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from moonseg_jax.structs import pack_masks, unpack_masks


@given(st.integers(0, 70), st.integers(0, 2**32 - 1))
def test_unpacking_gives_back_every_overlapping_mask(q, seed):
    masks = np.random.default_rng(seed).random((q, 3, 5)) > 0.5
    planes = pack_masks(masks)
    assert planes.dtype == np.uint32
    assert planes.shape == (3, 5, max(1, -(-q // 32)))
    unpacked = np.asarray(unpack_masks(planes))
    np.testing.assert_array_equal(unpacked[:q], masks)
    assert not unpacked[q:].any()


def test_bit_and_word_are_where_the_contract_says():
    masks = np.zeros((34, 1, 1), bool)
    masks[33] = True
    np.testing.assert_array_equal(pack_masks(masks)[0, 0], [0, 2])
