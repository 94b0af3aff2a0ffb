import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import torch
from hypothesis import given

from moonseg_jax.models import attended_patches, mask_coverage
from tests.reference import models as twin


def test_coverage_is_the_fraction_of_each_patch():
    masks = np.zeros((2, 4, 8), bool)
    masks[0, :2, :2] = True
    masks[0, 0, 2] = True
    masks[1] = True
    expected = np.zeros((2, 8))
    expected[0, :2] = 1, 0.25
    expected[1] = 1
    np.testing.assert_array_equal(mask_coverage(masks, (2, 4)), expected)
    np.testing.assert_array_equal(mask_coverage(masks[None], (2, 4))[0], expected)


def test_exactly_half_is_not_more_than_half():
    coverage = np.array([[0.5, 0.5, 0.75], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]], np.float32)
    expected = [[False, False, True], [True, False, False], [False, False, False]]
    np.testing.assert_array_equal(attended_patches(coverage, 0.5), expected)


@given(
    hnp.arrays(np.float32, (4, 6), elements=st.sampled_from(np.float32([0, 0.25, 0.5, 0.75, 1])))
)
def test_attended_patches_agree_with_the_twin(coverage):
    expected = twin.attended_patches(torch.tensor(coverage), 0.5)
    np.testing.assert_array_equal(attended_patches(coverage, 0.5), expected)
