import numpy as np
import pytest

from bridges.preprocess import plan_transform


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ((480, 640), (384, 512)),
        ((720, 1280), (288, 512)),
        ((968, 1296), (368, 512)),  # ScanNet's colour as it is stored.
        ((384, 512), (384, 512)),
        ((640, 480), (512, 384)),
        ((60, 80), (384, 512)),
        ((10, 1000), (16, 512)),
    ],
)
def test_sizes_are_cut3rs(source, expected):
    transform = plan_transform(source)
    assert transform.image_size == expected
    assert transform.image(np.zeros((*source, 3), np.uint8)).shape == (*expected, 3)


def test_same_size_is_left_alone():
    image = np.random.default_rng(0).integers(0, 256, (384, 512, 3), dtype=np.uint8)
    np.testing.assert_array_equal(plan_transform((384, 512)).image(image), image)
    assert plan_transform((384, 512)).affine == (1.0, 1.0, 0.0, 0.0)


@pytest.mark.parametrize("source", [(968, 1296), (60, 80), (500, 1024)])
def test_affine_says_where_pixels_go(source):
    transform = plan_transform(source)
    u, v = int(0.6 * source[1]), int(0.4 * source[0])
    image = np.zeros((*source, 3), np.uint8)
    image[v - 3 : v + 4, u - 3 : u + 4] = 255
    bright = transform.image(image)[..., 0].astype(float)
    rows, cols = np.arange(bright.shape[0]) + 0.5, np.arange(bright.shape[1]) + 0.5
    seen = (bright.sum(0) @ cols / bright.sum(), bright.sum(1) @ rows / bright.sum())
    sx, sy, ox, oy = transform.affine
    np.testing.assert_allclose(seen, (sx * (u + 0.5) + ox, sy * (v + 0.5) + oy), atol=0.05)


def test_intrinsics_follow_the_affine():
    transform = plan_transform((968, 1296))
    K = np.array([[1170.0, 0, 648], [0, 1171, 484], [0, 0, 1]])
    point = np.array([0.3, -0.2, 1.7])
    u, v, _ = K @ point / point[2]
    sx, sy, ox, oy = transform.affine
    moved = transform.intrinsics(K) @ point / point[2]
    np.testing.assert_allclose(moved, (sx * u + ox, sy * v + oy, 1.0))


@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("map_size", [(968, 1296), (480, 642), (192, 257)])
def test_nearest_takes_the_pixel_under_the_cells_centre(stride, map_size):
    transform = plan_transform((968, 1296))
    rows, cols = transform.nearest(map_size, stride)
    assert (len(rows), len(cols)) == tuple(side // stride for side in transform.image_size)
    sx, sy, ox, oy = transform.affine
    for index, side, source, s, o in ((rows, 0, 968, sy, oy), (cols, 1, 1296, sx, ox)):
        centres = (np.arange(len(index)) + 0.5) * stride
        back = s * (index + 0.5) * (source / map_size[side]) + o
        assert np.abs(back - centres).max() <= 0.5 * s * source / map_size[side] + 1e-3
