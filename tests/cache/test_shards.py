import numpy as np
import pytest

from moonseg_jax.cache.arrays import create_array
from moonseg_jax.cache.schema import frame_schema
from moonseg_jax.cache.shards import read_frames
from tests.cache.scenes import make_info

SCHEMA = frame_schema(make_info(), 1)["features_2d"]


@pytest.fixture
def stored(tmp_path):
    """Frames 0 to 19 of an array, and those that its second shard holds."""
    values = np.random.default_rng(0).normal(size=(20, *SCHEMA.shape)).astype(np.float16)
    create_array(tmp_path, SCHEMA, 20).write(values).result()
    return tmp_path, values


@pytest.mark.parametrize("first,length", [(0, 16), (5, 3), (15, 1)])
def test_frames_are_those_that_were_written(stored, first, length):
    root, values = stored
    into = np.zeros((length, *SCHEMA.shape), np.float16)
    read_frames(root / "features_2d/c/0/0/0/0", first, into)
    np.testing.assert_array_equal(into, values[first : first + length])


def test_frames_written_in_any_order_are_found(tmp_path):
    store = create_array(tmp_path, SCHEMA, 16)
    values = np.random.default_rng(1).normal(size=(16, *SCHEMA.shape)).astype(np.float16)
    for i in np.random.default_rng(2).permutation(16):
        store[int(i)].write(values[i]).result()
    into = np.zeros_like(values)
    read_frames(tmp_path / "features_2d/c/0/0/0/0", 0, into)
    np.testing.assert_array_equal(into, values)


def test_a_frame_past_the_end_of_the_scene_is_refused(stored):
    root, _ = stored
    file = root / "features_2d/c/1/0/0/0"
    read_frames(file, 0, np.empty((4, *SCHEMA.shape), np.float16))
    with pytest.raises(ValueError, match="frame 4 of 0 is missing"):
        read_frames(file, 3, np.empty((2, *SCHEMA.shape), np.float16))


@pytest.mark.parametrize("offset", [0, 30, -3, -20])
def test_any_changed_byte_that_is_read_is_noticed(stored, offset):
    root, _ = stored
    file = root / "features_2d/c/0/0/0/0"
    data = bytearray(file.read_bytes())
    data[offset] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match="crc32c"):
        read_frames(file, 0, np.empty((16, *SCHEMA.shape), np.float16))
