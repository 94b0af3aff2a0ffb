import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from moonseg_jax.geometry import box_iou, box_of_points, box_union, empty_box

seeds = st.integers(0, 2**32 - 1)


def random_boxes(seed: int, count: int) -> np.ndarray:
    corners = np.random.default_rng(seed).uniform(-1, 1, size=(count, 2, 3)).astype(np.float32)
    return np.sort(corners, axis=1)


@given(seeds)
def test_iou_is_symmetric_bounded_and_one_with_itself(seed):
    a, b = random_boxes(seed, 4), random_boxes(seed + 1, 5)
    iou = np.asarray(box_iou(jnp.asarray(a), jnp.asarray(b)))
    np.testing.assert_allclose(
        iou, np.asarray(box_iou(jnp.asarray(b), jnp.asarray(a))).T, rtol=1e-5
    )
    assert np.all((iou >= 0) & (iou <= 1))
    np.testing.assert_allclose(np.diag(box_iou(jnp.asarray(a), jnp.asarray(a))), 1, rtol=1e-5)


@given(seeds)
def test_iou_agrees_with_counting_points(seed):
    a, b = random_boxes(seed, 1), random_boxes(seed + 1, 1)
    axis = np.linspace(-1, 1, 41)
    points = np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3)
    in_a, in_b = (np.all((points >= box[0, 0]) & (points <= box[0, 1]), -1) for box in (a, b))
    counted = np.sum(in_a & in_b) / max(np.sum(in_a | in_b), 1)
    assert abs(float(box_iou(jnp.asarray(a), jnp.asarray(b))[0, 0]) - counted) < 0.12


def test_empty_boxes_have_no_overlap_and_change_no_union():
    box = jnp.asarray(random_boxes(0, 1))
    empty = empty_box((1,))
    assert box_iou(box, empty)[0, 0] == 0
    assert box_iou(empty, empty, margin=0.1)[0, 0] == 0
    np.testing.assert_array_equal(box_union(box, empty), box)


def test_margin_gives_flat_boxes_a_volume():
    flat = jnp.array([[[0.0, 0, 0], [1, 1, 0]]])
    assert box_iou(flat, flat)[0, 0] == 0
    np.testing.assert_allclose(box_iou(flat, flat, margin=0.02)[0, 0], 1.0, rtol=1e-5)


def test_box_of_points_takes_members_only():
    points = jnp.array([[0.0, 0, 0], [1, 2, 3], [9, 9, 9]])
    member = jnp.array([[True, True, False], [False, False, False]])
    boxes = box_of_points(points, member)
    np.testing.assert_array_equal(boxes[0], [[0, 0, 0], [1, 2, 3]])
    np.testing.assert_array_equal(boxes[1], empty_box())
