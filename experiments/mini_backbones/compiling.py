"""Functions compiled once for all their shapes that matter."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

VARIANTS = 64  # Of one function: kinds of blocks, with gradients and without.
F = TypeVar("F", bound=Callable)


def compile_fixed(function: F) -> F:
    """For calls of one shape; modules of one class share the work, done at the first call."""
    limits = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, VARIANTS)
    return torch.compile(function, dynamic=False)


def compile_open(function: Callable, axis: int) -> Callable:
    """As `compile_fixed`, but ``axis`` of the first two arguments may have any length."""
    limits = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, VARIANTS)
    compiled = torch.compile(function)

    def run(x: Tensor, y: Tensor, *others: Any) -> Any:
        for tensor in (x, y):
            torch._dynamo.maybe_mark_dynamic(tensor, axis)
        return compiled(x, y, *others)

    return run
