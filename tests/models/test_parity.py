import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from tests.models.conftest import GRID, make_core, make_view, small_config
from tests.reference import models as twin
from tests.reference.parity import (
    assert_agree,
    assert_grads_agree,
    precision,
    to_torch,
    torch_params,
)

INPUTS = ("features_3d", "features_2d", "coverage", "context")
VARIANTS = {
    "paper": {},
    "joint_norm": {"feature_norm": "joint"},
    "no_norm": {"feature_norm": "none"},
    "only_3d": {"sources": "3d"},
    "only_2d": {"sources": "2d"},
    "positions": {"positional_encoding": "sincos"},
    "no_context": {"context": False},
    "no_refinement": {"refine_layers": 0, "eta_layers": 3, "psi_layers": 1},
}


def ours(graphdef, valid, context_valid):
    def run(params, inputs):
        core = nnx.merge(graphdef, params)
        tokens = core.tokens(inputs["features_3d"], inputs["features_2d"])
        first = core.prototypes(tokens, inputs["coverage"])
        rest = (inputs["coverage"], valid, inputs["context"], context_valid)
        return core.refine(first, tokens, *rest, GRID), core.reference(tokens)

    return run


def theirs(params, config, inputs, valid, context_valid):
    tokens = twin.tokens(config, inputs["features_3d"], inputs["features_2d"])
    first = twin.prototypes(params, config, tokens, inputs["coverage"])
    rest = (inputs["coverage"], to_torch(valid), inputs["context"], to_torch(context_valid))
    return twin.refine(params, config, first, tokens, *rest, GRID), twin.reference(
        params, config, tokens
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_forward_and_gradients_agree_with_the_twin(variant, dtype):
    config = small_config(**VARIANTS[variant])
    with precision(dtype) as tolerance:
        view = make_view(dtype=dtype)
        graphdef, params = make_core(config, dtype=dtype, param_dtype=dtype)
        inputs = {name: jnp.asarray(getattr(view, name), dtype) for name in INPUTS}
        run = ours(graphdef, view.valid, view.context_valid)
        outputs, pullback = jax.vjp(run, params, inputs)
        rng = np.random.default_rng(1)
        cotangents = [np.asarray(rng.normal(size=x.shape), dtype) for x in outputs]
        param_grads, input_grads = pullback(tuple(jnp.asarray(x) for x in cotangents))

        leaves = torch_params(params)
        tensors = {name: to_torch(x, True) for name, x in inputs.items()}
        expected = theirs(leaves, config, tensors, view.valid, view.context_valid)
        sum((y * to_torch(c)).sum() for y, c in zip(expected, cotangents, strict=True)).backward()

        for name, a, b in zip(("queries", "reference"), outputs, expected, strict=True):
            assert a.dtype == dtype
            assert_agree(a, b, tolerance, name)
        assert_grads_agree(param_grads, leaves, tolerance)
        for name in INPUTS:
            grad = tensors[name].grad
            grad = torch.zeros_like(tensors[name]) if grad is None else grad
            assert_agree(input_grads[name], grad, tolerance, name)
