import jax
import jax.numpy as jnp
import numpy as np
import optax

from moonseg_jax.train.mesh import data_mesh
from moonseg_jax.train.step import average_loss, compile_step, init_state

RATE = 0.1


def quadratic(params, batch, targets):
    loss = jnp.mean(jnp.square(batch - params["kernel"][None]))
    return loss, {"seg": loss}


def start():
    optimizer = optax.sgd(RATE)
    mesh = data_mesh(jax.devices()[:1], 2)
    step = compile_step(quadratic, optimizer, lambda _: jnp.float32(RATE), mesh)
    return init_state({"kernel": jnp.array([3.0, 4.0])}, optimizer), step


def test_norms_are_those_of_gradient_update_and_parameters():
    state, step = start()
    state, metrics = step(state, jnp.zeros((2, 2)))
    assert float(metrics["loss"]) == 12.5
    np.testing.assert_allclose(metrics["grad_norm"], 5.0, rtol=1e-6)
    np.testing.assert_allclose(metrics["update_norm"], 0.5, rtol=1e-6)
    np.testing.assert_allclose(metrics["param_norm"], 4.5, rtol=1e-6)
    np.testing.assert_allclose(state.params["kernel"], [2.7, 3.6], rtol=1e-6)
    assert int(state.step) == 1


def test_the_average_starts_without_bias_and_follows_the_loss():
    state, step = start()
    losses = []
    for target in (0.0, 1.0, 2.0):
        state, metrics = step(state, jnp.full((2, 2), target))
        losses.append(float(metrics["loss"]))
        weights = 0.99 ** np.arange(len(losses))[::-1]
        expected = np.average(losses, weights=weights)
        np.testing.assert_allclose(average_loss(state), expected, rtol=1e-4)


def test_the_state_is_donated():
    state, step = start()
    old = state.params["kernel"]
    step(state, jnp.zeros((2, 2)))
    assert old.is_deleted()
