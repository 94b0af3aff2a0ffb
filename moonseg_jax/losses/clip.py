"""The training objective of one clip: the memory runs through its frames in order."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from moonseg_jax.geometry import plane_coverage, pool_points
from moonseg_jax.losses.distillation import dist_loss
from moonseg_jax.losses.merging import merge_loss
from moonseg_jax.losses.segmentation import seg_loss, xseg_loss
from moonseg_jax.memory.index import clip_index_maps, gather_context
from moonseg_jax.models import Core, FeatureCore, attended_patches
from moonseg_jax.structs import Frame


def clip_loss(
    core: Core | FeatureCore,
    clip: Frame,
    config: ConfigDict,
    image_size: tuple[int, int],
    targets: jax.Array | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The weighted sum of L_seg, L_dist, L_xseg and L_merge of one clip; a batch by ``vmap``.

    Each term is the mean over the clip's frames that have it: L_seg and L_merge those with a valid
    query, L_xseg those with a valid query and a patch in M_ind, L_dist all. A term of weight zero
    is not computed. L_xseg reads the final bank, of which a frame's index map names earlier rows
    only.

    Args:
        core: η, φ, ψ.
        clip: frames in order, ``[t ...]`` on every field.
        config: `moonseg_jax.config.default_config`; its ``loss`` and ``memory`` are used.
        image_size: ``(H, W)`` of the processed image.
        targets: ``[t Hm Wm words]`` uint32, bit planes that the queries should predict, where these
            are not the masks they are made from.

    Returns:
        The total ``[]``, and scalars: ``seg``, ``dist``, ``xseg``, ``merge`` (unweighted; zero
        where not computed), ``valid_queries`` (in the clip) and ``context_share`` (of the patches,
        in M_ind; zero where nothing needs the index maps).
    """
    weights = config.loss
    grid = (clip.features_3d.shape[1], clip.features_3d.shape[2])
    valid = clip.mask_valid
    coverage = _coverage(clip.masks, grid)
    goals = clip.masks if targets is None else targets
    goal_coverage = coverage if targets is None else _coverage(targets, grid)
    tokens = jax.vmap(core.tokens)(clip.features_3d, clip.features_2d)
    reference = jax.vmap(core.reference)(tokens)
    seen = index_maps(core, clip, coverage, grid, image_size, config)
    queries, bank = refine_clip(
        core, tokens, coverage, valid, seen, grid, gradient=config.memory.gradient
    )

    has_query, in_context = jnp.any(valid, axis=-1), jnp.any(seen, axis=-1)
    zero = jnp.zeros((), queries.dtype)
    terms = {"seg": zero, "dist": zero, "xseg": zero, "merge": zero}
    if weights.seg:
        size = _target_size(clip, image_size, weights.target_stride)
        target = _coverage(goals, size).reshape(*valid.shape, *size)
        loss = jax.vmap(partial(seg_loss, grid=grid, logits=core.seg_logits))
        terms["seg"] = _frame_mean(loss(reference, queries, target, valid), has_query)
    if weights.dist:
        flat = [x.reshape(len(x), -1, x.shape[-1]) for x in (clip.features_3d, clip.features_2d)]
        loss = jax.vmap(partial(dist_loss, reduction=weights.dist_reduction))
        terms["dist"] = jnp.mean(loss(reference, *flat))
    if weights.xseg:
        context, _ = jax.vmap(gather_context, in_axes=(0, None))(seen, bank)
        loss = jax.vmap(partial(xseg_loss, logits=core.xseg_logits))
        per_frame = loss(context, in_context, queries, goal_coverage, valid)
        terms["xseg"] = _frame_mean(per_frame, has_query & jnp.any(in_context, axis=-1))
    if weights.merge:
        per_frame = jax.vmap(merge_loss)(queries, goal_coverage, valid)
        terms["merge"] = _frame_mean(per_frame, has_query)

    total = sum((weights[name] * value for name, value in terms.items()), zero)
    counts = {"valid_queries": jnp.sum(valid), "context_share": jnp.mean(in_context)}
    return total, terms | counts


