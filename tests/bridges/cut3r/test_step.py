"""The step: shapes, what is asked of the attention, batches, precision, gradients, memory."""

import copy
from dataclasses import fields

import pytest
import torch

from bridges.backbones.cut3r import TINY_DPT, TINY_LINEAR, VARIANTS, Cut3r
from tests.bridges.cut3r.formula import formula_images

SIZE = (48, 64)  # 12 patches, 10 state tokens, 48 channels.


def close(a, b, tolerance):
    return (a - b).abs().max() <= tolerance * b.abs().max()


@pytest.mark.parametrize("model", ["dpt", "linear"])
def test_shapes(model, request):
    model = request.getfixturevalue(model)
    output, state = model.step(torch.zeros(2, 3, *SIZE), model.init_state(2), with_attention=True)
    shapes = {name: tuple(x.shape) for name, x in vars(output).items() if x is not None}
    assert shapes == {
        "points_self": (2, 48, 64, 3),
        "points_world": (2, 48, 64, 3),
        "conf_self": (2, 48, 64),
        "conf_world": (2, 48, 64),
        "T_world_from_cam": (2, 4, 4),
        "pose_encoding": (2, 7),
        "intrinsics": (2, 3, 3),
        "features": (2, 3, 4, 48),
        "state_attention": (2, 10, 3, 4),
    }
    assert state.tokens.shape == (2, 10, 48)
    assert state.pose_memory.shape == (2, 7, 96)


def test_encoding_ahead_gives_the_same(dpt):
    images = formula_images(3, 2, SIZE)
    ahead = dpt.encode(images.flatten(0, 1)).unflatten(0, (3, 2))
    state = other = dpt.init_state(2)
    for image, tokens in zip(images, ahead, strict=True):
        output, state = dpt.step(image, state)
        cached, other = dpt.step_encoded(tokens, other)
        assert close(cached.points_world, output.points_world, 1e-3)
    assert close(other.tokens, state.tokens, 1e-3)


def test_scenes_of_a_batch_do_not_touch(linear):
    images = formula_images(2, 2, SIZE)
    together = linear.init_state(2)
    alone = linear.init_state(1)
    for image in images:
        both, together = linear.step(image, together)
        one, alone = linear.step(image[1:], alone)
    assert close(both.features[1:], one.features, 1e-3)
    assert close(together.tokens[1:], alone.tokens, 1e-3)


def test_state_tokens_are_sums_of_the_matrix(dpt):
    masks = torch.rand(2, 5, 12, generator=torch.Generator().manual_seed(0))
    state = dpt.init_state(2)
    for image in formula_images(2, 2, SIZE):
        output, state = dpt.step(image, state, masks=masks, with_attention=True)
    by_matrix = torch.einsum("bqp,bsp->bqs", masks, output.state_attention.flatten(2))
    assert output.state_tokens.shape == (2, 5, 10)
    torch.testing.assert_close(output.state_tokens, by_matrix, rtol=1e-5, atol=1e-7)
    # What the pose token takes is missing from the patches' share.
    share = output.state_attention.flatten(2).sum(-1)
    assert (share < 1).all()
    assert (share > 0.5).all()


def test_asking_for_attention_changes_nothing_else(dpt):
    images = formula_images(1, 1, SIZE)[0]
    plain, after = dpt.step(images, dpt.init_state())
    asked, also = dpt.step(
        images, dpt.init_state(), masks=torch.ones(1, 3, 12), with_attention=True
    )
    assert torch.equal(plain.points_world, asked.points_world)
    assert torch.equal(after.tokens, also.tokens)
    assert plain.state_attention is None
    assert plain.state_tokens is None


