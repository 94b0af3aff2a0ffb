import numpy as np

from moonseg_jax.data.buffers import Buffers


def test_memory_comes_back_when_nothing_refers_to_it():
    buffers = Buffers()
    first = buffers.empty((4, 8), "float32")
    place = first.ctypes.data
    del first
    again = buffers.empty((2, 64), "uint8")  # As many bytes, of another kind.
    assert again.ctypes.data == place and again.shape == (2, 64)


def test_memory_in_use_is_never_lent_twice():
    buffers = Buffers()
    views = [buffers.empty((4, 8), "float32")[1:].reshape(-1)[::2] for _ in range(3)]
    for i, view in enumerate(views):
        view[:] = i
    more = [buffers.empty((4, 8), "float32") for _ in range(3)]
    for array in more:
        array[:] = 9
    assert all((view == i).all() for i, view in enumerate(views))
    assert len({array.ctypes.data for array in more}) == 3


def test_what_was_lent_may_outlive_the_buffers():
    buffers = Buffers()
    array = buffers.empty((3,), "float64")
    del buffers
    array[:] = np.arange(3)
    np.testing.assert_array_equal(array, [0, 1, 2])
