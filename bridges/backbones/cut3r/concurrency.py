"""Two independent pieces of work, side by side on a GPU."""

from collections.abc import Callable
from typing import TypeVar

import torch

A = TypeVar("A")
B = TypeVar("B")


def concurrently(
    first: Callable[[], A], second: Callable[[], B], side: torch.cuda.Stream | None
) -> tuple[A, B]:
    """Runs both; the second on the stream ``side`` where there is one.

    Both streams wait for each other before and after, so that memory freed by one is not used by
    the other too early. What the two read must stay referenced until both are done.
    """
    if side is None:
        return first(), second()
    main = torch.cuda.current_stream(side.device)
    side.wait_stream(main)
    with torch.cuda.stream(side):
        on_side = second()
    on_main = first()
    main.wait_stream(side)
    return on_main, on_side
