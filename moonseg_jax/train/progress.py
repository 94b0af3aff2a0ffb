"""The progress bar of a run."""

from collections.abc import Mapping

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)


class TrainBar:
    """Steps done, time left, and in words: loss, clips/s, frames/s, share of waiting for input."""

    def __init__(self, step: int, steps: int, shown: bool):
        console = Console(stderr=True)  # stdout is for what was asked for, alone.
        self._bar = Progress(
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not (shown and console.is_interactive),
        )
        self._task = self._bar.add_task("compiling", total=steps, completed=step)

    def __enter__(self) -> "TrainBar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self) -> None:
        """One step more."""
        self._bar.advance(self._task)

    def show(self, metrics: Mapping[str, float]) -> None:
        """Puts the metrics of a log beside the bar."""
        self._bar.update(
            self._task,
            description=(
                f"loss {metrics['loss']:.4f} · {metrics['clips_per_second']:.3g} clips/s · "
                f"{metrics['frames_per_second']:.3g} frames/s · "
                f"input wait {metrics['input_wait']:.0%}"
            ),
        )
