import pytest
import torch
import torch.nn.functional as F

from experiments.mini_backbones.semantic.loss import point_contrast
from experiments.mini_backbones.semantic.recipe import Recipe

RECIPE = Recipe(apart=0.4, temperature=0.1)
ROOMS, KEYS = 3, 6
OTHERS = torch.arange(ROOMS * KEYS)


def loss_of(student, teacher, points):
    place = points, torch.full((ROOMS, KEYS), 0.1)
    return point_contrast(student, teacher, place, place, OTHERS, RECIPE)


@pytest.fixture
def points():
    line = torch.arange(KEYS) * 1.0
    return F.pad(line.expand(ROOMS, KEYS)[..., None], (0, 2))


def test_features_of_their_own_point_cost_nothing(points):
    own = torch.eye(ROOMS * KEYS).reshape(ROOMS, KEYS, -1)
    loss, paired = loss_of(own, own, points)
    assert paired == 1
    assert loss < 0.01
    mixed, _ = loss_of(own, own[:, torch.randperm(KEYS)], points)
    assert mixed > 1


def test_only_patches_far_apart_or_at_one_point_count(points):
    torch.manual_seed(0)
    teacher = F.normalize(torch.randn(ROOMS, KEYS, 16), dim=-1)
    points[:, 1, 0] = 0.3  # Neither the point of patch 0 nor far from it.
    changed = teacher.clone()
    changed[:, 1] = changed[:, 0]
    place = points[:, :1], torch.full((ROOMS, 1), 0.1)
    key = points, torch.full((ROOMS, KEYS), 0.1)
    foreign = torch.zeros(0, dtype=torch.long)
    losses = [
        point_contrast(teacher[:, :1], other, place, key, foreign, RECIPE)[0]
        for other in (teacher, changed)
    ]
    assert torch.equal(*losses)
    points[:, 1, 0] = 0.5
    far = point_contrast(teacher[:, :1], changed, place, (points, key[1]), foreign, RECIPE)[0]
    assert far > losses[0]


def test_patches_of_the_own_room_are_not_foreign(points):
    torch.manual_seed(0)
    features = F.normalize(torch.randn(ROOMS, KEYS, 16), dim=-1)
    one = features[:1], features[:1], (points[:1], torch.full((1, KEYS), 0.1))
    alone = point_contrast(one[0], one[1], one[2], one[2], torch.arange(0), RECIPE)[0]
    own = point_contrast(one[0], one[1], one[2], one[2], torch.arange(KEYS), RECIPE)[0]
    torch.testing.assert_close(own, alone)
    assert loss_of(features, features, points)[0] > alone / 2


def test_queries_without_a_positive_are_left_out(points):
    torch.manual_seed(0)
    features = F.normalize(torch.randn(ROOMS, KEYS, 16), dim=-1)
    query = points.clone()
    query[:, 0, 1] = 50
    key = points, torch.full((ROOMS, KEYS), 0.1)
    loss, paired = point_contrast(features, features, (query, key[1]), key, OTHERS, RECIPE)
    assert paired == pytest.approx(1 - 1 / KEYS)
    assert torch.isfinite(loss)
