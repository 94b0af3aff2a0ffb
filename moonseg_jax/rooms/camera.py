"""The camera: nearest surfaces, light on them, and what a sensor makes of it."""

import jax
import jax.numpy as jnp
import numpy as np

from moonseg_jax.rooms.cast import nearest
from moonseg_jax.rooms.scene import RenderedFrame, Room
from moonseg_jax.rooms.shade import radiance
from moonseg_jax.rooms.triple import Triple


def render(
    room: Room,
    T_world_from_cam: jax.Array,
    intrinsics: jax.Array,
    size: tuple[int, int],
    key: jax.Array,
) -> RenderedFrame:
    """Renders one frame; batch by `vmap` over cameras and, for rooms of one config, over rooms.

    Args:
        room: what is seen.
        T_world_from_cam: ``[4 4]``, OpenCV axes, the camera outside every primitive.
        intrinsics: ``[3 3]``, pixel centres at +0.5.
        size: ``(H, W)``, multiples of `cast.TILE`; static.
        key: PRNG key of the sensor noise.

    Returns:
        Image, depth and instance ids. Geometry is exact at every pixel.
    """
    T_world_from_cam = jnp.asarray(T_world_from_cam, jnp.float32)
    intrinsics = jnp.asarray(intrinsics, jnp.float32)
    depth, surface = nearest(room, T_world_from_cam, intrinsics, size)
    light = radiance(room, T_world_from_cam, intrinsics, depth, surface)
    image = _expose(room, light, key)
    ids = jnp.concatenate([room.primitives.instance, jnp.zeros(6, jnp.int32)])
    return RenderedFrame(image=image, depth=depth, instance=ids[surface])


def default_intrinsics(size: tuple[int, int], focal: float = 0.9) -> np.ndarray:
    """A pinhole camera in the image's middle, pixel centres at +0.5; ``focal`` in image widths."""
    height, width = size
    f = focal * width
    return np.array([[f, 0, width / 2], [0, f, height / 2], [0, 0, 1]])


def _expose(room: Room, light: Triple, key: jax.Array) -> jax.Array:
    """Lens blur, white balance, tone curve, noise and quantisation: ``[H W 3]`` uint8."""
    seed = jax.random.bits(key, (), jnp.uint32)
    channels = []
    for channel, values in enumerate(light):
        exposed = _blur(_blur(values, 0), 1) * room.lighting.white_balance[channel]
        tone = jnp.clip(exposed * (1 + 0.15 * exposed) / (1 + 0.45 * exposed), 1e-6, 1)
        tone = jnp.exp(jnp.log(tone) * (1 / 2.2))
        tone = tone + room.lighting.noise * _grain(tone.shape, seed + np.uint32(channel))
        channels.append(jnp.clip(jnp.round(tone * 255), 0, 255).astype(jnp.uint8))
    return jnp.stack(channels, axis=-1)


def _blur(image: jax.Array, axis: int) -> jax.Array:
    """What a lens does to sharp edges: weights 0.2, 0.6, 0.2 along one axis."""
    n = image.shape[axis]
    padded = jnp.pad(image, [(1, 1) if a == axis else (0, 0) for a in range(2)], mode="edge")
    left = jax.lax.slice_in_dim(padded, 0, n, axis=axis)
    right = jax.lax.slice_in_dim(padded, 2, n + 2, axis=axis)
    return 0.6 * image + 0.2 * (left + right)


def _grain(shape: tuple[int, ...], seed: jax.Array) -> jax.Array:
    """Noise of unit variance; one cheap hash a value instead of a PRNG of cryptographic make."""
    h = jax.lax.iota(jnp.uint32, shape[0] * shape[1]).reshape(shape) * jnp.uint32(0x9E3779B9)
    h = h + seed * jnp.uint32(0x85EBCA6B)
    h = (h ^ (h >> 16)) * jnp.uint32(0x7FEB352D)
    h = (h ^ (h >> 15)) * jnp.uint32(0x846CA68B)
    h = h ^ (h >> 16)
    # The sum of two uniform 16-bit numbers: a triangle of variance 1/6.
    both = (h & 0xFFFF).astype(jnp.float32) + (h >> 16).astype(jnp.float32)
    return (both / 65536 - 1) * np.float32(np.sqrt(6.0))
