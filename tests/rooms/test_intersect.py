import jax.numpy as jnp
import numpy as np
import pytest

from moonseg_jax.rooms.intersect import distance, entry
from moonseg_jax.rooms.scene import BOX, ELLIPSOID, FRUSTUM
from moonseg_jax.rooms.triple import split


def inside(kind, points, taper):
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    if kind == BOX:
        return np.max(np.abs(points), axis=-1) <= 1
    if kind == ELLIPSOID:
        return np.sum(points**2, axis=-1) <= 1
    radius = (taper[0] + taper[1]) / 2 + (taper[1] - taper[0]) / 2 * z
    return (np.abs(z) <= 1) & (x**2 + y**2 <= radius**2)


@pytest.mark.parametrize("kind", [BOX, FRUSTUM, ELLIPSOID])
@pytest.mark.parametrize("taper", [(1.0, 1.0), (1.0, 0.3), (0.0, 1.0)])
def test_entry_is_where_marching_along_the_ray_first_is_inside(kind, taper):
    rng = np.random.default_rng(0)
    origin = rng.normal(size=(400, 3))
    origin *= (2.0 + rng.random((400, 1))) / np.linalg.norm(origin, axis=1, keepdims=True)
    direction = rng.normal(scale=0.6, size=(400, 3)) - origin
    taps = np.linspace(0, 2, 4001)
    hits = inside(kind, origin[:, None] + taps[:, None] * direction[:, None], taper)
    expected = np.where(hits.any(axis=1), taps[hits.argmax(axis=1)], np.inf)
    found = entry(
        kind,
        split(jnp.asarray(origin, jnp.float32)),
        split(jnp.asarray(direction, jnp.float32)),
        jnp.asarray(taper, jnp.float32),
    )
    grazing = np.isfinite(expected) != np.isfinite(found)
    assert grazing.mean() < 0.01  # Marching steps over corners.
    both = np.isfinite(expected) & np.isfinite(found)
    assert both.sum() > 50
    np.testing.assert_allclose(found[both], expected[both], atol=6e-4)


@pytest.mark.parametrize("kind", [BOX, FRUSTUM, ELLIPSOID])
def test_distance_has_the_sign_of_outside(kind):
    points = np.random.default_rng(1).uniform(-1.5, 1.5, (2000, 3))
    half, taper = np.array([0.8, 0.8, 1.2]), np.array([1.0, 0.5])
    found = np.asarray(distance(kind, split(jnp.asarray(points)), half, jnp.asarray(taper)))
    np.testing.assert_array_equal(found < 0, inside(kind, points / half, taper))
