import numpy as np
import pytest
import torch

from experiments.mini_backbones.semantic import views
from experiments.mini_backbones.semantic.recipe import Recipe
from experiments.mini_backbones.single_frames.feed import Chunk

HEIGHT, WIDTH, FOCAL, DEPTH = 48, 64, 0.9, 3.0
RECIPE = Recipe(rooms=2, groups=2, views=2)


def pose_of(index):
    T = torch.eye(4)
    angle = torch.tensor(0.3 * index)
    T[0, 0], T[0, 2], T[2, 0], T[2, 2] = angle.cos(), angle.sin(), -angle.sin(), angle.cos()
    T[:3, 3] = torch.tensor([0.1 * index, 0.2, -0.3])
    return T


@pytest.fixture
def chunk():
    """Pictures whose red and green are the place in the frame; all there is is 3 m away."""
    v, u = np.meshgrid(np.arange(HEIGHT) + 0.5, np.arange(WIDTH) + 0.5, indexing="ij")
    image = np.stack([u / WIDTH * 255, v / HEIGHT * 255, 0 * u], axis=-1).round().astype(np.uint8)
    images = torch.tensor(image).expand(2, 4, HEIGHT, WIDTH, 3)
    depth = torch.full((2, 4, HEIGHT, WIDTH), DEPTH)
    poses = torch.stack([pose_of(i) for i in range(8)]).reshape(2, 4, 4, 4)
    return Chunk(images, depth, poses, torch.full((2,), FOCAL), torch.zeros(images.shape[:4]))


@pytest.mark.parametrize("make", [views.teacher_views, views.student_views])
def test_points_are_what_the_patches_show(chunk, make, monkeypatch):
    monkeypatch.setattr(views, "recolour", lambda pixels, random: pixels)
    seen = make(chunk, slice(2, 4), RECIPE, torch.Generator().manual_seed(0))
    assert seen.pixels.shape == (4, HEIGHT, WIDTH, 3)
    poses = chunk.poses[:, 2:4].reshape(4, 4, 4)
    local = torch.einsum(
        "bji,bhwj->bhwi", poses[:, :3, :3], seen.points - poses[:, None, None, :3, 3]
    )
    focal = FOCAL * WIDTH
    place = local[..., :2] / local[..., 2:] * focal + torch.tensor([WIDTH / 2, HEIGHT / 2])
    # A patch's mean colour is the colour of its middle, as colours are linear in place.
    patches = seen.pixels.reshape(4, HEIGHT // 8, 8, WIDTH // 8, 8, 3).mean(dim=(2, 4))
    shown = patches[..., :2] * torch.tensor([WIDTH, HEIGHT])
    torch.testing.assert_close(place, shown, atol=0.2, rtol=0)
    torch.testing.assert_close(local[..., 2], torch.full_like(local[..., 2], DEPTH))


def test_spacing_is_the_distance_of_neighbours(chunk):
    seen = views.student_views(chunk, slice(0, 2), RECIPE, torch.Generator().manual_seed(1))
    apart = (seen.points[:, :, 1:] - seen.points[:, :, :-1]).norm(dim=-1)
    torch.testing.assert_close(apart, seen.spacing[:, :, 1:])


def test_without_geometry_neither_depth_nor_pose_is_used(chunk):
    recipe = Recipe(rooms=2, groups=4, views=1, geometry=False)
    blind = Chunk(
        chunk.images, chunk.depth * torch.nan, chunk.poses * torch.nan, chunk.focal, chunk.instance
    )
    seen = views.student_views(blind, slice(1, 2), recipe, torch.Generator().manual_seed(0))
    assert torch.isfinite(seen.points).all()
    assert torch.isfinite(seen.spacing).all()


def test_hidden_patches_come_in_blocks():
    hidden = views.hidden_patches((64, 12, 16), 0.5, torch.Generator().manual_seed(0))
    assert hidden.shape == (64, 12, 16)
    assert 0.2 < hidden.float().mean() < 0.3
    assert torch.equal(hidden[:, ::2, ::2], hidden[:, 1::2, 1::2])
