"""Random cameras in a room, on the device: groups that look at one thing from several sides."""

import jax
import jax.numpy as jnp

from moonseg_jax.rooms import Room
from moonseg_jax.rooms.occlusion import clearance

CANDIDATES = 96  # Positions tried in a room.
HEIGHTS = (0.9, 1.8)
KEEP_OFF = 0.2  # Metres to the nearest surface.
DISTANCE = (2.2, 0.9)  # Metres from what is looked at: mean and deviation of a preference.
BASELINE = 1.0  # Metres between cameras of a group: scale of a preference.
FOCAL = (0.75, 1.1)  # In image widths.


def sample_cameras(
    room: Room, key: jax.Array, groups: int, views: int
) -> tuple[jax.Array, jax.Array]:
    """Poses and focal length for one room; batch by `vmap`.

    Args:
        room: where the cameras stand.
        key: PRNG key.
        groups: number of things looked at.
        views: cameras that look at each, no two at one place.

    Returns:
        ``T_world_from_cam [groups views 4 4]`` and the focal length ``[]`` in image widths.
    """
    place, focal, each = jax.random.split(key, 3)
    low = jnp.stack([0.3 - room.size[0] / 2, 0.3 - room.size[1] / 2, HEIGHTS[0]])
    high = jnp.stack([room.size[0] / 2 - 0.3, room.size[1] / 2 - 0.3, HEIGHTS[1]])
    mix = jax.random.uniform(place, (CANDIDATES, 3))
    eyes = low[None] + mix * (high - low)[None]
    blocked = 1e3 * jnp.minimum(clearance(room, eyes) - KEEP_OFF, 0.0)

    def group(key: jax.Array) -> jax.Array:
        return _group(room, key, eyes, blocked, views)

    poses = jax.vmap(group)(jax.random.split(each, groups))
    return poses, jax.random.uniform(focal, minval=FOCAL[0], maxval=FOCAL[1])


def _group(
    room: Room, key: jax.Array, eyes: jax.Array, blocked: jax.Array, views: int
) -> jax.Array:
    thing, first, rest, gaze, roll = jax.random.split(key, 5)
    there = jnp.where(room.primitives.instance > 0, 0.0, -jnp.inf)
    target = room.primitives.centre[jax.random.categorical(thing, there)]
    away = jnp.linalg.norm(eyes - target[None], axis=-1)
    liking = blocked - ((away - DISTANCE[0]) / DISTANCE[1]) ** 2
    start = eyes[jax.random.categorical(first, liking)]
    near = liking - jnp.linalg.norm(eyes - start[None], axis=-1) / BASELINE
    # The greatest of logits plus Gumbel noise: a draw without putting back.
    _, chosen = jax.lax.top_k(near + jax.random.gumbel(rest, near.shape), views)
    looks = target[None] + 0.25 * jax.random.normal(gaze, (views, 3))
    return jax.vmap(_look_at)(eyes[chosen], looks, 0.03 * jax.random.normal(roll, (views,)))


def _look_at(eye: jax.Array, target: jax.Array, roll: jax.Array) -> jax.Array:
    """Camera at ``eye`` facing ``target``: x right, y down, z forward; the world's z is up."""
    forward = (target - eye) / jnp.linalg.norm(target - eye)
    right = jnp.stack([forward[1], -forward[0], jnp.zeros_like(roll)])
    right = right / jnp.maximum(jnp.linalg.norm(right), 1e-3)
    down = jnp.cross(forward, right)
    c, s = jnp.cos(roll), jnp.sin(roll)
    columns = jnp.stack([c * right + s * down, c * down - s * right, forward, eye], axis=1)
    return jnp.concatenate([columns, jnp.array([[0.0, 0.0, 0.0, 1.0]])])
