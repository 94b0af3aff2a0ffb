"""What one frame says about each of its masks, apart from the queries the core gives."""

import jax
import jax.numpy as jnp
from flax import struct

from moonseg_jax.geometry import box_of_points
from moonseg_jax.models import mask_coverage


@struct.dataclass
class Observation:
    """A frame's masks, or after the intra-frame merge its groups of masks.

    Attributes:
        queries: ``[q d]``, q' of Eq. 3; zero where not valid.
        tokens: ``[q s]``, Eq. 11; ``s`` is 0 where the frame has no state attention.
        boxes: ``[q 2 3]`` in the world frame.
        scores: ``[q]`` of the 2D masks.
        valid: ``[q]`` bool.
    """

    queries: jax.Array
    tokens: jax.Array
    boxes: jax.Array
    scores: jax.Array
    valid: jax.Array


def state_tokens(state_attention: jax.Array, coverage: jax.Array) -> jax.Array:
    """State distribution tokens, Eq. 11: ``s_i = Σ_p m_ip A_:p``.

    Args:
        state_attention: ``[s h w]``, in the precision to sum in.
        coverage: ``[q p]``, the fraction of each patch inside the mask.

    Returns:
        ``[q s]``.
    """
    attention = state_attention.reshape(state_attention.shape[0], -1)
    return coverage.astype(attention.dtype) @ attention.T


def mask_boxes(
    masks: jax.Array, points: jax.Array, confidence: jax.Array, sigma: float
) -> jax.Array:
    """The box of the surface under each mask.

    Deviation: the paper takes min/max over an instance's keys. A key is the mean of a patch, so
    that an object of one patch would have a box without extent and never overlap anything; the
    cells of the pointmap say more. Its flying pixels at depth edges would inflate the box, hence
    it is clipped to the mean ± ``sigma`` standard deviations on each axis (a uniform surface
    ends at 1.7).

    Args:
        masks: ``[q Hm Wm]`` bool; of another size than the pointmap, `mostly_inside` decides.
        points: ``[Hp Wp 3]`` in the world frame, NaN where invalid.
        confidence: ``[Hp Wp]``, > 0 where trusted.
        sigma: standard deviations; 0 = no clipping.

    Returns:
        ``[q 2 3]``; empty where no trusted point lies in the mask.
    """
    trusted = jnp.all(jnp.isfinite(points), axis=-1) & (confidence > 0)
    cloud = jnp.where(trusted[..., None], points, 0.0).reshape(-1, 3)
    height, width = confidence.shape
    if masks.shape[1:] != (height, width):
        finer = max(1, height // masks.shape[1])
        masks = jnp.repeat(jnp.repeat(masks, finer, axis=1), finer, axis=2)
        masks = mostly_inside(mask_coverage(masks, (height, width)))
    member = masks.reshape(len(masks), -1) & trusted.reshape(1, -1)
    boxes = box_of_points(cloud, member)
    if sigma == 0:
        return boxes
    mean, deviation = _moments(cloud, member)
    low = jnp.maximum(boxes[:, 0], mean - sigma * deviation)
    high = jnp.minimum(boxes[:, 1], mean + sigma * deviation)
    return jnp.where(jnp.any(member, axis=1)[:, None, None], jnp.stack([low, high], 1), boxes)


def mostly_inside(coverage: jax.Array) -> jax.Array:
    """Of ``[q n]`` the cells covered by more than half, or else all touched: ``[q n]`` bool."""
    over = coverage > 0.5
    return jnp.where(jnp.any(over, axis=1, keepdims=True), over, coverage > 0)


def _moments(cloud: jax.Array, member: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and standard deviation ``[q 3]`` of subsets of points, as two matrix products."""
    # Centred first: squares of coordinates far from the origin would cancel in float32.
    centre = jnp.mean(cloud, axis=0)
    local = cloud - centre[None]
    ones = jnp.ones((len(local), 1), cloud.dtype)
    product = jnp.matmul(
        member.astype(cloud.dtype),
        jnp.concatenate([local, local**2, ones], axis=1),
        precision=jax.lax.Precision.HIGHEST,
    )
    product = product[:, :6] / jnp.maximum(product[:, 6:], 1.0)
    mean, square = product[:, :3], product[:, 3:]
    return mean + centre[None], jnp.sqrt(jnp.maximum(square - mean**2, 0.0))
