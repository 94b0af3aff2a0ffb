"""AdamW under a cosine schedule: the paper's optimiser."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from ml_collections import ConfigDict

from moonseg_jax.structs import InputError


def cosine_schedule(config: ConfigDict, steps: int) -> optax.Schedule:
    """The learning rate of each step: linear warm-up from 0, then half a cosine to the final rate.

    Args:
        config: ``config.optimizer``.
        steps: of the whole run; the final rate is that of step ``steps``, one past the last.

    Raises:
        InputError: where the warm-up would not end before the run does.
    """
    if not 0 <= config.warmup_steps < steps:
        raise InputError(
            f"optimizer.warmup_steps={config.warmup_steps} does not fit a run of {steps} steps; "
            "use fewer, or train longer"
        )
    return unchecked_schedule(config, steps)


def unchecked_schedule(config: ConfigDict | SimpleNamespace, steps: int) -> optax.Schedule:
    """`cosine_schedule` of fields that may be traced arrays."""
    peak, final, warmup = config.learning_rate, config.final_learning_rate, config.warmup_steps

    def schedule(step: ArrayLike) -> jax.Array:
        done = jnp.clip((step - warmup) / (steps - warmup), 0.0, 1.0)
        cosine = final + (peak - final) * (1.0 + jnp.cos(jnp.pi * done)) / 2.0
        return jnp.where(step < warmup, peak * step / jnp.maximum(warmup, 1), cosine)

    return schedule


def decayed(params: Any) -> Any:
    """Which parameters weight decay pulls on: kernels; never biases, nor the scales of norms.

    By name and not by rank, because the biases of attention heads are ``[heads d/heads]``.

    Returns:
        A pytree like ``params`` of bool.
    """

    def is_kernel(path: tuple[Any, ...], _: jax.Array) -> bool:
        return any(getattr(entry, "key", None) == "kernel" for entry in path)

    return jax.tree_util.tree_map_with_path(is_kernel, params)


def make_optimizer(
    config: ConfigDict | SimpleNamespace, schedule: optax.Schedule
) -> optax.GradientTransformation:
    """AdamW, after clipping the global gradient norm where ``clip_norm`` > 0.

    Args:
        config: ``config.optimizer``; fields may be traced, ``clip_norm`` is then infinite for off.
        schedule: as `cosine_schedule` gives it.
    """
    adamw = optax.adamw(
        schedule,
        b1=config.b1,
        b2=config.b2,
        weight_decay=config.weight_decay,
        mask=decayed,
    )
    if isinstance(config.clip_norm, float) and config.clip_norm == 0:
        return adamw
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), adamw)
