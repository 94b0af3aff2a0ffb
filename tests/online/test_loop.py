import dataclasses
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from moonseg_jax.config import default_config, features_only_config
from moonseg_jax.models import FeatureCore, attended_patches, split_core
from moonseg_jax.online import OnlineLoop
from moonseg_jax.online.loop import _most_pairs
from moonseg_jax.online.merge import group_members, union_coverage
from tests.online.conftest import make_core, worsen
from tests.reference.box_room import BoxRoom


def segment(config, room, frames, core=None):
    segmenter = OnlineLoop(*(core or make_core(config, room)), room.info, config)
    return segmenter, [segmenter.step(frame) for frame in frames]


def test_growing_changes_nothing(config, loop, room, caplog):
    caplog.set_level(logging.INFO, logger="moonseg_jax.online")
    frames = [worsen(room.frame(i), i) for i in range(12)]
    step, state = loop
    roomy = []
    for frame in frames:
        state, result = step(state, frame)
        roomy.append(result)
    config.memory.update({"row_capacity": 32, "key_capacity": 256})
    segmenter, tight = segment(config, room, frames)
    assert sum("memory grows" in record.message for record in caplog.records) >= 1
    for one, two in zip(roomy, tight, strict=True):
        np.testing.assert_array_equal(one.id_map, two.id_map)
        np.testing.assert_array_equal(one.num_keys, two.num_keys)
    assert segmenter.state.bank.capacity >= int(segmenter.state.num_rows)
    assert segmenter.state.keys.capacity >= int(segmenter.state.keys.count)


@pytest.mark.parametrize("min_coverage", [0.0, 0.2, 0.5, 0.9])
def test_no_frame_adds_more_keys_than_it_is_said_to(room, min_coverage):
    rng = np.random.default_rng(0)
    for index in range(4):
        frame = worsen(room.frame(index), index)
        group = jnp.asarray(np.minimum(np.arange(32), rng.integers(0, 32, 32)), jnp.int32)
        group = jnp.where(group[group] == group, group, jnp.arange(32))
        member = group_members(group, jnp.asarray(frame.mask_valid))
        coverage = union_coverage(jnp.asarray(frame.masks), member, room.info.grid)
        pairs = int(attended_patches(coverage, min_coverage).sum())
        most = _most_pairs(frame, int(frame.mask_valid.sum()), room.info.grid, min_coverage)
        assert 0 < pairs <= most


def test_more_masks_than_before_compile_a_wider_step(config, room, caplog):
    caplog.set_level(logging.INFO, logger="moonseg_jax.online")
    wide = dataclasses.replace(room, tile=0.4, max_masks=70)
    frames = [room.frame(0), wide.frame(1), room.frame(2), wide.frame(3)]
    assert frames[1].masks.shape[-1] == 3
    core = split_core(FeatureCore(config.model, room.c3, room.c2))
    _, results = segment(config, room, frames, core)
    widths = [result.instance.shape[0] for result in results]
    assert widths == [32, 128, 32, 128]
    for frame, result in zip(frames, results, strict=True):
        # Every valid mask went somewhere, the padding nowhere.
        count = int(frame.mask_valid.sum())
        instance = np.asarray(result.instance)
        assert (instance[: len(frame.mask_valid)][frame.mask_valid] >= 0).all()
        assert (instance >= 0).sum() == count
    assert sum("compiling" in record.message for record in caplog.records) == 2


def test_without_state_attention(config):
    room = BoxRoom(state_tokens=0)
    core = split_core(FeatureCore(config.model, room.c3, room.c2))
    segmenter, results = segment(config, room, [room.frame(0), room.frame(0)], core)
    assert segmenter.state.bank.tokens.shape[1] == 0
    matched = np.asarray(results[1].similarity)[room.frame(0).mask_valid]
    # Two terms are left: the threshold is 1.2 (D11).
    assert ((matched == 0) | (matched >= 1.2)).all()
    assert (matched > 0).any()


def test_turning_round_again_finds_everything_and_adds_nothing(room):
    config = features_only_config()
    config.online = default_config().online
    config.memory.update({"row_capacity": 128, "key_capacity": 2048, "voxel": 0.3})
    core = split_core(FeatureCore(config.model, room.c3, room.c2))
    segmenter = OnlineLoop(*core, room.info, config)
    turn, keys, rows = room.frames_per_turn, [], []
    for index in range(4 * turn):
        frame = room.frame(index % turn)
        result = segmenter.step(frame)
        keys.append(int(result.num_keys))
        rows.append(int(result.num_rows))
        if index >= turn:
            assert not np.asarray(result.is_new).any()
            assert (np.asarray(result.instance)[frame.mask_valid] >= 0).all()
            assert (np.asarray(result.similarity)[frame.mask_valid] >= 1.8).all()
    # The memory follows the surface, not the time.
    assert rows[-1] == rows[turn - 1]
    assert keys[-1] <= 1.02 * keys[turn - 1]
    assert segmenter.state.bank.queries.shape[1] == room.c3 + room.c2
    assert max(leaf.nbytes for leaf in jax.tree.leaves(segmenter.state)) < 1 << 20
