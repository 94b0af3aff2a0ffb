from dataclasses import replace

import pytest
import torch

from bridges.checkpoints import read_tensors
from experiments.mini_backbones.semantic.learner import Learner, Projected, load, save
from experiments.mini_backbones.semantic.recipe import Recipe
from experiments.mini_backbones.single_frames.feed import Chunk

RECIPE = Recipe(
    width=32, depth=2, head=(32, 16), warmup=5, rooms=3, groups=2, views=2, queries=16,
    others=32, momentum=0.9,
)  # fmt: skip
MIB = 2**20


@pytest.fixture
def chunk():
    """Coloured squares on a wall, seen by cameras that stand side by side."""
    torch.manual_seed(0)
    colors = torch.randint(0, 256, (3, 6, 12, 3), dtype=torch.uint8)
    wall = colors.repeat_interleave(8, 1).repeat_interleave(8, 2)
    shift = [0, 8, 16, 24]
    images = torch.stack([wall[:, :, s : s + 64] for s in shift], dim=1)
    poses = torch.eye(4).repeat(3, 4, 1, 1)
    poses[:, :, 0, 3] = torch.tensor(shift) * 2.0 / 57.6
    depth = torch.full(images.shape[:4], 2.0)
    return Chunk(images, depth, poses, torch.full((3,), 0.9), torch.zeros_like(depth))


def tensors_of(learner):
    states = [learner.optimizer.state[p] for p in learner.student.parameters()]
    moments = [s[key] for s in states for key in ("exp_avg", "exp_avg_sq")]
    return [*learner.student.parameters(), *learner.teacher.parameters(), *moments]


def test_the_loss_falls(chunk):
    learner = Learner(replace(RECIPE, learning_rate=3e-3, hide=0.0), "cpu")
    losses = [float(learner.learn(chunk, 0.0)["loss"]) for _ in range(60)]
    assert sum(losses[-10:]) < 0.75 * 10 * losses[0]


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


def test_the_default_fits_what_a_machine_gives_back():
    with torch.device("meta"):
        model = Projected(Recipe())
    encoder = sum(p.numel() for p in model.encoder.parameters())
    assert 2e6 < encoder < 6e6
    assert sum(4 * p.numel() for p in model.parameters()) < 15.5 * MIB


def test_files_are_safetensors(chunk, tmp_path):
    learner = Learner(RECIPE, "cpu")
    learner.learn(chunk, 0.0)
    save(learner, tmp_path, {})
    files = sorted(file.name for file in tmp_path.iterdir())
    tensors = ["mean", "square", "student", "teacher"]
    assert files == [f"{name}.safetensors" for name in tensors[:2]] + [
        "state.json", "student.safetensors", "teacher.safetensors",
    ]  # fmt: skip
    assert set(read_tensors(tmp_path / "mean.safetensors")) == set(learner.student.state_dict())


def test_the_schedule():
    recipe = Recipe(warmup=10, cooldown=0.2, groups=4, repeats=2)
    assert recipe.chunk_of(13) == (1, 1)
    assert not recipe.cools(0.79)
    assert recipe.cools(0.81)
    assert recipe.rate_of(0, 0.0) == pytest.approx(recipe.learning_rate / 10)
    assert recipe.rate_of(500, 0.5) == recipe.learning_rate
    assert recipe.rate_of(900, 0.9) == pytest.approx(recipe.learning_rate / 2)
    assert recipe.rate_of(1000, 1.0) == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Of the compiler itself.
def test_compiled_losses_are_the_same_at_any_size(chunk):
    wide = replace(
        chunk,
        images=chunk.images.repeat_interleave(2, 2),
        depth=chunk.depth.repeat_interleave(2, 2),
    )
    plain, compiled = Learner(RECIPE, "cpu"), Learner(RECIPE, "cpu", compiled=True)
    for one in (chunk, wide, chunk):
        assert float(compiled.learn(one, 0.0)["loss"]) == pytest.approx(
            float(plain.learn(one, 0.0)["loss"]), rel=1e-3
        )