def test_ttt3r_takes_the_first_frame_whole_and_then_mixes(dpt):
    first, second = formula_images(2, 1, SIZE)
    _, by_cut3r = dpt.step(first, dpt.init_state())
    _, by_ttt3r = dpt.step(first, dpt.init_state(), update_rule="ttt3r")
    assert torch.equal(by_cut3r.tokens, by_ttt3r.tokens)
    _, new = dpt.step(second, by_cut3r)
    _, mixed = dpt.step(second, by_cut3r, update_rule="ttt3r")
    old = by_cut3r.tokens
    rate = (mixed.tokens - old) / (new.tokens - old)
    moved = (new.tokens - old).abs() > 0.1
    assert ((rate > 0) & (rate < 1))[moved].all()
    # One rate a token.
    for token in range(10):
        rates = rate[0, token][moved[0, token]]
        torch.testing.assert_close(rates, rates[:1].expand_as(rates), rtol=1e-3, atol=1e-4)
    assert torch.equal(mixed.pose_memory, new.pose_memory)


def test_unknown_update_rule(dpt):
    with pytest.raises(ValueError, match="update_rule"):
        dpt.step(torch.zeros(1, 3, *SIZE), dpt.init_state(), update_rule="ema")


def test_state_never_changes_its_size(linear):
    state = linear.init_state()
    before = {
        f.name: (getattr(state, f.name).shape, getattr(state, f.name).dtype) for f in fields(state)
    }
    for image in formula_images(3, 1, SIZE):
        _, state = linear.step(image, state)
    after = {
        f.name: (getattr(state, f.name).shape, getattr(state, f.name).dtype) for f in fields(state)
    }
    assert after == before
    assert state.frames.tolist() == [3]


def test_scenes_can_be_started_anew_one_by_one(linear):
    images = formula_images(2, 2, SIZE)
    _, state = linear.step(images[0], linear.init_state(2))
    mixed = linear.init_state(2).where(torch.tensor([False, True]), state)
    output, _ = linear.step(images[1], mixed)
    fresh, _ = linear.step(images[1], linear.init_state(2))
    on, _ = linear.step(images[1], state)
    assert close(output.features[:1], on.features[:1], 1e-3)
    assert close(output.features[1:], fresh.features[1:], 1e-3)
    assert not close(fresh.features, on.features, 1e-2)


@pytest.mark.parametrize("model", ["dpt", "linear"])
def test_bfloat16_is_close(model, request):
    model = request.getfixturevalue(model)
    quick = copy.deepcopy(model).cast(torch.bfloat16, head_dtype=torch.bfloat16)
    state, other = model.init_state(), quick.init_state()
    masks = torch.ones(1, 3, 12)
    for image in formula_images(2, 1, SIZE):
        output, state = model.step(image, state, masks, True, "ttt3r")
        rough, other = quick.step(image, other, masks, True, "ttt3r")
    for f in fields(output):
        mine, theirs = getattr(rough, f.name), getattr(output, f.name)
        assert mine.dtype == torch.float32, f.name
        assert close(mine, theirs, 0.1), f.name
    assert other.tokens.dtype == torch.float32


@torch.enable_grad()
def test_gradients_reach_the_parameters(linear):
    model = copy.deepcopy(linear)
    with torch.inference_mode():
        model.step(torch.zeros(1, 3, *SIZE), model.init_state())
    state, loss = model.init_state(), 0.0
    for image in formula_images(2, 1, SIZE):
        output, state = model.step(image, state, update_rule="ttt3r")
        loss = loss + output.points_world.sum() + output.points_self.sum()
    (loss + output.T_world_from_cam.sum() + state.tokens.sum()).backward()
    without = {
        n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()
    }
    # The memory is written by a single key, whose query does not matter.
    assert all(".write_blocks." in name for name in without), without


def test_random_weights_are_steady_and_look_ahead():
    for config in (TINY_DPT, TINY_LINEAR):
        model, same = (Cut3r.random(config, 3) for _ in range(2))
        output, _ = model.step(formula_images(1, 1, SIZE)[0], model.init_state())
        again, _ = same.step(formula_images(1, 1, SIZE)[0], same.init_state())
        assert torch.equal(output.points_world, again.points_world)
        assert (output.points_world[..., 2] > 0).float().mean() > 0.9
        assert output.T_world_from_cam[0, :3, :3].diagonal().min() > 0.5


@pytest.mark.parametrize("name", VARIANTS)
def test_published_sizes(name):
    with torch.device("meta"):
        model = Cut3r(VARIANTS[name])
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert 600 < millions < 800
