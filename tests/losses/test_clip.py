import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

import moonseg_jax.losses.clip as clip_module
from moonseg_jax.losses import clip_loss
from moonseg_jax.models import Core, FeatureCore
from tests.losses.clips import C2, C3, IMAGE, make_clip, small_config
from tests.reference import losses as twin
from tests.reference.parity import (
    assert_agree,
    assert_grads_agree,
    precision,
    random_core,
    torch_params,
)

TERMS = ("seg", "dist", "xseg", "merge")
# Every option away from the paper at once.
OPTIONS = {
    "memory.gradient": "stop",
    "memory.occlusion": 0.1,
    "model.seg_logits": "cosine",
    "model.xseg_logits": "dot",
    "loss.dist_reduction": "sum",
    "loss.target_stride": 2,
    "loss.merge": 0.7,
}


def make_core(config, dtype="float32", param_dtype="float32"):
    kinds = {"dtype": dtype, "param_dtype": param_dtype}
    return random_core(lambda: Core(config.model, C3, C2, rngs=nnx.Rngs(0), **kinds))


def loss_of(graphdef, config):
    return lambda params, clip: clip_loss(nnx.merge(graphdef, params), clip, config, IMAGE)


def compiled(graphdef, config):
    return jax.jit(jax.value_and_grad(loss_of(graphdef, config), has_aux=True))


@functools.cache
def paper():
    """The paper's objective in float32, compiled once for all tests; and parameters."""
    graphdef, params = make_core(small_config())
    return compiled(graphdef, small_config()), params


@pytest.mark.parametrize(
    ("options", "dtype"), [({}, "float64"), ({}, "float32"), (OPTIONS, "float64")]
)
def test_the_clip_agrees_with_the_twin(options, dtype):
    config = small_config()
    config.update_from_flattened_dict(options)
    clip = make_clip()
    with precision(dtype) as tolerance:
        graphdef, params = make_core(config, dtype, dtype)
        loss = compiled(graphdef, config) if dtype == "float64" else paper()[0]
        (total, metrics), grads = loss(params, clip)
        leaves = torch_params(params)
        expected, terms = twin.clip_loss(leaves, clip, config, IMAGE, getattr(torch, dtype))
        expected.backward()
        assert total.dtype == dtype
        assert metrics["context_share"] > 0.1
        assert_agree(total, expected, tolerance, "total")
        for name in TERMS:
            expected = terms[name] if config.loss[name] else torch.zeros(())
            assert_agree(metrics[name], expected, tolerance, name)
        assert_grads_agree(grads, leaves, tolerance)


@pytest.mark.parametrize("term", TERMS)
def test_a_term_of_weight_zero_is_not_computed(term, monkeypatch):
    config = small_config()
    config.loss[term] = 0.0
    graphdef, params = make_core(config)

    def forbidden(*_, **__):
        raise AssertionError(f"{term} is computed")

    monkeypatch.setattr(clip_module, f"{term}_loss", forbidden)
    jax.eval_shape(loss_of(graphdef, config), params, make_clip())
    config.loss[term] = 1.0
    with pytest.raises(AssertionError, match="is computed"):
        jax.eval_shape(loss_of(graphdef, config), params, make_clip())


def test_index_maps_are_made_only_where_something_reads_them(monkeypatch):
    config = small_config()
    config.loss.xseg, config.model.context = 0.0, False
    monkeypatch.setattr(clip_module, "clip_index_maps", None)
    graphdef, params = make_core(config)
    jax.eval_shape(loss_of(graphdef, config), params, make_clip())


def test_frames_without_masks_cost_nothing_but_distillation():
    loss, params = paper()
    clip = make_clip()
    empty = dataclasses.replace(clip, mask_valid=np.zeros_like(clip.mask_valid))
    (total, metrics), grads = loss(params, empty)
    assert metrics["valid_queries"] == metrics["context_share"] == 0
    assert metrics["seg"] == metrics["xseg"] == 0
    np.testing.assert_allclose(total, small_config().loss.dist * metrics["dist"])
    assert all((x == 0).all() for name in ("eta", "phi") for x in jax.tree.leaves(grads[name]))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(grads["psi"]))


def test_what_is_not_valid_changes_nothing():
    loss, params = paper()
    clip = make_clip()
    bits = np.uint32(0xFFFFFFE0)  # Planes 5 to 31 are padding.
    noisy = dataclasses.replace(clip, masks=clip.masks | bits)
    lost = np.where(clip.confidence[..., None] > 0, clip.points, 1e3).astype(np.float32)
    for changed in (noisy, dataclasses.replace(clip, points=lost)):
        for a, b in zip(*(jax.tree.leaves(loss(params, x)) for x in (clip, changed)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_capacity_and_frames_without_masks_change_nothing():
    graphdef, params = make_core(small_config())
    clip = make_clip()
    longer = jax.tree.map(lambda x: np.concatenate([x, x[-1:]]), clip)
    longer.mask_valid[-1] = False
    padded = dataclasses.replace(
        longer,
        masks=np.concatenate([longer.masks, ~np.zeros_like(longer.masks)], -1),
        mask_valid=np.concatenate([longer.mask_valid, np.zeros_like(longer.mask_valid)], -1),
    )
    (_, metrics), _ = paper()[0](params, clip)
    _, padded_metrics = jax.jit(loss_of(graphdef, small_config()))(params, padded)
    for name in ("seg", "xseg", "valid_queries"):
        np.testing.assert_allclose(padded_metrics[name], metrics[name], rtol=1e-6)


def test_one_trace_serves_every_batch_of_clips():
    graphdef, params = make_core(small_config())
    traces = []

    @jax.jit
    def losses(params, batch):
        traces.append(1)
        return jax.vmap(lambda clip: loss_of(graphdef, small_config())(params, clip)[0])(batch)

    def stack(*seeds):
        return jax.tree.map(lambda *x: np.stack(x), *map(make_clip, seeds))

    both, _ = losses(params, stack(0, 1)), losses(params, stack(2, 3))
    assert len(traces) == 1
    singles = [paper()[0](params, make_clip(seed))[0][0] for seed in (0, 1)]
    np.testing.assert_allclose(both, singles, rtol=1e-5)


def test_bfloat16_is_close():
    config, clip = small_config(), make_clip()
    graphdef, params = make_core(config, dtype="bfloat16")
    total, _ = jax.jit(loss_of(graphdef, config))(params, clip)
    (exact, _), _ = paper()[0](params, clip)
    assert total.dtype == jnp.float32
    assert abs(total - exact) < 0.03 * exact


def test_the_baseline_runs_through_the_same_loss():
    core = FeatureCore(small_config().model, C3, C2)
    total, metrics = jax.jit(lambda clip: clip_loss(core, clip, small_config(), IMAGE))(make_clip())
    assert np.isfinite(total)
    assert metrics["xseg"] > 0
