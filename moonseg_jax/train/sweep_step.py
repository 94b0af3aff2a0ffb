"""One step of all members of a sweep, in one program over members and devices."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from moonseg_jax.structs import Frame
from moonseg_jax.train.groups import group_members, in_groups
from moonseg_jax.train.members import Settings
from moonseg_jax.train.mesh import batch_sharding, member_sharding, replicated
from moonseg_jax.train.metrics import MUST_BE_FINITE
from moonseg_jax.train.optimizer import make_optimizer, unchecked_schedule
from moonseg_jax.train.step import Augment, Loss, Metrics, TrainState, init_state, train_step


@struct.dataclass
class SweepState:
    """All that a step of a sweep changes.

    Attributes:
        members: `TrainState` ``[k ...]``.
        diverged: ``[k]`` int32, the step whose result was not finite; 0 = none. From then on the
            member stays as it was before that step.
        step: ``[]`` int32, steps done.
    """

    members: TrainState
    diverged: jax.Array
    step: jax.Array


def init_sweep(params: Any, settings: Settings, config: ConfigDict, steps: int) -> SweepState:
    """The state before the first step.

    Args:
        params: ``[k ...]``.
        settings: of the members.
        config: the whole config.
        steps: of the run.
    """

    def one(params: Any, member: Settings) -> TrainState:
        return init_state(params, _optimizer(member, config, steps)[0])

    count = len(settings.weights["seg"])
    return SweepState(jax.vmap(one)(params, settings), jnp.zeros(count, jnp.int32), jnp.int32(0))


def sweep_shardings(mesh: Mesh) -> SweepState:
    """Where the parts of the state lie."""
    members = member_sharding(mesh)
    return SweepState(members, members, replicated(mesh))  # pyright: ignore[reportArgumentType]


def member_loss(
    params: Any, batch: Frame, targets: jax.Array | None, *, loss: Loss, member: Settings
) -> tuple[jax.Array, Metrics]:
    """The loss of one member: its own weights, and only its own parameters.

    Residual branches without parameters are zero, and so are their gradients: the member's core
    is what it would be by itself.
    """
    if member.owned is not None:
        params = jax.tree.map(lambda x, own: jnp.where(own, x, 0), params, member.owned)
    _, terms = loss(params, batch, targets)
    return sum(weight * terms[name] for name, weight in member.weights.items()), terms  # pyright: ignore[reportReturnType]


def sweep_loss(loss: Loss, mesh: Mesh) -> Callable[..., jax.Array]:
    """The losses ``[k]`` of a sweep, its state and settings, on one batch."""

    def losses(
        sweep: tuple[SweepState, Settings], batch: Frame, targets: jax.Array | None
    ) -> jax.Array:
        state, settings = sweep
        shared = _to_members((batch, targets), mesh)

        def one(params: Any, member: Settings) -> jax.Array:
            return member_loss(params, *shared, loss=loss, member=member)[0]

        return jax.vmap(one)(state.members.params, settings)

    return losses


def compile_sweep(
    loss: Loss,
    settings: Settings,
    config: ConfigDict,
    steps: int,
    mesh: Mesh,
    augment: Augment,
) -> Callable[[SweepState, Frame], tuple[SweepState, Metrics]]:
    """`train_step` of all members. The state it is given is donated: use the one it returns.

    Args:
        loss: whose terms every member weighs for itself.
        settings: of the members.
        config: the whole config.
        steps: of the run.
        mesh: with the axes ``member`` and ``data``.
        augment: what is done to the batch, once for all.

    Returns:
        A function from state and batch to the next state, and metrics ``[k]``.
    """

    def step(
        state: SweepState,
        settings: Settings,
        batch: Frame,
        targets: jax.Array | None,
        *,
        groups: int,
    ) -> tuple[SweepState, Metrics]:
        shared = _to_members((batch, targets), mesh)

        def one(state: TrainState, diverged: jax.Array, member: Settings) -> tuple:
            optimizer, schedule = _optimizer(member, config, steps)
            own = partial(member_loss, loss=loss, member=member)
            after, metrics = train_step(
                state, *shared, loss=own, optimizer=optimizer, schedule=schedule
            )
            finite = jnp.all(jnp.isfinite(jnp.stack([metrics[name] for name in MUST_BE_FINITE])))
            healthy = finite & (diverged == 0)
            after = jax.tree.map(partial(jnp.where, healthy), after, state)
            return after, jnp.where(healthy | (diverged > 0), diverged, state.step + 1), metrics

        each = (state.members, state.diverged, settings)
        members, diverged, metrics = in_groups(one, each, groups, mesh)
        return SweepState(members, diverged, state.step + 1), metrics

    where, split = sweep_shardings(mesh), batch_sharding(mesh)
    shardings = {
        "in_shardings": (where, member_sharding(mesh), split, split),
        "out_shardings": (where, replicated(mesh)),
    }

    def in_program(groups: int) -> Any:
        return jax.jit(partial(step, groups=groups), donate_argnums=0, **shardings)

    count = len(settings.weights["seg"]) // mesh.shape["member"]
    chosen: list[Any] = []

    def run(state: SweepState, batch: Frame) -> tuple[SweepState, Metrics]:
        args = (state, settings, *augment(batch, state.step))
        if not chosen:
            chosen.append(group_members(in_program, args, count, config.train.members_at_once))
        return chosen[0](*args)

    return run


def _optimizer(
    member: Settings, config: ConfigDict, steps: int
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    fields = SimpleNamespace(**{**config.optimizer.to_dict(), **member.optimizer})
    schedule = unchecked_schedule(fields, steps)
    return make_optimizer(fields, schedule), schedule


def _to_members(batch: Any, mesh: Mesh) -> Any:
    """From clips split over all devices to clips split over ``data``, the same for all members."""
    split = NamedSharding(mesh, PartitionSpec("data"))
    return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(x, split), batch)
