"""The baseline computes what we compute, so that its times may stand beside ours."""

import copy
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from experiments.speed.torch_baseline.core import TorchCore, load_parameters
from experiments.speed.torch_baseline.frames import to_device
from experiments.speed.torch_baseline.online import OnlineTwin, fill
from experiments.speed.torch_baseline.training import TrainingTwin
from moonseg_jax.config import default_config
from moonseg_jax.models import Core
from moonseg_jax.online import init, step
from moonseg_jax.train.optimizer import cosine_schedule, make_optimizer
from moonseg_jax.train.step import batch_loss, init_state, train_step
from tests.reference.box_room import BoxRoom
from tests.reference.parity import random_core

ROOM = BoxRoom()


@pytest.fixture(scope="module")
def cores():
    config = default_config()
    config.model.update({"width": 16, "heads": 2, "feed_forward": 24, "refine_layers": 1})
    config.memory.update({"row_capacity": 128, "key_capacity": 2048, "voxel": 0.3})
    config.online.update({"merge_threshold": 0.99, "match_threshold": 1.2})
    graphdef, params = random_core(lambda: Core(config.model, ROOM.c3, ROOM.c2, rngs=nnx.Rngs(0)))
    twin = TorchCore(config.model, ROOM.c3, ROOM.c2)
    load_parameters(twin, params)
    return config, graphdef, params, twin


@pytest.fixture(scope="module")
def advance(cores):
    """Our own step, compiled."""
    config, graphdef, params, _ = cores
    return jax.jit(
        lambda state, frame: step(
            nnx.merge(graphdef, params), state, frame, config=config, image_size=ROOM.image_size
        )
    )


@pytest.fixture
def twin(cores):
    config, _, _, core = cores
    options = {"device": "cpu", "rows": 128, "keys": 2048}
    return OnlineTwin(core, config, ROOM.image_size, ROOM.state_tokens, **options)


def first_state(config):
    return init(config, config.model.width, ROOM.state_tokens)


def test_online_decisions_and_state(cores, advance, twin):
    state = first_state(cores[0])
    matched = 0
    for index in range(6):
        frame = ROOM.frame(index)
        state, ours = advance(state, jax.tree.map(jnp.asarray, frame))
        instance, id_map = twin.step(to_device(frame, "cpu"))
        np.testing.assert_array_equal(instance, ours.instance)
        np.testing.assert_array_equal(id_map, ours.id_map)
        matched += int(np.sum((np.asarray(ours.instance) >= 0) & ~np.asarray(ours.is_new)))
    assert matched > 20
    count = int(state.keys.count)
    assert twin.keys.count == count and twin.bank.count == int(state.num_rows)
    np.testing.assert_array_equal(twin.keys.rows[:count], state.keys.rows[:count])
    np.testing.assert_allclose(twin.keys.points[:count], state.keys.points[:count], atol=1e-5)
    np.testing.assert_allclose(twin.bank.queries, state.bank.queries, atol=1e-4)
    np.testing.assert_allclose(twin.bank.boxes, state.bank.boxes, atol=1e-4)


def test_a_filled_twin_goes_on_as_we_do(cores, advance, twin):
    state = first_state(cores[0])
    for index in range(3):
        state, _ = advance(state, ROOM.frame(index))
    fill(twin, state)
    state, ours = advance(state, ROOM.frame(3))
    instance, _ = twin.step(to_device(ROOM.frame(3), "cpu"))
    np.testing.assert_array_equal(instance, ours.instance)
    assert twin.keys.count == int(state.keys.count)


def test_training_follows_the_same_curve(cores):
    config, graphdef, params, core = cores
    core = copy.deepcopy(core)
    clips = [[ROOM.frame(12 * clip + i) for i in range(4)] for clip in range(2)]
    batch = jax.tree.map(lambda *x: np.stack(x), *[f for clip in clips for f in clip])
    batch = jax.tree.map(lambda x: x.reshape(2, 4, *x.shape[1:]), batch)
    schedule = cosine_schedule(config.optimizer, 10**9)
    optimizer = make_optimizer(config.optimizer, schedule)
    loss = partial(batch_loss, graphdef=graphdef, config=config, image_size=ROOM.image_size)
    one = jax.jit(partial(train_step, loss=loss, optimizer=optimizer, schedule=schedule))
    state, ours = init_state(params, optimizer), []
    for _ in range(3):
        state, metrics = one(state, batch, None)
        ours.append(float(metrics["loss"]))
    twin = TrainingTwin(core, config, ROOM.image_size)
    clips = to_device(batch, "cpu")
    theirs = [float(twin.step(clips)) for _ in range(3)]
    np.testing.assert_allclose(ours, theirs, rtol=2e-5)
    assert theirs[2] < theirs[0]


def test_a_loss_that_the_twin_lacks_is_refused(cores):
    config = copy.deepcopy(cores[0])
    config.loss.merge = 0.1
    with pytest.raises(ValueError, match="no L_merge"):
        TrainingTwin(cores[3], config, ROOM.image_size)
