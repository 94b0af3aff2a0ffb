from dataclasses import replace

import pytest
import torch

from bridges.backbones.mini_mask_net import CELL
from bridges.backbones.mini_masks import MiniMasks
from experiments.mini_backbones.masks.learner import Learner, load, network_tensors, save
from experiments.mini_backbones.masks.recipe import Recipe
from experiments.mini_backbones.masks.views import cell_objects, cropped_views, pick_cells
from experiments.mini_backbones.single_frames.feed import Chunk

RECIPE = Recipe(
    widths=(8, 12, 16, 16), depth=1, channels=8, warmup=3, rooms=4, groups=2, repeats=2, picked=6,
)  # fmt: skip


@pytest.fixture
def chunk():
    """Two coloured rectangles in each picture, of other places in each."""
    random = torch.Generator().manual_seed(0)
    ids = torch.zeros(4, 2, 48, 64, dtype=torch.uint8)
    for picture in ids.flatten(0, 1):
        for i in (1, 2):
            y, x = (int(torch.randint(28, (), generator=random)) for _ in "yx")
            picture[y : y + 18, x : x + 22] = i
    palette = torch.tensor([[120, 120, 120], [220, 40, 40], [30, 60, 220]], dtype=torch.uint8)
    images = palette[ids.long()]
    depth, poses = torch.ones(ids.shape), torch.eye(4).expand(4, 2, 4, 4)
    return Chunk(images, depth, poses, torch.full((4,), 0.9), ids)


def tensors_of(learner):
    states = [learner.optimizer.state[p] for p in learner.network.parameters()]
    moments = [s[key] for s in states for key in ("exp_avg", "exp_avg_sq")]
    return [*learner.network.state_dict().values(), *moments]


def test_the_loss_falls(chunk):
    learner = Learner(replace(RECIPE, learning_rate=5e-3), "cpu")
    told = [learner.learn(chunk, 0.0) for _ in range(60)]
    first, last = ([float(t["mask"]) for t in some] for some in (told[:5], told[-5:]))
    assert sum(last) < 0.6 * sum(first)
    assert sum(float(t["iou"]) for t in told[-5:]) / 5 > 0.5
    assert sum(float(t["score"]) for t in told[-5:]) < sum(float(t["score"]) for t in told[:5])


def test_gradients_reach_every_parameter(chunk):
    learner = Learner(RECIPE, "cpu")
    before = {k: v.clone() for k, v in learner.network.named_parameters()}
    learner.learn(chunk, 0.0)
    for name, p in learner.network.named_parameters():
        assert not torch.equal(p, before[name]), name


def test_a_run_in_pieces_is_the_same_run(chunk, tmp_path):
    whole = Learner(RECIPE, "cpu")
    for _ in range(3):
        whole.learn(chunk, 0.0)
    save(whole, tmp_path, {"seconds": 2.0})
    pieces, told = load(tmp_path, "cpu")
    assert (pieces.step, pieces.recipe, told["seconds"]) == (3, RECIPE, 2)
    for _ in range(3):
        told = whole.learn(chunk, 0.0), pieces.learn(chunk, 0.0)
        assert told[0] == told[1]
    for one, other in zip(tensors_of(whole), tensors_of(pieces), strict=True):
        assert torch.equal(one, other)


def test_pictures_without_an_object(chunk):
    empty = replace(chunk, instance=torch.zeros_like(chunk.instance))
    told = Learner(RECIPE, "cpu").learn(empty, 0.0)
    assert float(told["mask"]) == 0
    assert float(told["loss"]) == float(told["score"]) > 0


def test_crops_show_what_their_ids_say(chunk):
    # Colours change, but two ids of a picture never look the same.
    views = cropped_views(chunk, slice(0, 2), RECIPE, torch.Generator().manual_seed(0))
    assert views.pixels.shape == (8, 3, 48, 64)
    for pixels, ids in zip(views.pixels, views.ids, strict=True):
        red, blue = pixels[:, ids == 1].mean(1), pixels[:, ids == 2].mean(1)
        for colour, strong, weak in ((red, 0, 2), (blue, 2, 0)):
            if torch.isfinite(colour).all():
                assert colour[strong] > colour[weak]


def test_a_cell_names_the_smallest_object_that_it_shows():
    ids = torch.zeros(1, 16, 24, dtype=torch.long)
    ids[0, :8] = 1
    ids[0, :16, 4] = 2  # A pole, thinner than a cell.
    ids[0, 14, 20] = 3  # Too small.
    objects = cell_objects(ids, least=4)
    assert objects.tolist() == [[[2, 1, 1], [2, 0, -1]]]
    assert ids.shape[1] // CELL == objects.shape[1]


def test_cells_of_small_objects_are_picked_as_often_as_of_large_ones():
    objects = torch.ones(1, 20, 20, dtype=torch.long)
    objects[0, 0, :4] = 2
    objects[0, 10:] = 0
    picked = pick_cells(objects.expand(500, 20, 20), 2, torch.Generator().manual_seed(0))
    named = objects.flatten()[picked]
    assert (named > 0).all()
    assert 0.4 < (named[:, 0] == 2).float().mean() < 0.6


def test_what_is_shipped_fits(chunk, tmp_path):
    learner = Learner(RECIPE, "cpu")
    learner.learn(chunk, 0.0)
    save(learner, tmp_path, {})
    files = sorted(file.name for file in tmp_path.iterdir())
    assert files == [
        "mean.safetensors", "network.safetensors", "square.safetensors", "state.json",
    ]  # fmt: skip
    tensors = network_tensors(tmp_path)
    assert all(tensor.dtype == torch.float16 for tensor in tensors.values())
    assert {name for name, _ in learner.network.named_parameters()} < set(tensors)
    MiniMasks(learner.network)
