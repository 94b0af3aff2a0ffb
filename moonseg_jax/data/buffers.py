"""Memory for batches, used again: pages fresh from the system cost more than reading into them."""

import ctypes
import math
import weakref
from collections import defaultdict

import numpy as np


class Buffers:
    """Arrays whose memory comes back once nothing refers to them any more.

    It keeps as much as was ever in use at once. Safe to share between threads.
    """

    def __init__(self) -> None:
        self._free: defaultdict[int, list[np.ndarray]] = defaultdict(list)

    def empty(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """An array to fill, and to keep for as long as one likes.

        Args:
            shape: of at least one element.
            dtype: NumPy's name.
        """
        size = math.prod(shape) * np.dtype(dtype).itemsize
        free = self._free[size]
        try:
            memory = free.pop()
        except IndexError:
            memory = np.empty(size, np.uint8)
        # Views of a view refer to its owner: only an owner made for this loan can tell its end.
        loan = (ctypes.c_ubyte * size).from_buffer(memory.data)
        weakref.finalize(loan, free.append, memory).atexit = False
        return np.frombuffer(memoryview(loan), dtype).reshape(shape)
