import jax
import jax.numpy as jnp
import pytest

from moonseg_jax.online import grow, invariants
from tests.online.conftest import without_masks, worsen


@pytest.fixture
def sequence(room):
    frames = [worsen(room.frame(i), i) for i in range(4)] + [without_masks(room.frame(4))]
    return jax.tree.map(jnp.asarray, frames)


def test_scan_equals_loop(loop, sequence):
    invariants.assert_scan_equals_loop(*loop, sequence)


def test_one_trace(loop, sequence):
    invariants.assert_one_trace(*loop, sequence)


def test_constant_spec(loop, sequence):
    invariants.assert_constant_spec(*loop, sequence)


def test_restores_anywhere(loop, sequence):
    invariants.assert_restores_anywhere(*loop, sequence)


def test_the_asserts_can_fail(loop, sequence):
    _, state = loop
    hidden = iter(range(100))

    def grows(state, frame):
        return grow(state, 2 * state.bank.capacity, state.keys.capacity, 0.2), frame.mask_valid

    def remembers_elsewhere(state, frame):
        return state.replace(num_rows=jnp.asarray(next(hidden))), frame.mask_valid

    with pytest.raises(AssertionError):
        invariants.assert_constant_spec(grows, state, sequence[:1])
    with pytest.raises(AssertionError, match="2 traces"):
        invariants.assert_one_trace(grows, state, sequence[:2])
    with pytest.raises(AssertionError):
        invariants.assert_scan_equals_loop(remembers_elsewhere, state, sequence[:2])
    with pytest.raises(AssertionError):
        invariants.assert_restores_anywhere(remembers_elsewhere, state, sequence[:2])
