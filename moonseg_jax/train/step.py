"""One step of training, as a pure function, and compiled over a mesh of devices."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx, struct
from jax.sharding import Mesh
from jax.typing import ArrayLike
from ml_collections import ConfigDict

from moonseg_jax.losses import clip_loss
from moonseg_jax.structs import Frame
from moonseg_jax.train.mesh import batch_sharding, replicated

Metrics = dict[str, jax.Array]
# From parameters, a batch, and what its queries should predict (None: its own masks).
Loss = Callable[[Any, Frame, jax.Array | None], tuple[jax.Array, Metrics]]
# From a batch and the step, which the noise depends on.
Augment = Callable[[Frame, ArrayLike], tuple[Frame, jax.Array | None]]

# The average of the training loss remembers about this many steps.
AVERAGE_STEPS = 100


@struct.dataclass
class TrainState:
    """All that a step changes.

    Attributes:
        params: of η, φ and ψ; float32 whatever the dtype of the activations.
        opt_state: of AdamW.
        step: ``[]`` int32, steps done.
        loss_sum: ``[]`` float32, exponentially decayed sum of the losses; see `average_loss`.
    """

    params: Any
    opt_state: optax.OptState
    step: jax.Array
    loss_sum: jax.Array


def init_state(params: Any, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step."""
    return TrainState(params, optimizer.init(params), jnp.int32(0), jnp.float32(0))


def batch_loss(
    params: Any,
    batch: Frame,
    targets: jax.Array | None = None,
    *,
    graphdef: nnx.GraphDef,
    config: ConfigDict,
    image_size: tuple[int, int],
) -> tuple[jax.Array, Metrics]:
    """The loss of a batch: the mean over its clips.

    Args:
        params: of the core.
        batch: ``[b t ...]``.
        targets: ``[b t Hm Wm words]`` or None, as in `clip_loss`.
        graphdef: of the core.
        config: the whole config.
        image_size: ``(H, W)`` of the processed image.

    Returns:
        ``[]``, and the means of what `clip_loss` says about each clip.
    """
    core = nnx.merge(graphdef, params)

    def one(clip: Frame, goals: jax.Array | None) -> tuple[jax.Array, Metrics]:
        return clip_loss(core, clip, config, image_size, goals)

    losses, terms = jax.vmap(one)(batch, targets)
    return jnp.mean(losses), jax.tree.map(jnp.mean, terms)


def train_step(
    state: TrainState,
    batch: Frame,
    targets: jax.Array | None,
    *,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
) -> tuple[TrainState, Metrics]:
    """Gradient, AdamW update, and norms that tell a healthy run from a sick one."""
    gradient = jax.value_and_grad(loss, has_aux=True)
    (total, terms), grads = gradient(state.params, batch, targets)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    decay = 1.0 - 1.0 / AVERAGE_STEPS
    after = TrainState(
        params=params,
        opt_state=opt_state,
        step=state.step + 1,
        loss_sum=decay * state.loss_sum + (1.0 - decay) * total.astype(jnp.float32),
    )
    metrics = {
        "loss": total,
        **terms,
        "grad_norm": optax.tree.norm(grads),
        "update_norm": optax.tree.norm(updates),
        "param_norm": optax.tree.norm(params),
        "learning_rate": schedule(state.step),
    }
    return after, metrics


def average_loss(state: TrainState) -> jax.Array:
    """The training loss smoothed over about 100 steps; without the bias of starting at 0."""
    decay = 1.0 - 1.0 / AVERAGE_STEPS
    return state.loss_sum / (1.0 - decay ** state.step.astype(jnp.float32))


def compile_augment(augment: Augment, mesh: Mesh) -> Augment:
    """Augmentation over a mesh: a program of its own.

    Inside the step's program its random numbers would be fused into the matrix products that read
    the features; XLA's GPU compiler then took minutes.
    """
    split = batch_sharding(mesh)
    return jax.jit(augment, in_shardings=(split, replicated(mesh)), out_shardings=split)


def compile_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    mesh: Mesh,
    augment: Augment = lambda batch, step: (batch, None),
) -> Callable[[TrainState, Frame], tuple[TrainState, Metrics]]:
    """`train_step` over a mesh. The state it is given is donated: use the one it returns."""

    def step(
        state: TrainState, batch: Frame, targets: jax.Array | None
    ) -> tuple[TrainState, Metrics]:
        return train_step(state, batch, targets, loss=loss, optimizer=optimizer, schedule=schedule)

    same, split = replicated(mesh), batch_sharding(mesh)
    compiled = jax.jit(
        step, in_shardings=(same, split, split), out_shardings=(same, same), donate_argnums=0
    )
    return lambda state, batch: compiled(state, *augment(batch, state.step))
