"""One step of training, as a pure function, and compiled over a mesh of devices."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx, struct
from jax.sharding import Mesh
from ml_collections import ConfigDict

from moonseg_jax.losses import clip_loss
from moonseg_jax.structs import Frame
from moonseg_jax.train.mesh import batch_sharding, replicated

Metrics = dict[str, jax.Array]
Loss = Callable[[Any, Frame], tuple[jax.Array, Metrics]]
Augment = Callable[[Frame, jax.Array], Frame]

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
    *,
    graphdef: nnx.GraphDef,
    config: ConfigDict,
    image_size: tuple[int, int],
) -> tuple[jax.Array, Metrics]:
    """The loss of a batch: the mean over its clips.

    Args:
        params: of the core.
        batch: ``[b t ...]``.
        graphdef: of the core.
        config: the whole config.
        image_size: ``(H, W)`` of the processed image.

    Returns:
        ``[]``, and the means of what `clip_loss` says about each clip.
    """
    core = nnx.merge(graphdef, params)
    losses, terms = jax.vmap(lambda clip: clip_loss(core, clip, config, image_size))(batch)
    return jnp.mean(losses), jax.tree.map(jnp.mean, terms)


def train_step(
    state: TrainState,
    batch: Frame,
    *,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    augment: Augment,
) -> tuple[TrainState, Metrics]:
    """Augmentation, gradient, AdamW update, and norms that tell a healthy run from a sick one."""
    batch = augment(batch, state.step)
    (total, terms), grads = jax.value_and_grad(loss, has_aux=True)(state.params, batch)
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


def compile_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    mesh: Mesh,
    augment: Augment = lambda batch, step: batch,
) -> Callable[[TrainState, Frame], tuple[TrainState, Metrics]]:
    """`train_step` over a mesh. The state it is given is donated: use the one it returns."""

    def step(state: TrainState, batch: Frame) -> tuple[TrainState, Metrics]:
        return train_step(
            state, batch, loss=loss, optimizer=optimizer, schedule=schedule, augment=augment
        )

    same = replicated(mesh)
    return jax.jit(
        step,
        in_shardings=(same, batch_sharding(mesh)),
        out_shardings=(same, same),
        donate_argnums=0,
    )
