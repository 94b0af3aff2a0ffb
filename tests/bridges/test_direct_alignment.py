"""Poses that drift are pulled back by what the images show."""

import pytest
import torch

from bridges.backbones.direct_alignment import DirectAlignment, difference, motion

SIZE = (48, 64)
K = torch.tensor([[60.0, 0, 32], [0, 60, 24]])


def wall(T):
    """Colours and world points of a slanted, painted wall, as a camera sees it."""
    y, x = (torch.arange(n) + 0.5 for n in SIZE)
    v, u = torch.meshgrid((y - 24) / 60, (x - 32) / 60, indexing="ij")
    rays = torch.stack([u, v, torch.ones_like(u)], -1) @ T[:3, :3].T
    normal = torch.tensor([0.3, -0.2, -1.0])  # n·X = -3.
    distance = (-3 - T[:3, 3] @ normal) / (rays @ normal)
    points = T[:3, 3] + distance[..., None] * rays
    waves = torch.tensor([[5.0, 2, 0], [-2.0, 6, 1], [4.0, -5, 2]])
    return (points @ waves.T).sin() / 2 + 0.5, points


def path(frames):
    """True poses, and the same with a drift of 0.6 degrees and 1.5 cm a frame."""
    step = torch.tensor([0.01, -0.02, 0.005, 0.03, 0.01, 0.02])
    drift = torch.tensor([0.005, 0.008, -0.004, 0.01, -0.01, 0.005])
    return [motion(i * step) for i in range(frames)], [
        motion(i * (step + drift)) for i in range(frames)
    ]


def run(true, told, light=None, spoil=lambda points, i: points):
    """What comes out where depth is right and poses are as told."""
    alignment, results = DirectAlignment(), []
    for i, (T, T_told) in enumerate(zip(true, told, strict=True)):
        colors, points = wall(T)
        own = (points - T[:3, 3]) @ T[:3, :3]
        world = spoil(own @ T_told[:3, :3].T + T_told[:3, 3], i)
        results.append(alignment.correct(colors + (light(i) if light else 0), world, T_told, K))
    return results


def errors(poses, true):
    return torch.stack([difference(T, at).abs().max() for T, at in zip(poses, true, strict=True)])


@pytest.mark.parametrize("light", [None, lambda i: 0.1 * (i % 2)])
def test_drift_is_taken_back(light):
    true, told = path(12)
    poses = [T for T, _ in run(true, told, light)]
    before, after = errors(told, true), errors(poses, true)
    assert after[0] == 0 and before[-1] > 0.1
    assert after[-1] < before[-1] / 4


def test_points_stay_before_their_camera():
    true, told = path(6)
    for (T, points), at in zip(run(true, told), true, strict=True):
        own = (points - T[:3, 3]) @ T[:3, :3]
        _, expected = wall(at)
        torch.testing.assert_close(own, (expected - at[:3, 3]) @ at[:3, :3], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(T[:3, :3] @ T[:3, :3].T, torch.eye(3), rtol=0, atol=1e-5)


def test_the_unit_of_length_does_not_matter():
    true, told = path(6)
    metres, alignment = run(true, told), DirectAlignment()
    for (expected, _), T, T_told in zip(metres, true, told, strict=True):
        colors, points = wall(T)
        own = 100 * (points - T[:3, 3]) @ T[:3, :3]
        T_told = T_told.clone()
        T_told[:3, 3] *= 100
        got, _ = alignment.correct(colors, own @ T_told[:3, :3].T + T_told[:3, 3], T_told, K)
        got[:3, 3] /= 100
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)


def test_right_poses_stay():
    true, _ = path(8)
    # Colours between pixels are not quite those of the wall.
    assert errors([T for T, _ in run(true, true)], true).max() < 1e-2


def test_where_nothing_can_be_compared_poses_are_as_told():
    true, told = path(6)
    nothing = run(true, told, spoil=lambda points, i: torch.full_like(points, torch.nan))
    for (T, points), expected in zip(nothing, told, strict=True):
        torch.testing.assert_close(T, expected, rtol=0, atol=1e-5)
        assert points.isnan().all()
    alignment = DirectAlignment()
    for T in told:
        got, _ = alignment.correct(torch.full((*SIZE, 3), 0.5), wall(T)[1], T, K)
        torch.testing.assert_close(got, T, rtol=0, atol=1e-5)


def test_holes_do_no_harm():
    true, told = path(12)

    def holed(points, i):
        holes = torch.rand(SIZE, generator=torch.Generator().manual_seed(i)) < 0.05
        return torch.where(holes[..., None], torch.nan, points)

    after = errors([T for T, _ in run(true, told, spoil=holed)], true)
    assert after[-1] < errors(told, true)[-1] / 3
