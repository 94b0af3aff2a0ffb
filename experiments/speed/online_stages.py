"""The stages of the online step one by one, each with inputs as the step gives them."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from optax.assignment import hungarian_algorithm
from scipy.optimize import linear_sum_assignment

from experiments.speed.measuring import nbytes
from experiments.speed.scene import Scene
from moonseg_jax.geometry import plane_coverage, pool_points
from moonseg_jax.models import attended_patches
from moonseg_jax.online import OnlineState
from moonseg_jax.online.match import match
from moonseg_jax.online.merge import (
    group_members,
    merge_groups,
    merge_observations,
    union_coverage,
)
from moonseg_jax.online.observe import mask_boxes, mostly_inside, state_tokens
from moonseg_jax.online.paint import paint
from moonseg_jax.online.pipeline import observe, retrieve
from moonseg_jax.online.similarity import (
    match_scores,
    match_threshold,
    terms_in_use,
    view_iou,
)
from moonseg_jax.online.update import add_keys, allocate_rows, update_bank
from moonseg_jax.structs import Frame, unpack_masks

# Name, function, its inputs, and the bytes it must move where these are not inputs and outputs.
Stage = tuple[str, Callable[..., Any], tuple[Any, ...], int | None]


def stages(scene: Scene, state: OnlineState, frame: Frame) -> Iterator[Stage]:
    """What the step does, in its order."""
    core, config, room = nnx.merge(scene.graphdef, scene.params), scene.config, scene.room
    grid, online, bank = room.info.grid, config.online, state.bank

    def lift(frame: Frame) -> tuple[jax.Array, ...]:
        coverage = plane_coverage(frame.masks, grid)
        tokens = core.tokens(frame.features_3d, frame.features_2d)
        return coverage, tokens, core.prototypes(tokens, coverage)

    def look_up(state: OnlineState, frame: Frame) -> jax.Array:
        points, valid = pool_points(frame.points, frame.confidence, grid)
        return retrieve(state, frame, points, valid, config, room.image_size)

    def boxes(frame: Frame) -> jax.Array:
        size = room.info.point_size
        cells = mostly_inside(plane_coverage(frame.masks, size)).reshape(-1, *size)
        return mask_boxes(cells, frame.points, frame.confidence, online.box_sigma)

    yield "lifting: coverage, tokens, prototypes", lift, (frame,), None
    coverage, tokens, prototypes = jax.jit(lift)(frame)
    keys = state.keys.points, state.keys.rows, frame.points, frame.confidence
    traffic = nbytes(keys) + grid[0] * grid[1] * bank.capacity
    yield "retrieval: index map of the view", look_up, (state, frame), traffic
    index_map = jax.jit(look_up)(state, frame)
    visible = jnp.any(index_map, axis=0)
    context = prototypes, tokens, coverage, frame.mask_valid, bank.queries, visible
    yield "refinement with context", lambda *x: core.refine(*x, grid), context, None
    if frame.state_attention is not None:

        def token(attention: jax.Array, coverage: jax.Array) -> jax.Array:
            return state_tokens(attention.astype(jnp.float32), coverage)

        yield "state token", token, (frame.state_attention, coverage), None
    yield "boxes", boxes, (frame,), None

    def merge(observed: Any, planes: jax.Array) -> tuple[Any, ...]:
        group = merge_groups(
            observed.queries, observed.valid, online.merge_threshold, online.merge_rule
        )
        united = union_coverage(planes, group_members(group, observed.valid), grid)
        return merge_observations(observed, group), united, group

    observed = jax.jit(lambda *x: observe(core, *x, config))(state, frame, coverage, visible)
    yield "merge within the frame", merge, (observed, frame.masks), None
    merged, united, group = jax.jit(merge)(observed, frame.masks)
    attended = attended_patches(united, config.model.min_coverage)
    terms = terms_in_use(config, room.state_tokens)

    def energy(merged: Any, bank: Any, attended: jax.Array, index_map: jax.Array) -> jax.Array:
        overlap = view_iou(attended, index_map)
        return match_scores(merged, bank, terms, online.box_margin, overlap)

    yield "E of Eq. 12", energy, (merged, bank, attended, index_map), None
    score = jax.jit(energy)(merged, bank, attended, index_map)
    threshold = match_threshold(config, terms)
    matched = jax.jit(lambda *x: match(*x, threshold, online.assignment))(
        score, jnp.broadcast_to(merged.valid[:, None], score.shape)
    )
    rows, _ = allocate_rows(matched, merged.valid, state.num_rows)
    yield "update: bank", update_bank, (bank, merged, rows, state.frame), None
    points, valid = pool_points(frame.points, frame.confidence, grid)
    keyed = attended & valid.reshape(1, -1)
    keys = (state.keys, points.reshape(-1, 3), keyed, rows)
    # The step does not copy the table, this stage by itself does; no floor counts that.
    traffic = keyed.size + 16 * int(jnp.sum(keyed))
    yield "update: keys", lambda *x: add_keys(*x, config.memory.voxel), keys, traffic
    instance = jnp.where(observed.valid, rows[group], -1)

    def painted(planes: jax.Array, rows: jax.Array, scores: jax.Array) -> jax.Array:
        return paint(unpack_masks(planes), rows, scores)

    yield "paint", painted, (frame.masks, instance, frame.mask_scores), None


def matchers(scene: Scene, state: OnlineState, frame: Frame) -> Iterator[Stage]:
    """The assignment on the device, as optax solves it, and by SciPy on the host."""
    q, n = frame.mask_valid.shape[0], state.bank.capacity
    rule, threshold = scene.config.online.assignment, 1.8
    alone = {"score": 0.0, "count": 2.0 * q}[rule]
    rng = np.random.default_rng(0)
    busy = rng.uniform(threshold, 3.0, (q, n)).astype(np.float32)
    # A few rivals for most instances, as in a view of 50 among 500.
    few = np.zeros((q, n), bool)
    few[np.arange(q), rng.integers(0, min(n, q), q)] = True
    few |= (rng.random((q, n)) < 0.03) & (np.arange(n) < q)
    tangled = np.zeros((q, n), bool)
    tangled[:, : q // 3] = True

    def ours(score: jax.Array, feasible: jax.Array) -> jax.Array:
        return match(score, feasible, threshold, rule)

    def by_optax(score: jax.Array, feasible: jax.Array) -> jax.Array:
        own = jnp.where(jnp.eye(q, dtype=bool), alone, 12.0 * q)
        cost = jnp.concatenate([jnp.where(feasible, threshold - score, 12.0 * q), own], axis=1)
        return hungarian_algorithm(cost)[1]

    def on_host(score: jax.Array, feasible: jax.Array) -> jax.Array:
        def solve(score: Any, feasible: Any) -> np.ndarray:
            cost = np.where(feasible, threshold - np.asarray(score), alone)
            rows, columns = linear_sum_assignment(cost)
            found = np.full(q, -1, np.int32)
            found[rows] = np.where(np.asarray(feasible)[rows, columns], columns, -1)
            return found

        like = jax.ShapeDtypeStruct((q,), jnp.int32)
        return jax.pure_callback(solve, like, score, feasible)

    for kind, feasible in (("few rivals", few), ("all want a third", tangled)):
        inputs = (jnp.asarray(busy), jnp.asarray(feasible))
        yield f"match, {kind}", ours, inputs, None
        yield f"match, {kind}: optax", by_optax, inputs, None
        yield f"match, {kind}: SciPy on the host", on_host, inputs, None
