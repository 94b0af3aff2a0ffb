"""Streams: the same as stepping, resets that stay in the first camera's frame."""

import torch

from bridges.backbones.cut3r import Cut3rStream
from tests.bridges.cut3r.formula import formula_images

SIZE = (48, 64)


def test_stream_is_the_loop_of_steps(linear):
    stream, state = Cut3rStream(linear, "ttt3r", batch=2), linear.init_state(2)
    for image in formula_images(3, 2, SIZE):
        output, state = linear.step(image, state, update_rule="ttt3r")
        streamed = stream(image)
        assert torch.equal(streamed.points_world, output.points_world)
    stream.begin()
    assert stream.state.frames.tolist() == [0, 0]


def test_reset_chains_poses_and_points(dpt):
    images = formula_images(5, 1, SIZE)
    stream = Cut3rStream(dpt, reset_every=2)
    told = [stream(image) for image in images]

    # By hand: frames 0 1 | 1 2 3 | 3 4, each part in its own first frame.
    _, state = dpt.step(images[0], dpt.init_state())
    last, _ = dpt.step(images[1], state)
    base = last.T_world_from_cam
    for part in ((1, 2, 3), (3, 4)):
        state = dpt.init_state()
        for position, frame in enumerate(part):
            output, state = dpt.step(images[frame], state)
            if position == 0:
                base = base @ output.T_world_from_cam.inverse()
                continue
            T = base @ output.T_world_from_cam
            torch.testing.assert_close(told[frame].T_world_from_cam, T, rtol=1e-3, atol=1e-3)
            points = output.points_world @ base[0, :3, :3].T + base[0, :3, 3]
            scale = points.abs().max()
            torch.testing.assert_close(
                told[frame].points_world / scale, points / scale, rtol=0, atol=1e-3
            )
            torch.testing.assert_close(told[frame].points_self, output.points_self)
        base = T
    assert not torch.equal(told[4].T_world_from_cam, output.T_world_from_cam)


@torch.enable_grad()
def test_stream_keeps_no_graph(linear):
    stream = Cut3rStream(linear, reset_every=2)
    for image in formula_images(3, 1, SIZE):
        assert not stream(image).points_world.requires_grad
    assert not stream.state.tokens.requires_grad
