"""Between JAX and PyTorch: how parameters travel, and what "agree" means."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

# Largest difference over largest value, per tensor.
TOLERANCE = {"float64": 1e-9, "float32": 1e-5}


@contextlib.contextmanager
def precision(dtype: str):
    """Runs JAX in float64 inside, or in float32 as it comes."""
    with jax.enable_x64(dtype == "float64"):
        yield TOLERANCE[dtype]


def to_torch(x, requires_grad=False):
    tensor = torch.from_numpy(np.array(x))
    return tensor.requires_grad_(requires_grad and tensor.is_floating_point())


def torch_params(params):
    """An NNX state as a flat dict of leaves, by dotted path."""
    flat = nnx.to_flat_state(params)
    return {".".join(map(str, path)): to_torch(x[...], True) for path, x in flat}


def random_core(make, seed=0):
    """``(graphdef, params)`` of ``make()``, every parameter random: biases and scales count too.

    Drawn by NumPy, which compiles nothing.
    """
    rng = np.random.default_rng(seed)

    def draw(x):
        fan_in = x.shape[0] if len(x.shape) > 1 else 12.0
        return jnp.asarray(
            rng.normal(size=x.shape) / fan_in**0.5 + (len(x.shape) < 2) * 0.5, x.dtype
        )

    graphdef, shapes = nnx.split(nnx.eval_shape(make))
    return graphdef, jax.tree.map(draw, shapes)


def assert_agree(ours, theirs, tolerance, name=""):
    ours = np.asarray(ours)
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else np.asarray(theirs)
    assert ours.shape == theirs.shape, f"{name}: {ours.shape} and {theirs.shape}"
    scale = max(np.abs(theirs).max(initial=0), 1e-30)
    worst = np.abs(ours - theirs).max(initial=0) / scale
    assert worst <= tolerance, f"{name}: differs by {worst:.1e} of {scale:.1e}"


def assert_grads_agree(grads, params, tolerance):
    """Gradients of an NNX state against those of `torch_params`; an unused one is zero."""
    ours = {".".join(map(str, path)): x[...] for path, x in nnx.to_flat_state(grads)}
    assert ours.keys() == params.keys()
    largest = max(float(p.grad.abs().max()) for p in params.values() if p.grad is not None)
    for name, tensor in params.items():
        theirs = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        # A gradient that vanishes by symmetry (a key's bias) is rounding, measured by the largest.
        floor = tolerance * largest
        error = np.abs(np.asarray(ours[name]) - theirs.numpy()).max()
        bound = tolerance * float(theirs.abs().max()) + floor
        assert error <= bound, f"{name}: differs by {error:.1e}, allowed {bound:.1e}"
