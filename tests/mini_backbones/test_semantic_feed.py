from contextlib import closing
from dataclasses import replace
from threading import Event

import jax
import numpy as np
import pytest
import torch

from experiments.mini_backbones.semantic.recipe import Recipe
from experiments.mini_backbones.single_frames.cameras import KEEP_OFF, sample_cameras
from experiments.mini_backbones.single_frames.feed import chunks, make_rooms, render_chunk
from moonseg_jax.rooms import sample_room
from moonseg_jax.rooms.occlusion import clearance

CPU = torch.device("cpu")
RECIPE = Recipe(rooms=2, groups=2, views=2, coarse=(32, 48), fine=(32, 48))


def test_cameras_stand_in_free_space():
    room = sample_room(5)
    poses, focal = jax.jit(sample_cameras, static_argnums=(2, 3))(room, jax.random.key(0), 3, 4)
    assert poses.shape == (3, 4, 4, 4)
    assert 0.7 < focal < 1.2
    R, eyes = np.asarray(poses[..., :3, :3]), poses[..., :3, 3]
    np.testing.assert_allclose(
        R @ R.swapaxes(-1, -2), np.broadcast_to(np.eye(3), R.shape), atol=1e-5
    )
    np.testing.assert_allclose(np.linalg.det(R), 1, atol=1e-5)
    assert np.min(jax.jit(clearance)(room, eyes)) > KEEP_OFF / 2
    apart = np.linalg.norm(eyes[:, :, None] - eyes[:, None], axis=-1)
    assert np.min(apart + np.eye(4)) > 0
    assert np.all(R[..., 2, 1] < 0)  # The world's up is above in the image.


@pytest.mark.slow
def test_chunks_depend_on_their_number_alone():
    with closing(chunks(RECIPE, 3, 1, CPU, Event())) as feed:
        first, second = feed.take(100), feed.take(100)
    with closing(chunks(RECIPE, 4, 0, CPU, Event())) as feed:
        again = feed.take(100)
    assert torch.equal(second.images, again.images)
    assert torch.equal(second.poses, again.poses)
    assert not torch.equal(first.images, again.images)
    assert first.images.shape == (2, 4, 32, 48, 3)
    assert torch.isfinite(first.depth).all() and (first.depth > 0).all()


@pytest.mark.slow
def test_images_are_finer_once_it_cools():
    recipe, cooling = replace(RECIPE, fine=(48, 64)), Event()
    cooling.set()
    with closing(chunks(recipe, 3, 0, CPU, cooling)) as feed:
        assert feed.take(100).images.shape == (2, 4, 48, 64, 3)


@pytest.mark.slow
def test_cameras_of_a_group_see_common_points():
    recipe = Recipe(rooms=8, groups=2, views=4, coarse=(32, 48), fine=(32, 48))
    chunk = render_chunk(recipe, 0, make_rooms(list(range(8))), recipe.coarse, CPU)
    from experiments.mini_backbones.semantic.views import teacher_views

    seen = teacher_views(chunk, slice(0, 4), recipe, torch.Generator().manual_seed(0))
    points = seen.points.reshape(8, 4, -1, 3)
    first, others = points[:, 0], points[:, 1:].reshape(8, -1, 3)
    shared = torch.cdist(first, others).min(dim=-1).values < 0.3
    assert shared.float().mean() > 0.3
