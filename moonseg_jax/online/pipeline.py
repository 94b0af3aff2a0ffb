"""The online loop: one pure step a frame, one call per step of the algorithm."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from moonseg_jax.geometry import invert_pose, plane_coverage, pool_points
from moonseg_jax.memory.index import key_index_map, surface_depth
from moonseg_jax.models import Core, FeatureCore, attended_patches
from moonseg_jax.online.match import match
from moonseg_jax.online.merge import (
    group_members,
    merge_groups,
    merge_observations,
    union_coverage,
)
from moonseg_jax.online.observe import (
    Observation,
    mask_boxes,
    mostly_inside,
    state_tokens,
)
from moonseg_jax.online.paint import paint
from moonseg_jax.online.similarity import (
    match_scores,
    match_threshold,
    terms_in_use,
    view_iou,
)
from moonseg_jax.online.state import OnlineState
from moonseg_jax.online.update import add_keys, allocate_rows, update_bank
from moonseg_jax.structs import Frame, FrameResult, unpack_masks

FEW_IN_VIEW = 256  # Rows: several times the masks of a frame.
MANY_IN_VIEW = 1024  # From here on in pieces of so many.


def step(
    core: Core | FeatureCore,
    state: OnlineState,
    frame: Frame,
    *,
    config: ConfigDict,
    image_size: tuple[int, int],
) -> tuple[OnlineState, FrameResult]:
    """Segments one frame against everything seen before, and remembers it.

    Pure, of fixed shapes, without a branch on data: jit it, scan it. A frame without masks
    changes nothing but the frame counter.

    Args:
        core: of the width of the state.
        state: with room for ``q`` more rows and for a key per patch and mask;
            `moonseg_jax.online.OnlineLoop` sees to that.
        frame: without leading axes; with state attention where the state has tokens, else without.
        config: as a whole; read are ``memory``, ``online`` and ``model.min_coverage``.
        image_size: ``(H, W)`` of the processed image.

    Returns:
        The next state, and what became of each mask.
    """
    grid = frame.features_3d.shape[:2]
    coverage = plane_coverage(frame.masks, grid)
    points, point_valid = pool_points(frame.points, frame.confidence, grid)

    index_map = retrieve(state, frame, points, point_valid, config, image_size)
    visible = jnp.any(index_map, axis=0)
    observed = observe(core, state, frame, coverage, visible, config)

    online = config.online
    group = merge_groups(
        observed.queries, observed.valid, online.merge_threshold, online.merge_rule
    )
    merged = merge_observations(observed, group)
    member = group_members(group, observed.valid)
    coverage = union_coverage(frame.masks, member, grid)
    attended = attended_patches(coverage, config.model.min_coverage)

    terms = terms_in_use(config, state.bank.tokens.shape[1])
    overlap = view_iou(attended, index_map)
    score = match_scores(merged, state.bank, terms, online.box_margin, overlap)
    in_use = jnp.arange(state.bank.capacity) < state.num_rows
    candidate = merged.valid[:, None] & in_use[None]
    matched = match(score, candidate, match_threshold(config, terms), online.assignment)
    rows, is_new = allocate_rows(matched, merged.valid, state.num_rows)

    keyed = attended & point_valid.reshape(1, -1)
    next_state = OnlineState(
        bank=update_bank(state.bank, merged, rows, state.frame),
        keys=add_keys(state.keys, points.reshape(-1, 3), keyed, rows, config.memory.voxel),
        num_rows=state.num_rows + jnp.sum(is_new, dtype=jnp.int32),
        frame=state.frame + 1,
    )

    instance = jnp.where(observed.valid, rows[group], -1)
    accepted = jnp.take_along_axis(score, jnp.maximum(matched, 0)[:, None], axis=1)[:, 0]
    return next_state, FrameResult(
        instance=instance,
        is_new=is_new[group] & observed.valid,
        similarity=jnp.where(observed.valid & (matched >= 0)[group], accepted[group], 0.0),
        id_map=paint(unpack_masks(frame.masks), instance, frame.mask_scores),
        num_rows=next_state.num_rows,
        num_keys=next_state.keys.count,
    )


def retrieve(
    state: OnlineState,
    frame: Frame,
    points: jax.Array,
    point_valid: jax.Array,
    config: ConfigDict,
    image_size: tuple[int, int],
) -> jax.Array:
    """``[p n]`` bool, the binary index map I of this view (Eq. 7, 8)."""
    h, w = point_valid.shape
    T_cam_from_world = invert_pose(frame.T_world_from_cam)
    return key_index_map(
        state.keys.points,
        state.keys.rows,
        T_cam_from_world,
        frame.intrinsics,
        image_size,
        (h, w),
        state.bank.capacity,
        surface_depth=surface_depth(
            points.reshape(-1, 3), point_valid.reshape(-1), T_cam_from_world
        ),
        occlusion=config.memory.occlusion,
    )


def over_visible(
    refined: Callable[[jax.Array, jax.Array, int | None], jax.Array],
    rows: jax.Array,
    visible: jax.Array,
) -> jax.Array:
    """Refines with hardly more than the visible rows: the size of a scene costs nothing then.

    As shapes are fixed, the context has the least of a few capacities that holds them, and each is
    compiled: `FEW_IN_VIEW`, four times as many, and so on up to `MANY_IN_VIEW`; from there on all
    rows, the visible ones first, in pieces of which only those that hold some are looked at.

    Args:
        refined: takes context ``[m d]``, which of it is visible ``[m]``, and the rows of a piece,
            or None for all together.
        rows: ``[n d]``.
        visible: ``[n]`` bool.

    Returns:
        What ``refined`` returns of all rows, to rounding.
    """
    n, capacities, capacity = len(rows), [], FEW_IN_VIEW
    while capacity < n and capacity <= MANY_IN_VIEW:
        capacities.append(capacity)
        capacity *= 4
    count = jnp.sum(visible, dtype=jnp.int32)

    def among(capacity: int, piece: int | None = None) -> jax.Array:
        index = jnp.nonzero(visible, size=capacity, fill_value=0)[0]
        return refined(rows[index], jnp.arange(capacity) < count, piece)

    def among_all() -> jax.Array:
        if n <= MANY_IN_VIEW:
            return refined(rows, visible, None)
        return among(-(-n // MANY_IN_VIEW) * MANY_IN_VIEW, MANY_IN_VIEW)

    branches = [partial(among, capacity) for capacity in capacities]
    enough = sum((count > capacity for capacity in capacities), jnp.zeros((), jnp.int32))
    return jax.lax.switch(enough, [*branches, among_all])


def observe(
    core: Core | FeatureCore,
    state: OnlineState,
    frame: Frame,
    coverage: jax.Array,
    visible: jax.Array,
    config: ConfigDict,
) -> Observation:
    """Lifts and refines the masks (Eq. 1-4), with their state tokens (Eq. 11) and boxes.

    Args:
        core: of the width of the state.
        state: whose bank rows are the context.
        frame: the frame.
        coverage: ``[q p]``.
        visible: ``[n]`` bool, the rows in the index map of this view.
        config: as a whole.
    """
    grid, bank = frame.features_3d.shape[:2], state.bank
    valid = frame.mask_valid & jnp.any(coverage > 0, axis=1)
    tokens = core.tokens(frame.features_3d, frame.features_2d)
    prototypes = core.prototypes(tokens, coverage)

    def refined(context: jax.Array, in_view: jax.Array, piece: int | None) -> jax.Array:
        return core.refine(prototypes, tokens, coverage, valid, context, in_view, grid, piece)

    queries = over_visible(refined, bank.queries, visible)
    if frame.state_attention is not None:
        state_token = state_tokens(frame.state_attention.astype(bank.tokens.dtype), coverage)
    else:
        state_token = jnp.zeros((valid.shape[0], 0), queries.dtype)
    size = frame.confidence.shape
    cells = mostly_inside(plane_coverage(frame.masks, size)).reshape(-1, *size)
    return Observation(
        queries=jnp.where(valid[:, None], queries, 0.0).astype(bank.queries.dtype),
        tokens=state_token.astype(bank.tokens.dtype),
        boxes=mask_boxes(cells, frame.points, frame.confidence, config.online.box_sigma),
        scores=frame.mask_scores,
        valid=valid,
    )
