"""How much of a scene a browser draws smoothly, judged from its camera as it moves."""

import numpy as np

_SMOOTH, _SLOW = 0.05, 0.11  # Seconds between two frames.
_ENOUGH = 8  # Frames to judge from.
_ONE_FRAME = 0.025  # Updates this close are of one frame.
_SOON, _LATE = 0.6, 4.0


class Pace:
    """Follows the camera's updates: a browser sends one or two for every frame it draws.

    Starts from the least detail; a level is added while frames come fast, and taken away for good
    where they come slowly.

    Attributes:
        level: levels that are drawn while something moves.
        patience: seconds without an update after which everything stands still.
    """

    def __init__(self) -> None:
        self.level = 1
        self.patience = _SOON
        self._highest = 1000
        self._last, self._client = -np.inf, -1
        self._frames: list[float] = []  # When those of the motion that goes on were drawn.
        self._gaps: list[float] = []

    def moved(self, client: int, at: float, levels: int) -> bool:
        """Takes in an update of a browser's camera.

        Args:
            client: whose.
            at: when it came, seconds.
            levels: of the cloud.

        Returns:
            Whether other levels are to be drawn from now on.
        """
        gap, self._last = at - self._last, at
        alone = len(self._frames) == 1
        if client != self._client or gap > self.patience:
            # The first frame still shows everything. If a motion has but this one, we took a
            # browser at work for one at rest.
            if alone and gap < _LATE:
                self.patience = 1.5 * gap
            self._client, self._frames, self._gaps = client, [at], []
            return True
        gap = at - self._frames[-1]
        if gap < _ONE_FRAME:
            return False
        self._frames.append(at)
        self._gaps += [] if alone else [gap]
        self.patience = float(np.clip(2 * np.diff(self._frames[-50:]).max(), _SOON, _LATE))
        if len(self._gaps) < _ENOUGH:
            return False
        before, median, self._gaps = self.level, float(np.median(self._gaps)), []
        if median < _SMOOTH and self.level < min(self._highest, levels):
            self.level += 1
        elif median > _SLOW and self.level > 1:
            self.level = self._highest = self.level - 1
        return self.level != before

    def touched(self, at: float) -> None:
        """The scene is changing otherwise: it is drawn as if it moved."""
        self._last = max(self._last, at)

    def rest_in(self, now: float) -> float:
        """Seconds until everything stands still, if nothing more happens; 0 where it does."""
        return max(0.0, self._last + self.patience - now)
