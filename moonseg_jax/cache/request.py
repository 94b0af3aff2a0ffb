"""A clip on its way from the disk."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import tensorstore as ts

from moonseg_jax.structs import InputError

Reading = ts.WriteFutures | Future[None]


@dataclass(frozen=True)
class ClipRequest:
    """What `CacheReader.request` has started to read.

    Attributes:
        length: of the clip, in frames.
        arrays: by field, ``[length ...]``; bulk arrays are valid after `wait`.
        futures: by field, of the files of the bulk arrays.
        in_words: what to say of a field that cannot be read, and why.
    """

    length: int
    arrays: dict[str, np.ndarray]
    futures: dict[str, list[Reading]]
    in_words: Callable[[str, Exception], InputError]

    def wait(self) -> dict[str, np.ndarray]:
        """The arrays by field, ``[length ...]``, once all are read.

        Raises:
            InputError: naming array, frame and file of what is corrupt.
        """
        for name, futures in self.futures.items():
            try:
                for future in futures:
                    future.result()
            except (OSError, ValueError) as error:
                raise self.in_words(name, error) from error
        return self.arrays
