import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from moonseg_jax.config import model_config, optimizer_config
from moonseg_jax.models import Core, split_core
from moonseg_jax.structs import InputError
from moonseg_jax.train.optimizer import cosine_schedule, decayed, make_optimizer


def test_the_rate_falls_as_half_a_cosine():
    schedule = cosine_schedule(optimizer_config(), 100)
    rates = [float(schedule(step)) for step in (0, 25, 50, 100, 120)]
    quarter = 1e-5 + 9e-5 * (1 + np.cos(np.pi / 4)) / 2
    np.testing.assert_allclose(rates, [1e-4, quarter, 5.5e-5, 1e-5, 1e-5], rtol=1e-6)


def test_the_rate_warms_up_linearly():
    config = optimizer_config()
    config.warmup_steps = 10
    schedule = cosine_schedule(config, 110)
    rates = [float(schedule(step)) for step in (0, 5, 10, 60, 110)]
    np.testing.assert_allclose(rates, [0, 5e-5, 1e-4, 5.5e-5, 1e-5], rtol=1e-6)


def test_a_warm_up_longer_than_the_run_is_refused():
    config = optimizer_config()
    config.warmup_steps = 10
    with pytest.raises(InputError, match=r"optimizer\.warmup_steps=10"):
        cosine_schedule(config, 10)


def test_weight_decay_pulls_on_kernels_only():
    model = model_config()
    model.update(width=16, heads=2, feed_forward=32)
    _, params = split_core(Core(model, 6, 4, rngs=nnx.Rngs(0)))
    mask = decayed(params)
    assert jax.tree.structure(mask) == jax.tree.structure(params)
    for path, value in jax.tree_util.tree_leaves_with_path(mask):
        name = jax.tree_util.keystr(path)
        assert value == ("kernel" in name), name
        assert "kernel" in name or "bias" in name or "scale" in name, name


def test_one_step_is_adamw_with_decay_on_the_kernel_alone():
    config = optimizer_config()
    config.weight_decay = 0.5
    params = {"kernel": jnp.array([2.0]), "bias": jnp.array([2.0])}
    grads = {"kernel": jnp.array([0.3]), "bias": jnp.array([0.3])}
    optimizer = make_optimizer(config, lambda _: 0.1)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    # Adam's first step is the sign of the gradient, times the rate.
    np.testing.assert_allclose(updates["bias"], [-0.1], rtol=1e-5)
    np.testing.assert_allclose(updates["kernel"], [-0.1 - 0.1 * 0.5 * 2.0], rtol=1e-5)


def test_clipping_bounds_the_gradient():
    config = optimizer_config()
    config.clip_norm = 1.0
    params = {"kernel": jnp.array([0.0, 0.0])}
    optimizer = make_optimizer(config, lambda _: 0.1)
    _, state = optimizer.update({"kernel": jnp.array([30.0, 40.0])}, optimizer.init(params), params)
    mean = next(x.mu for x in jax.tree.leaves(state, is_leaf=lambda x: hasattr(x, "mu")))
    np.testing.assert_allclose(mean["kernel"], 0.1 * np.array([0.6, 0.8]), rtol=1e-5)
