"""Training of the small CUT3R, at toy sizes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bridges.backbones.cut3r.config import MINI
from bridges.backbones.cut3r.heads import Told
from bridges.backbones.cut3r.regression import pose_matrix
from bridges.backbones.cut3r.rope import rotate
from experiments.mini_backbones.cut3r import checkpoint
from experiments.mini_backbones.cut3r.batches import Batch, take_sequences, training_batches
from experiments.mini_backbones.cut3r.clips import TRAINING_SEEDS, room_clip, training_clip
from experiments.mini_backbones.cut3r.evaluation import FIRST_SEED, Predicted, measure
from experiments.mini_backbones.cut3r.initialise import fresh_model
from experiments.mini_backbones.cut3r.losses import (
    frame_errors,
    moved,
    objective,
    quaternions,
    unprojected,
)
from experiments.mini_backbones.cut3r.recipe import CLIP_FRAMES, Recipe, Stage
from experiments.mini_backbones.cut3r.rendering import Rendered
from experiments.mini_backbones.cut3r.trainer import Mode, Trainer
from experiments.mini_backbones.cut3r.unroll import unroll
from moonseg_jax.structs import InputError

SIZE = (16, 24)
TINY = replace(
    MINI,
    name="tiny_mini",
    image_side=24,
    encoder_width=32,
    encoder_depth=2,
    encoder_heads=2,
    width=24,
    depth=4,
    image_heads=3,
    state_heads=2,
    state_tokens=10,
)
RECIPE = Recipe(
    stages=(Stage(1.0, 4, reach=3),),
    step_frames=8,
    rooms=2,
    warm_up=5,
    learning_rate=3e-3,
    average=20,
)
PLAIN = Mode(compiled=False, graphs=False)
UNUSED = {"pose_memory.initial", "pose_memory.image.weight", "pose_memory.image.bias"}


def clips(rooms: int = 2, seed: int = 0) -> Rendered:
    rng = np.random.default_rng(seed)
    quaternion = rng.normal([4, 0, 0, 0], 0.4, (rooms, CLIP_FRAMES, 4))
    quaternion /= np.linalg.norm(quaternion, axis=-1, keepdims=True)
    place = rng.normal(0, 0.5, (rooms, CLIP_FRAMES, 3))
    pose = torch.tensor(np.concatenate([place, quaternion], -1), dtype=torch.float32)
    intrinsics = torch.tensor([[20.0, 0, 11], [0, 21, 8], [0, 0, 1]]).repeat(rooms, 1, 1)
    return Rendered(
        torch.tensor(rng.integers(0, 256, (rooms, CLIP_FRAMES, *SIZE, 3)), dtype=torch.uint8),
        torch.tensor(rng.uniform(1, 4, (rooms, CLIP_FRAMES, *SIZE)), dtype=torch.float32),
        pose_matrix(pose.flatten(0, 1)).unflatten(0, (rooms, CLIP_FRAMES)),
        intrinsics,
    )


def batch_of(length: int = 4, sequences: int = 2, seed: int = 0) -> Batch:
    frame = np.arange(length)[:, None] + 5 * np.arange(sequences)
    return take_sequences(
        clips(seed=seed), np.zeros(sequences, int), frame, np.zeros(sequences) > 0
    )


def trainer() -> Trainer:
    return Trainer(fresh_model(TINY, 0), RECIPE, PLAIN)


def test_a_recipe_is_whole_steps_in_any_time():
    recipe = Recipe()
    assert recipe.steps_per_chunk * recipe.step_frames == recipe.rooms * CLIP_FRAMES * recipe.uses
    for stage in recipe.stages:
        assert recipe.step_frames % stage.length == 0
        assert stage.length <= CLIP_FRAMES
    assert [stage.length for stage in recipe.stages] == [1, 2, 4, 16, 32]
    assert recipe.stage(0) == recipe.stages[0]
    assert recipe.stage(recipe.stages[0].until) == recipe.stages[1]
    assert recipe.stage(1.0) == recipe.stages[-1]
    assert recipe.rate(0, 0.0) == pytest.approx(recipe.learning_rate / recipe.warm_up)
    assert recipe.rate(recipe.warm_up, 0.1) == recipe.learning_rate
    assert recipe.rate(10**6, 1 - recipe.decay / 2) == pytest.approx(recipe.learning_rate / 2)
    assert recipe.rate(10**6, 1.0) == 0


def test_rooms_are_the_same_again_and_none_is_evaluated_on():
    first, again, other = (training_clip(i, frames=2) for i in (3, 3, 4))
    np.testing.assert_array_equal(first.poses, again.poses)
    assert not np.array_equal(first.room.size, other.room.size)
    assert first.intrinsics[0, 0] != other.intrinsics[0, 0]
    assert FIRST_SEED + 100_000 < TRAINING_SEEDS
    assert not np.array_equal(room_clip(FIRST_SEED, 2, (96, 128)).room.size, first.room.size)


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_unrolled_is_step_after_step(length):
    model, batch = fresh_model(TINY, 0), batch_of(length)
    with torch.no_grad():
        told, state = unroll(model, batch.images), model.init_state(2)
        for t, image in enumerate(batch.images):
            output, state = model.step(image, state)
            now = Told(*(x.unflatten(0, (length, 2))[t] for x in told))
            torch.testing.assert_close(now.points_self, output.points_self)
            torch.testing.assert_close(now.points_world, output.points_world)
            torch.testing.assert_close(now.conf_world, output.conf_world)
            torch.testing.assert_close(now.pose, output.pose_encoding)


def test_gradients_reach_every_parameter():
    training = trainer()
    training.gradients(batch_of(3))
    named = dict(training.model.named_parameters())
    assert {name for name, p in named.items() if not p.requires_grad} == UNUSED
    for name in named.keys() - UNUSED:
        assert named[name].grad.abs().max() > 0, name


def test_a_batch_is_learnt():
    training, batch = trainer(), batch_of()
    first = training.step(batch, 0.0)
    for _ in range(60):
        last = training.step(batch, 0.0)
    for name in ("points_self", "points_world", "depth", "position", "rotation"):
        assert getattr(last, name) < 0.6 * getattr(first, name), name
    assert last.loss < first.loss


def objective_of(own, world, pose, batch, pose_weight=1.0):
    conf = torch.ones_like(batch.depth)
    told = Told(own, conf, world, conf, pose)
    flat = Told(*(x.flatten(0, 1) for x in told))
    return objective(flat, batch, 0.2, pose_weight, frame_errors)


def test_true_predictions_have_no_error():
    batch = batch_of()
    own = unprojected(batch.depth, batch.intrinsics)
    T = batch.T_world_from_cam
    world = moved(T, own)
    pose = torch.cat([T[..., :3, 3], quaternions(T[..., :3, :3])], dim=-1)
    errors = objective_of(own, world, pose, batch)
    assert max(abs(float(x)) for x in errors) < 1e-3
    wrong = pose.clone()
    wrong[1:, :, 0] += 0.1
    errors = objective_of(own, world, wrong, batch)
    assert errors.position == pytest.approx(0.1, rel=1e-4)
    way = T[..., :3, 3].norm(dim=-1).mean(dim=0).clamp(min=0.5)
    assert errors.loss == pytest.approx(float((0.075 / way).mean()), abs=1e-3)
    errors = objective_of(own * 1.1, world, pose, batch)
    assert errors.depth == pytest.approx(0.1, rel=1e-3)
    result = measure(Predicted(batch.depth * 1.1, world, T), batch, 4)
    assert result["depth"] == pytest.approx(0.1, rel=1e-4)
    assert result["scale"] == pytest.approx(1 / 1.1, rel=1e-4)
    for name in ("depth_scaled", "points", "position", "position_sim3", "rotation"):
        assert abs(result[name]) < 1e-3, name


def test_heads_look_near_at_first():
    model = fresh_model(MINI, 0)
    block = model.decoder.image_blocks[0].cross_attn
    rope = model.ropes.decoder((12, 16), model.decoder.image_norm.weight)[0]
    q = block.q.bias.unflatten(0, (6, 1, 32)).expand(-1, 193, -1)
    k = block.kv.bias.unflatten(0, (2, 6, 1, 32))[0].expand(-1, MINI.state_tokens, -1)
    logits = rotate(q, rope.image) @ rotate(k, rope.state).mT / 32**0.5
    # Patch (5, 5) among 12 x 16, after the pose token; state tokens are in rows of 16, too.
    near, uniform = logits[:3, 1 + 5 * 16 + 5], logits[3:]
    assert (near.argmax(dim=-1) == 5 * 16 + 5).all()
    widest, middle, sharpest = near.softmax(dim=-1).amax(dim=-1)
    assert 0.1 < widest < middle < sharpest and sharpest > 0.9
    assert uniform.abs().max() == 0


def test_quaternions_turn_as_their_matrices():
    q = torch.nn.functional.normalize(torch.randn(200, 4, generator=torch.manual_seed(0)), dim=-1)
    q = torch.cat([q, torch.eye(4)])  # Half turns about the axes among them.
    R = pose_matrix(torch.cat([torch.zeros(len(q), 3), q], dim=-1))[:, :3, :3]
    found = quaternions(R)
    assert (found[:, 0] >= 0).all()
    torch.testing.assert_close((found * q).sum(-1).abs(), torch.ones(len(q)))


def test_mirrored_sequences_are_mirrored_worlds():
    chunk = clips()
    plain = take_sequences(chunk, np.zeros(1, int), np.arange(3)[:, None], np.array([False]))
    mirrored = take_sequences(chunk, np.zeros(1, int), np.arange(3)[:, None], np.array([True]))
    torch.testing.assert_close(mirrored.images, plain.images.flip(-1))

    def world(batch: Batch) -> torch.Tensor:
        return moved(batch.T_world_from_cam, unprojected(batch.depth, batch.intrinsics))

    expected = world(plain).flip(-2) * torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(world(mirrored), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(plain.T_world_from_cam[0, 0], torch.eye(4), atol=1e-6, rtol=0)


def test_chunks_are_cut_in_an_order_of_their_number():
    chunk, recipe = clips(rooms=4), replace(RECIPE, rooms=4, step_frames=64)
    stage = Stage(1.0, 8, reach=3)
    batches = list(training_batches(chunk, stage, recipe, 7))
    assert [b.depth.shape[:2] for b in batches] == [(8, 8)] * recipe.steps_per_chunk
    again = list(training_batches(chunk, stage, recipe, 7))
    assert all(torch.equal(a.images, b.images) for a, b in zip(batches, again, strict=True))
    other = next(training_batches(chunk, stage, recipe, 8))
    assert not torch.equal(other.images, batches[0].images)
    # Which frames they are of, by depth, whose sum is the same in a mirror.
    sums = chunk.depth.flatten(2).sum(-1)
    paces, rooms = set(), []
    for batch in batches:
        apart = (batch.depth.flatten(2).sum(-1)[..., None] - sums.flatten()).abs()
        index = apart.argmin(dim=-1)
        assert (index.diff(dim=0) == index[1:2] - index[:1]).all()
        paces |= {int(x) for x in (index[1] - index[0]).tolist()}
        rooms += (index[0] // CLIP_FRAMES).tolist()
    assert paces == {-3, -2, -1, 1, 2, 3}
    assert np.ptp(np.bincount(rooms)) == 0


def test_going_on_from_files_is_going_on(tmp_path):
    training = trainer()
    for seed in range(3):
        training.step(batch_of(seed=seed), 0.0)
    checkpoint.save(training, tmp_path, {"seconds": 5.0})
    resumed = Trainer(fresh_model(TINY, 1), RECIPE, PLAIN)
    assert checkpoint.load(resumed, tmp_path)["seconds"] == 5
    for seed in range(3, 6):
        for one in (training, resumed):
            one.step(batch_of(seed=seed), 0.0)
    assert (training.steps, training.seen) == (resumed.steps, resumed.seen) == (6, 48)
    for a, b in zip(training.parameters, resumed.parameters, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(training.average, resumed.average, strict=True):
        assert torch.equal(a, b)


def test_another_recipe_is_refused(tmp_path):
    training = trainer()
    training.step(batch_of(), 0.0)
    checkpoint.save(training, tmp_path, {})
    other = Trainer(fresh_model(TINY, 0), replace(RECIPE, alpha=0.3), PLAIN)
    with pytest.raises(InputError, match="another recipe"):
        checkpoint.load(other, tmp_path)


def test_single_frames_are_saved_and_followed_by_sequences(tmp_path):
    training = trainer()
    training.step(batch_of(1), 0.0)  # Nothing asks the state's last layer yet.
    checkpoint.save(training, tmp_path, {})
    resumed = Trainer(fresh_model(TINY, 1), RECIPE, PLAIN)
    checkpoint.load(resumed, tmp_path)
    for one in (training, resumed):
        one.step(batch_of(4), 0.0)
    for a, b in zip(training.parameters, resumed.parameters, strict=True):
        assert torch.equal(a, b)


def test_the_real_size_is_carried_in_small_pieces(tmp_path):
    training = Trainer(fresh_model(MINI, 0), RECIPE, PLAIN)
    for parameter in training.parameters:
        training.optimizer.state[parameter] = {"exp_avg_sq": torch.ones_like(parameter)}
    checkpoint.save(training, tmp_path, {})
    sizes = [file.stat().st_size for file in (tmp_path / "checkpoint").iterdir()]
    assert max(sizes) < 15.5e6 and sum(sizes) < 45 * 2**20 and len(sizes) <= 6
    assert 5e6 < sum(p.numel() for p in training.parameters) < 15e6


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Of the compiler itself.
def test_compiled_gradients_are_the_same_and_compiled_once():
    small = replace(TINY, encoder_depth=1, depth=2)
    plain, compiled = (
        Trainer(fresh_model(small, 0), RECIPE, Mode(compiled, graphs=False))
        for compiled in (False, True)
    )
    compiled.gradients(batch_of(2, 6))
    for length, sequences in ((2, 6), (4, 3), (6, 2)):
        with torch.compiler.set_stance("fail_on_recompile"):
            compiled.gradients(batch_of(length, sequences))
        plain.gradients(batch_of(length, sequences))
        for a, b in zip(plain.parameters, compiled.parameters, strict=True):
            if a.requires_grad:
                torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-5)
