import jax.numpy as jnp
import numpy as np
import pytest

from moonseg_jax.geometry import plane_coverage, unite_planes
from moonseg_jax.models import mask_coverage
from moonseg_jax.structs import pack_masks, unpack_masks


def planes_of(seed, q, size, share=0.4):
    return jnp.asarray(pack_masks(np.random.default_rng(seed).random((q, *size)) < share))


@pytest.mark.parametrize(
    "size, grid",
    [
        ((8, 12), (8, 12)),
        ((8, 12), (4, 6)),
        ((48, 64), (6, 8)),
        ((34, 51), (2, 3)),  # Cells of 17x17 pixels: a prime.
        ((64, 96), (1, 1)),  # More pixels than a byte counts.
    ],
)
@pytest.mark.parametrize("share", [0.4, 1.0])
def test_coverage_is_that_of_the_unpacked_masks(size, grid, share):
    planes = planes_of(0, 40, size, share)
    expected = mask_coverage(unpack_masks(planes), grid)
    np.testing.assert_array_equal(plane_coverage(planes, grid), expected)


def test_finer_cells_take_the_pixel_they_lie_in():
    planes = planes_of(1, 5, (6, 8))
    expected = np.asarray(unpack_masks(planes)).repeat(2, 1).repeat(2, 2).reshape(32, -1)
    np.testing.assert_array_equal(plane_coverage(planes, (12, 16)), expected)


def test_cells_that_are_not_equal():
    with pytest.raises(ValueError, match="equal"):
        plane_coverage(planes_of(2, 3, (8, 12)), (3, 6))


def test_unions():
    rng = np.random.default_rng(3)
    planes = planes_of(3, 64, (9, 7), 0.1)
    member = rng.random((64, 64)) < 0.05
    masks = np.asarray(unpack_masks(planes))
    expected = np.stack([masks[row].any(0) for row in member])
    united = unite_planes(planes, jnp.asarray(member))
    np.testing.assert_array_equal(unpack_masks(united), expected)
