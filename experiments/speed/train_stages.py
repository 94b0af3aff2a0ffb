"""The parts of the training objective one by one, forward; and other ways to do the costly ones."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments.speed.clips import PATCH, image_size, make_core
from moonseg_jax.geometry import area_pool, plane_coverage
from moonseg_jax.losses import dist_loss, index_maps, refine_clip, seg_loss
from moonseg_jax.models import mask_coverage
from moonseg_jax.structs import Frame, unpack_masks

Part = tuple[str, Callable[..., Any], tuple[Any, ...]]


def parts(
    size: str, config: ConfigDict, batch: Frame, loss: Callable, params: Any
) -> Iterator[Part]:
    """Name, function and inputs; every function takes a whole batch."""
    core = make_core(size, config)
    whole = image_size(size)
    grid = whole[0] // PATCH, whole[1] // PATCH
    fine = tuple(n // config.loss.target_stride for n in whole)

    def covered(planes: jax.Array) -> jax.Array:
        return mask_coverage(unpack_masks(planes), grid)

    def covered_by_planes(planes: jax.Array) -> jax.Array:
        flat = planes.reshape(-1, *planes.shape[2:])
        return jax.vmap(lambda x: plane_coverage(x, grid))(flat)

    def targets(planes: jax.Array) -> jax.Array:
        return area_pool(unpack_masks(planes), fine)

    def lifted(batch: Frame) -> tuple[jax.Array, jax.Array]:
        tokens = jax.vmap(jax.vmap(core.tokens))(batch.features_3d, batch.features_2d)
        return tokens, jax.vmap(jax.vmap(core.reference))(tokens)

    def maps(batch: Frame, coverage: jax.Array) -> jax.Array:
        def one(clip: Frame, coverage: jax.Array) -> jax.Array:
            return index_maps(core, clip, coverage, grid, whole, config)

        return jax.vmap(one)(batch, coverage)

    def refined(tokens: jax.Array, coverage: jax.Array, valid: jax.Array, seen: jax.Array) -> Any:
        return jax.vmap(lambda *x: refine_clip(core, *x, grid))(tokens, coverage, valid, seen)

    yield "coverage", covered, (batch.masks,)
    yield "coverage, on bit planes", covered_by_planes, (batch.masks,)
    yield "targets of L_seg", targets, (batch.masks,)
    yield "tokens and ψ", lifted, (batch,)
    coverage = jax.jit(covered)(batch.masks)
    yield "index maps", maps, (batch, coverage)
    seen = jax.jit(maps)(batch, coverage)
    yield from scatters(coverage > config.model.min_coverage)
    tokens, reference = jax.jit(lifted)(batch)
    yield "refinement through the memory", refined, (tokens, coverage, batch.mask_valid, seen)
    queries, _ = jax.jit(refined)(tokens, coverage, batch.mask_valid, seen)
    flat = tuple(
        x.reshape(*x.shape[:2], -1, x.shape[-1]) for x in (batch.features_3d, batch.features_2d)
    )
    yield "L_dist", jax.vmap(jax.vmap(dist_loss)), (reference, *flat)
    target = jax.jit(targets)(batch.masks)
    segmented = jax.vmap(jax.vmap(lambda *x: seg_loss(*x, grid)))
    yield "L_seg", segmented, (reference, queries, target, batch.mask_valid)
    yield "all, forward", lambda p, x: loss(p, x, None)[0], (params, batch)
    yield "all, forward and backward", jax.grad(lambda p, x: loss(p, x, None)[0]), (params, batch)


def scatters(member: jax.Array) -> Iterator[Part]:
    """Ways to mark the patches that each mask's keys fall into, from ``member [b t q p]``."""
    b, t, q, p = member.shape
    key = jax.random.key(0)
    cell = jax.random.randint(key, (b, t, t, p), 0, p + 1)

    def each(mark: Callable) -> Callable:
        views = jax.vmap(jax.vmap(mark), (0, None))  # Of a clip: every view, every frame.
        return jax.vmap(views)

    def of_bools(cell: jax.Array, masks: jax.Array) -> jax.Array:
        return jnp.zeros((p, q), bool).at[cell].max(masks, mode="drop")

    def of_counts(cell: jax.Array, masks: jax.Array) -> jax.Array:
        return jnp.zeros((p, q), jnp.int32).at[cell].add(masks.astype(jnp.int32), mode="drop") > 0

    def as_product(cell: jax.Array, masks: jax.Array) -> jax.Array:
        hit = (cell[None] == jnp.arange(p)[:, None]).astype(jnp.bfloat16)
        return hit @ masks.astype(jnp.bfloat16) > 0

    payload = jnp.swapaxes(member, 2, 3)
    yield "index maps: scatter of bools", each(of_bools), (cell, payload)
    yield "index maps: scatter of counts", each(of_counts), (cell, payload)
    yield "index maps: as a product", each(as_product), (cell, payload)
