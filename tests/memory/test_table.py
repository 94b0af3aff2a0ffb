import functools

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given

from moonseg_jax.memory.table import empty_keys, grow_keys, insert_keys

VOXEL = 0.1
BATCH = 24
insert = jax.jit(functools.partial(insert_keys, voxel=VOXEL))
grow = jax.jit(functools.partial(grow_keys, voxel=VOXEL), static_argnames="capacity")

# XLA flushes subnormal numbers to zero, NumPy does not.
coordinates = st.floats(-0.25, 0.25, width=32, allow_subnormal=False)
# Few cells and few rows, so that most entries are duplicates; rows include "nothing to insert".
batches = st.lists(
    st.tuples(
        hnp.arrays(np.float32, (BATCH, 3), elements=coordinates),
        hnp.arrays(np.int32, BATCH, elements=st.integers(-1, 2)),
    ),
    min_size=1,
    max_size=4,
)


def cell(point):
    return tuple(int(x) for x in np.floor(point / np.float32(VOXEL)))


def dictionary(batches):
    """First point seen of each (voxel, row), in order of arrival."""
    keys = {}
    for points, rows in batches:
        for point, row in zip(points, rows, strict=True):
            if row >= 0:
                keys.setdefault((cell(point), int(row)), tuple(point))
    return keys


def contents(table):
    """The table as that dictionary; fails where a key is there twice or hides behind the count."""
    count = int(table.count)
    points, rows = np.asarray(table.points), np.asarray(table.rows)
    assert (rows[count:] == -1).all() and (rows[:count] >= 0).all()
    keys = {(cell(p), int(r)): tuple(p) for p, r in zip(points[:count], rows[:count], strict=True)}
    assert len(keys) == count
    slots = np.asarray(table.slots)
    assert sorted(slots[slots < table.capacity]) == list(range(count))
    return keys


@given(batches)
def test_holds_what_a_dictionary_holds(batches):
    table = empty_keys(128)
    for points, rows in batches:
        table = insert(table, points, rows)
    ours, theirs = contents(table), dictionary(batches)
    assert ours == theirs
    assert list(ours) == list(theirs)


@given(batches)
def test_growing_keeps_contents_and_what_comes_after(batches):
    small, large = empty_keys(128), empty_keys(512)
    for points, rows in batches:
        small, large = insert(small, points, rows), insert(large, points, rows)
    grown = grow(small, capacity=512)
    assert contents(grown) == contents(small)
    points, rows = batches[0][0] + np.float32(0.3), np.abs(batches[0][1])
    after = [insert(table, points, rows) for table in (grown, large)]
    np.testing.assert_array_equal(after[0].points, after[1].points)
    np.testing.assert_array_equal(after[0].rows, after[1].rows)


def test_inserting_again_changes_nothing():
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (64, 3)).astype(np.float32)
    rows = rng.integers(0, 4, 64).astype(np.int32)
    once = insert(empty_keys(64), points, rows)
    twice = insert(once, points, rows)
    for before, after in zip(jax.tree.leaves(once), jax.tree.leaves(twice), strict=True):
        np.testing.assert_array_equal(before, after)


def test_fills_to_the_last_key():
    points = np.zeros((64, 3), np.float32)
    points[:, 0] = (np.arange(64) + 0.5) * VOXEL
    table = insert(empty_keys(64), points, np.zeros(64, np.int32))
    assert int(table.count) == 64
    assert len(contents(table)) == 64


def test_overflow_shows_in_the_count():
    points = np.zeros((BATCH, 3), np.float32)
    points[:, 1] = (np.arange(BATCH) + 0.5) * VOXEL
    table = insert(empty_keys(16), points, np.zeros(BATCH, np.int32))
    assert int(table.count) > table.capacity


def test_capacity_is_a_power_of_two():
    with pytest.raises(ValueError, match="power of two"):
        empty_keys(48)


def test_many_keys_at_once_match_a_dictionary():
    rng = np.random.default_rng(1)
    points = rng.uniform(-5, 5, (20000, 3)).astype(np.float32)
    rows = rng.integers(-1, 300, 20000).astype(np.int32)
    table = insert(empty_keys(32768), points, rows)
    assert contents(table) == dictionary([(points, rows)])