def refine_clip(
    core: Core | FeatureCore,
    tokens: jax.Array,
    coverage: jax.Array,
    valid: jax.Array,
    index_maps: jax.Array,
    grid: tuple[int, int],
    *,
    gradient: str = "through",
) -> tuple[jax.Array, jax.Array]:
    """Refines the queries of every frame with those of earlier frames as context.

    Args:
        core: η, φ, ψ.
        tokens: ``[t p c]``.
        coverage: ``[t q p]``.
        valid: ``[t q]`` bool.
        index_maps: ``[t p t·q]`` bool, as `clip_index_maps` gives them.
        grid: ``(h, w)``.
        gradient: D10: ``through`` the memory, or ``stop`` where a query is stored.

    Returns:
        The refined queries ``[t q d]`` and the final bank ``[t·q d]``: the same numbers, the
        bank without gradient for ``stop``.
    """
    prototypes = jax.vmap(core.prototypes)(tokens, coverage)
    frames, masks, width = prototypes.shape
    sights = jax.vmap(partial(core.look, grid=grid))(prototypes, tokens, coverage)

    def step(memory: Any, frame: tuple) -> tuple[Any, jax.Array]:
        index, sight, counted, seen = frame
        refined = core.recall(sight, counted, memory, seen)
        stored = jax.lax.stop_gradient(refined) if gradient == "stop" else refined
        put = partial(jax.lax.dynamic_update_slice_in_dim, start_index=index * masks, axis=1)
        return jax.tree.map(put, memory, core.remember(stored)), refined

    # Each layer's keys and values of a query are made once, where it is stored.
    rows = jax.eval_shape(core.remember, jnp.zeros((frames * masks, width), prototypes.dtype))
    empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), rows)
    visible = jnp.any(index_maps, axis=1)
    _, refined = jax.lax.scan(step, empty, (jnp.arange(frames), sights, valid, visible))
    bank = refined.reshape(frames * masks, width)
    return refined, jax.lax.stop_gradient(bank) if gradient == "stop" else bank


def index_maps(
    core: Core | FeatureCore,
    clip: Frame,
    coverage: jax.Array,
    grid: tuple[int, int],
    image_size: tuple[int, int],
    config: ConfigDict,
) -> jax.Array:
    """What `clip_index_maps` says of a clip; all False where no term and no layer asks.

    Args:
        core: η, φ, ψ.
        clip: ``[t ...]``.
        coverage: ``[t q p]``.
        grid: ``(h, w)``.
        image_size: ``(H, W)`` of the processed image.
        config: whole.

    Returns:
        ``[t p t·q]`` bool.
    """
    frames, masks, patches = coverage.shape
    if not (config.loss.xseg or core.context):
        return jnp.zeros((frames, patches, frames * masks), bool)
    points, point_valid = jax.vmap(lambda x, c: pool_points(x, c, grid))(
        clip.points, clip.confidence
    )
    member = attended_patches(coverage, core.min_coverage) & clip.mask_valid[..., None]
    return clip_index_maps(
        points.reshape(frames, patches, 3),
        point_valid.reshape(frames, patches),
        member,
        clip.T_world_from_cam,
        clip.intrinsics,
        image_size,
        grid,
        occlusion=config.memory.occlusion,
    )


def _coverage(planes: jax.Array, grid: tuple[int, int]) -> jax.Array:
    """The share of each cell inside each mask: ``[t Hm Wm words]`` -> ``[t q h·w]``."""
    return jax.vmap(partial(plane_coverage, grid=grid))(planes)


def _target_size(clip: Frame, image_size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Where L_seg compares: at the stride, or at the masks' own size where that is coarser."""
    height, width = clip.masks.shape[1:3]
    return min(image_size[0] // stride, height), min(image_size[1] // stride, width)


def _frame_mean(x: jax.Array, counted: jax.Array) -> jax.Array:
    """Mean of ``x [t]`` over the counted frames; zero where there is none."""
    return jnp.sum(jnp.where(counted, x, 0.0)) / jnp.maximum(jnp.sum(counted), 1).astype(x.dtype)
