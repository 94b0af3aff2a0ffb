"""Progress bars, on a terminal's stderr so that stdout stays the command's answer."""

from collections.abc import Iterable, Iterator
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Item = TypeVar("Item")


def track(items: Iterable[Item], what: str, total: int | None) -> Iterator[Item]:
    """Yields the items while a bar on stderr counts them, with a rate and the time left.

    ``total`` is None where nobody knows when it ends.
    """
    with _bars() as progress:
        task = progress.add_task(what, total=total)
        for item in items:
            yield item
            progress.advance(task)


class SceneBars:
    """A bar for each scene that is worked on and, where there are several, one for all.

    Args:
        scenes: how many there will be.
        frames: of all of them.
    """

    def __init__(self, scenes: int = 1, frames: int = 0) -> None:
        self._scenes = scenes
        self._ended = 0
        self._completed: dict[str, int] = {}
        self._progress = _bars()
        self._tasks: dict[str, TaskID] = {}
        self._all = self._progress.add_task(f"0/{scenes} scenes", total=frames, visible=scenes > 1)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def update(self, scene: str, done: int, total: int) -> None:
        """So many frames of a scene are done; fewer than before where it is begun again."""
        if scene not in self._tasks:
            self._tasks[scene] = self._progress.add_task(scene, total=total)
        self._completed[scene] = done
        self._progress.update(self._tasks[scene], completed=done)
        self._progress.update(self._all, completed=sum(self._completed.values()))

    def end(self, scene: str, line: str = "") -> None:
        """A scene is over: its bar makes room, for a line that stays."""
        self._ended += 1
        if scene in self._tasks:
            self._progress.remove_task(self._tasks.pop(scene))
        self._progress.update(self._all, description=f"{self._ended}/{self._scenes} scenes")
        if line:
            self._progress.console.print(line, soft_wrap=True, markup=False, highlight=False)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


def _bars() -> Progress:
    """They leave nothing behind: the last words are the command's."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_interactive,
    )
