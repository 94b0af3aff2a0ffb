import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from moonseg_jax.train.checkpoints import Checkpoint, Checkpoints
from moonseg_jax.train.step import init_state


@pytest.fixture
def state():
    return init_state({"kernel": jnp.arange(6.0).reshape(2, 3)}, optax.adamw(1e-3))


def save(folder, state, scores):
    checkpoints = Checkpoints(folder)
    for step, score in scores.items():
        done = state.replace(step=jnp.int32(step))
        checkpoints.save(Checkpoint(step, done, {"next_batch": step}), score)
    checkpoints.close()


def steps_in(folder):
    return sorted(int(path.name) for path in folder.iterdir())


def test_best_and_last_are_kept_and_found_again(tmp_path, state):
    save(tmp_path, state, {5: 3.0, 10: 1.0, 15: 2.0, 20: 2.5})
    assert steps_in(tmp_path) == [10, 20]
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.best == (10, 1.0)
    restored = checkpoints.restore(state)
    assert restored is not None
    assert (restored.step, restored.loader) == (20, {"next_batch": 20})
    expected = state.replace(step=jnp.int32(20))
    jax.tree.map(np.testing.assert_array_equal, restored.state, expected)
    assert jax.tree.structure(restored.state) == jax.tree.structure(expected)
    checkpoints.close()


def test_a_later_process_still_knows_the_best(tmp_path, state):
    save(tmp_path, state, {5: 1.0})
    save(tmp_path, state, {10: 2.0})
    save(tmp_path, state, {15: 3.0})
    assert steps_in(tmp_path) == [5, 15]


def test_a_checkpoint_without_a_score_is_the_last_but_never_the_best(tmp_path, state):
    save(tmp_path, state, {5: 1.0, 7: None})
    assert steps_in(tmp_path) == [5, 7]
    save(tmp_path, state, {10: 2.0})
    assert steps_in(tmp_path) == [5, 10]


def test_only_unscored_ones(tmp_path, state):
    save(tmp_path, state, {3: None})
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.best is None
    restored = checkpoints.restore(state)
    assert restored is not None and restored.step == 3
    checkpoints.close()


def test_a_half_written_checkpoint_is_passed_over(tmp_path, state):
    save(tmp_path, state, {5: 1.0})
    (tmp_path / "10.orbax-checkpoint-tmp-1").mkdir()
    checkpoints = Checkpoints(tmp_path)
    restored = checkpoints.restore(state)
    assert restored is not None and restored.step == 5
    checkpoints.close()


def test_saving_copies_the_state(tmp_path, state):
    """The next step is given the state's buffers while the checkpoint is still being written."""
    overwrite = jax.jit(lambda s: jax.tree.map(lambda x: x * 0 - 1, s), donate_argnums=0)
    checkpoints = Checkpoints(tmp_path)
    before = jax.tree.map(np.array, state)
    checkpoints.save(Checkpoint(5, state, {}), 1.0)
    state = overwrite(state)
    checkpoints.close()
    restored = Checkpoints(tmp_path).restore(state)
    assert restored is not None
    jax.tree.map(np.testing.assert_array_equal, restored.state, before)
