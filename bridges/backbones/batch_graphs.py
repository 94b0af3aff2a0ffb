"""A network's pass on a GPU as CUDA graphs, one for each size of batch."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from bridges.backbones.cut3r.graphed import Captured

Pass = Callable[[Tensor], tuple[Tensor, ...]]


class BatchGraphs:
    """A function of a batch, without launches one by one; on a CPU it is called as it is.

    Capturing takes long, so what is smaller than a batch that is known already is padded to it.
    What comes out belongs to the caller. For one thread, and always with or without inference mode.

    Args:
        function: ``[b ...]`` to a tuple of ``[b ...]``, each row from its own row alone.
    """

    def __init__(self, function: Pass) -> None:
        self._function = function
        self._captured: dict[torch.Size, Captured] = {}

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """The function of ``x``."""
        if not x.is_cuda:
            return self._function(x)
        known = [shape[0] for shape in self._captured if shape[1:] == x.shape[1:]]
        padded = pad_rows(x, batch_for(len(x), known, len(x)))
        if padded.shape not in self._captured:
            self._captured[padded.shape] = Captured(self._function, padded)
        return tuple(y[: len(x)].clone() for y in self._captured[padded.shape](padded))


def batch_for(count: int, known: Iterable[int], room: int) -> int:
    """The smallest batch known that holds so many; else a new one, with room for what may come."""
    return min((size for size in known if size >= count), default=max(count, room))


def pad_rows(x: Tensor, size: int) -> Tensor:
    """``[n ...]`` to ``[size ...]``, the last row repeated."""
    return x if len(x) == size else torch.cat([x, x[-1:].expand(size - len(x), *x.shape[1:])])
